"""Apps for phones: from a build to the install page, and what phones fetch from it."""

from __future__ import annotations

import io
import plistlib
import re
import sqlite3
import stat
import struct
import time
import zipfile
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.conftest import git
from tests.ship.made_android import V2, Signer, apk_files, manifest_tree, png, proto_xml, signed, zipped
from tests.ship.made_ios import UDID, ipa, profile
from tests.ship.real_android import MISSING, real_apk, signing_key
from tests.web.conftest import running
from tests.web.installing import (
    APP_STORE_DAEMON,
    IPHONE,
    LAPTOP,
    PIXEL,
    SLACK_UNFURLER,
    app_repository,
    ask,
    at,
    free_port,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.usefixtures("sandbox", "home")

MakeRepository = Callable[..., Path]
ADA, BOB = Signer("Ada", "ec"), Signer("Bob", "ec")


def _apk(signer: Signer = ADA, **manifest: object) -> bytes:
    return signed(zipped(apk_files(**manifest)), signer, V2)


def _hidden(page: httpx.Response) -> list[str]:
    """The codes of what is in the way, as the page lists them."""
    return re.findall(r'data-code="([a-z0-9-]+)"', page.text)


def _particulars(page: httpx.Response) -> dict[str, str]:
    """What the page lists about the app."""
    return {name: unescape(told) for name, told in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page.text)}


def _buttons(page: httpx.Response) -> list[tuple[str, str]]:
    """The words of each button, and where it leads."""
    found = re.findall(r'<a class="button[^"]*" href="([^"]+)"[^>]*>([^<]+)</a>', page.text)
    return [(unescape(words).strip(), unescape(address)) for address, words in found]


@pytest.mark.parametrize("tools", ["android's own", "made in Python"])
def test_a_phone_installs_what_was_built_from_a_link_without_a_cookie_and_that_is_a_receipt(
    tools: str, make_repository: MakeRepository, tmp_path: Path
) -> None:
    if tools == "made in Python":
        apk = _apk(code=8, name="1.3.0")
    elif MISSING:
        pytest.skip(f"not on this machine: {', '.join(MISSING)}")
    else:
        apk = real_apk(tmp_path, signing_key(tmp_path, "ada"), code=8, name="1.3.0")
    repo = app_repository(make_repository, {"app-release.apk": apk, "other.apk": _apk()}, first="")
    with running(repo) as up:
        task = ask(up, repo, "echo app-release.apk > which", "Fix the <b>crash</b>\n\nwhen the queue is empty")
        link = task.artifact["install_url"]
        (package,) = task.artifact["packages"]
        assert (package["file"], package["name"], package["version"], package["build"]) == (
            "app-release.apk", "Encore", "1.3.0", "8",
        )  # fmt: skip

        page = at(up, link, **PIXEL)
        assert page.status_code == 200
        for words in ("Encore", "1.3.0 (8)", task.task["head_sha"][:8], "Fix the &lt;b&gt;crash&lt;/b&gt;", "was run"):
            assert words in page.text
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "noindex" in page.headers["x-robots-tag"]
        assert "Sec-CH-UA-Platform-Version" in page.headers["accept-ch"]
        assert "set-cookie" not in page.headers
        assert "script" not in page.headers["content-security-policy"]
        assert up.token not in page.text
        ((words, address),) = _buttons(page)
        assert words == "Install Encore"
        assert task.task["tried"] == [], "opening the page is not installing"

        file = f"{up.url}{address}"
        for _ in range(2):
            fetched = at(up, file, **PIXEL)
            assert fetched.content == apk
        assert fetched.headers["content-type"] == "application/vnd.android.package-archive"
        assert fetched.headers["content-disposition"] == 'attachment; filename="Encore-1.3.0-8.apk"'
        assert "no-cache" in fetched.headers["cache-control"]
        part = at(up, file, range="bytes=100-199", **PIXEL)
        assert (part.status_code, part.content) == (206, apk[100:200])
        assert part.headers["content-range"] == f"bytes 100-199/{len(apk)}"
        assert at(up, file, "HEAD").headers["content-length"] == str(len(apk))
        icon = at(up, f"{link}/0.png")
        assert icon.headers["content-type"] == "image/png"
        assert icon.content.startswith(png()[:8])

        (tried,) = task.task["tried"]
        assert (tried["device"], tried["kind"]) == ("Pixel 8, Android 16", "app")
        events = [task.until("tried")]
        assert "127.0.0.1" not in str(events)

        first = task.task["head_sha"]
        task.say("And again", "more")
        task.until("ready")
        assert task.task["head_sha"] == first, "the same again is no new version"
        task.up.client.post(
            f"/api/v1/tasks/{task.id}/actions", json={"action": "cancel", "head_sha": first, "key": "c"}
        ).raise_for_status()
        task.until("cancelled")
        gone = at(up, link, **PIXEL)
        assert gone.status_code == 410
        assert "is void" in gone.text and f"{up.url}/tasks/{task.id}" in gone.text
        assert at(up, file, **PIXEL).status_code == 410


def test_a_new_version_voids_the_link_and_the_receipt_of_the_one_before(make_repository: MakeRepository) -> None:
    repo = app_repository(make_repository, {"app.apk": _apk(code=7), "next.apk": _apk(code=8)}, first="")
    with running(repo) as up:
        task = ask(up, repo, "grep -q app which && echo next.apk > which || echo app.apk > which")
        old = task.artifact["install_url"]
        assert at(up, f"{old}/0.apk", **LAPTOP).status_code == 200
        assert [one["device"] for one in task.task["tried"]] == ["Chrome on Linux"]
        task.say("And again", "more")
        task.until("ready")
        assert task.task["tried"] == []
        assert at(up, old).status_code == 410
        assert at(up, f"{old}/0.apk").status_code == 410
        assert at(up, task.artifact["install_url"]).status_code == 200


def test_a_link_opens_what_it_was_made_for_and_nothing_else(make_repository: MakeRepository, home: Path) -> None:
    repo = app_repository(make_repository, {"app.apk": _apk()}, first="")
    with running(repo) as up:
        one = ask(up, repo, "echo app.apk > which")
        two = ask(up, repo, "echo app.apk > which; echo more > more", key="other")
        link, other = one.artifact["install_url"], two.artifact["install_url"]
        place, _, ending = link.rpartition("/")
        until, _, seal = ending.partition("-")
        start = f"{place}/{until}"
        forged = {
            "another expiry": f"{start}0-{seal}",
            "another task": link.replace(one.id, two.id),
            "another's seal": f"{start}-{other.rpartition('/')[2].partition('-')[2]}",
            "a cut seal": link[:-1],
            "no seal": start,
            "another kind": link.replace("/app/", "/web/"),
            "no such task": link.replace(one.id, "f" * 10),
            "digits": f"{place}/{'9' * 5000}-{seal}",
        }
        for name, address in forged.items():
            for asked in (address, f"{address}/0.apk", f"{address}/0.png"):
                answer = at(up, asked, **PIXEL)
                assert answer.status_code == 403, name
                assert "take it from the task" in answer.text
        for missing in ("1.apk", "0.ipa", "0.plist", "0", "x.apk", "%2e%2e%2fhonk.db", "-1.apk"):
            assert at(up, f"{link}/{missing}", **PIXEL).status_code in (403, 404), missing
        assert one.task["tried"] == []
        key = home / "install.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        kept = key.read_bytes()
        assert len(kept) == 32
    with running(repo, up.url.removeprefix("http://")) as up:
        assert key.read_bytes() == kept
        assert at(up, link, **PIXEL).status_code == 200, "the link outlives the server"


def test_a_link_ends(make_repository: MakeRepository) -> None:
    repo = app_repository(make_repository, {"app.apk": _apk()}, first="")
    with running(repo, HONK_PREVIEW_DAYS="0.00001") as up:
        task = ask(up, repo, "echo app.apk > which")
        link = task.artifact["install_url"]
        deadline = time.monotonic() + 30
        while (answer := at(up, link, **PIXEL)).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert answer.status_code == 410
        assert "has ended" in answer.text and f"/tasks/{task.id}" in answer.text


def test_an_iphone_gets_apples_manifest_with_signed_https_addresses(make_repository: MakeRepository) -> None:
    app = ipa(ADA)
    repo = app_repository(make_repository, {"app.ipa": app}, first="")
    port = free_port()
    with running(repo, f"127.0.0.1:{port}", HONK_PUBLIC_URL="https://honk.example.com") as up:
        task = ask(up, repo, "echo app.ipa > which")
        link = task.artifact["install_url"]
        assert link.startswith("https://honk.example.com/install/")
        page = at(up, link, **IPHONE)
        assert "no-https" not in _hidden(page)
        told = _particulars(page)
        assert told["Profile"] == "ad hoc, Example Ltd, until 1 June 2027"
        assert told["Devices"] == "1, whose UDID ends in …5E601E"
        assert UDID not in page.text, "whoever has the link need not know whole ones"
        assert "iOS 16.0 or newer" in told["App"]
        ((words, address),) = _buttons(page)
        assert words == "Install Encore"
        asked = urlsplit(address)
        assert (asked.scheme, parse_qs(asked.query)["action"]) == ("itms-services", ["download-manifest"])
        (manifest,) = parse_qs(asked.query)["url"]
        assert manifest.startswith(link)

        answer = at(up, manifest, **APP_STORE_DAEMON)
        assert task.task["tried"] == [], "iOS asks whether to install when it has the manifest"
        assert answer.headers["content-type"].startswith("text/xml")
        (item,) = plistlib.loads(answer.content)["items"]
        assert item["metadata"] == {
            "bundle-identifier": "com.example.encore", "bundle-version": "1.2.3", "kind": "software", "title": "Encore",
        }  # fmt: skip
        assets = {asset["kind"]: asset for asset in item["assets"]}
        assert assets.keys() == {"software-package", "display-image", "full-size-image"}
        assert all(asset["url"].startswith("https://honk.example.com/") for asset in assets.values())
        software = assets["software-package"]
        assert len(software["sha256s"]) == 1 and software["sha256-size"] > len(app)
        fetched = at(up, software["url"], range=f"bytes=0-{len(app) - 1}", **APP_STORE_DAEMON)
        assert fetched.content == app
        assert fetched.headers["content-type"] == "application/octet-stream"
        assert at(up, assets["display-image"]["url"]).headers["content-type"] == "image/png"
        assert [one["device"] for one in task.task["tried"]] == ["iPhone, iOS 18"]

        on_android = at(up, link, **PIXEL)
        assert _hidden(on_android) == ["wrong-device"]
        assert _buttons(on_android) == []
        assert "QR code" in on_android.text


def test_what_is_in_the_way_on_an_iphone_is_said_before_the_tap(make_repository: MakeRepository) -> None:
    expired = profile(ExpirationDate=profile()["CreationDate"])
    repo = app_repository(make_repository, {"app.ipa": ipa(ADA, provisioned=expired)}, first="")
    with running(repo) as up:
        task = ask(up, repo, "echo app.ipa > which")
        assert {one["code"] for one in task.artifact["packages"][0]["warnings"]} == {"no-https", "profile-expired"}
        page = at(up, task.artifact["install_url"], **IPHONE)
        assert {"no-https", "profile-expired"} <= set(_hidden(page))
        assert page.text.index("set HONK_PUBLIC_URL") < page.text.index('class="press"')
        assert "itms-services" not in page.text
        assert at(up, f"{task.artifact['install_url']}/0.plist", **IPHONE).status_code == 404


def test_a_bundle_says_how_to_get_what_a_phone_takes(make_repository: MakeRepository) -> None:
    bundle = zipped({"base/manifest/AndroidManifest.xml": proto_xml(manifest_tree(label="Encore", icon="@x"))})
    repo = app_repository(make_repository, {"app.aab": bundle, "app.apk": _apk()}, first="")
    with running(repo) as up:
        task = ask(up, repo, "echo app.aab > which")
        page = at(up, task.artifact["install_url"], **PIXEL)
        assert _hidden(page)[0] == "bundle"
        assert "bundletool build-apks --mode=universal" in page.text
        assert [words for words, _ in _buttons(page)] == ["Download the bundle"]
        both = ask(up, repo, "echo app.aab app.apk > which", key="both")
        page = at(up, both.artifact["install_url"], **PIXEL)
        assert [words for words, _ in _buttons(page)] == ["Install Encore", "Download the bundle"]


def _hostile() -> dict[str, bytes]:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("AndroidManifest.xml", b"\0" * 200_000_000)
    outside = io.BytesIO(zipped(apk_files()))
    with zipfile.ZipFile(outside, "a") as archive:
        archive.writestr("../../../../honk-was-here", "x")
    link = io.BytesIO(zipped(apk_files()))
    with zipfile.ZipFile(link, "a") as archive:
        entry = zipfile.ZipInfo("assets/link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    garbage = zipped(apk_files() | {"AndroidManifest.xml": b"\x03\x00\x08\x00" + struct.pack("<I", 0xFFFFFFFF) * 50})
    return {
        "bomb.apk": bomb.getvalue(),
        "outside.ipa": outside.getvalue(),
        "link.apk": link.getvalue(),
        "garbage.apk": garbage,
        "nonsense.aab": b"PK\x03\x04 and nothing more",
        "empty.apk": b"",
    }


def test_a_hostile_package_gets_a_sentence_and_touches_nothing_and_the_build_stands(
    make_repository: MakeRepository, home: Path
) -> None:
    hostile = _hostile()
    repo = app_repository(make_repository, hostile | {"good.apk": _apk()}, first="")
    with running(repo) as up:
        task = ask(up, repo, f"echo {' '.join(hostile)} > which")
        told = {one["file"]: one["error"] for one in task.artifact["packages"]}
        assert told.keys() == hostile.keys()
        assert all(sentence.endswith(".") and "\n" not in sentence for sentence in told.values())
        assert "leads outside" in told["outside.ipa"] and "too large" in told["bomb.apk"]
        assert task.artifact["install_url"] is None
        assert task.merge().status_code == 202
        task.until("merge.landed")
        both = ask(up, repo, "echo bomb.apk good.apk > which", key="both")
        page = at(up, both.artifact["install_url"], **PIXEL)
        assert "bomb.apk" in page.text and "too large" in page.text
        assert [words for words, _ in _buttons(page)] == ["Install Encore"]
    assert not list(home.parent.rglob("honk-was-here"))


def test_a_package_is_set_beside_the_one_people_have(make_repository: MakeRepository) -> None:
    camera = ("android.permission.INTERNET", "android.permission.CAMERA")
    packages = {
        "one.apk": _apk(code=7), "two.apk": _apk(code=8, permissions=camera), "three.apk": _apk(BOB, code=6),
    }  # fmt: skip
    repo = app_repository(make_repository, packages, first="one.apk")
    with running(repo) as up:
        first = ask(up, repo, "echo two.apk > which")
        compared = first.until("package.compared")
        assert compared["data"]["commit"] == first.task["head_sha"]
        (package,) = first.artifact["packages"]
        assert package["compared"] == {
            "version": "1.2.3", "build": "7", "permissions_added": ["android.permission.CAMERA"],
            "same_certificate": True, "lower_version": False,
        }, "nothing has landed yet: what the base's build makes is what people have"  # fmt: skip
        assert [one["code"] for one in package["warnings"]] == ["more-permissions"]
        told = _particulars(at(up, first.artifact["install_url"], **PIXEL))
        assert told["Permissions"] == "CAMERA (new), INTERNET"
        assert told["Version code"].startswith("8, made for Android")
        assert re.fullmatch(r"CN=Ada.*, SHA-256 [0-9a-f]{64}: the same as the build before", told["Signed (v2)"])
        assert first.merge().status_code == 202
        first.until("merge.landed")

        same = ask(up, repo, "echo words > README.md", key="same")
        assert same.artifact["packages"][0]["compared"] is None, "it is the very one that people have"
        assert at(up, same.artifact["install_url"], **PIXEL).status_code == 200

        second = ask(up, repo, "echo three.apk > which", key="second")
        (package,) = second.artifact["packages"]
        assert package["compared"]["build"] == "8", "what was merged last is what people have"
        assert (package["compared"]["same_certificate"], package["compared"]["lower_version"]) == (False, True)
        page = at(up, second.artifact["install_url"], **PIXEL)
        assert _hidden(page)[:2] == ["other-certificate", "lower-version"]
        assert _particulars(page)["Signed (v2)"].endswith(": not that of the build before")
        assert [words for words, _ in _buttons(page)] == ["Install anyway"]
        assert page.text.index("other-certificate") < page.text.index("Install anyway")


def test_what_is_not_kept_any_more_says_so(make_repository: MakeRepository, home: Path) -> None:
    repo = app_repository(make_repository, {"app.apk": _apk()}, first="")
    with running(repo) as up:
        task = ask(up, repo, "echo app.apk > which")
        folder = home / "artifacts" / task.artifact["sha256"]
        (folder / "app.apk").write_bytes(b"something else")
        answer = at(up, f"{task.artifact['install_url']}/0.apk", **PIXEL)
        assert answer.status_code == 410
        assert "is not to be had any more" in answer.text
        assert task.task["tried"] == []


def test_the_page_fits_a_phone_and_asks_for_what_tells_the_device(
    browser: Browser, make_repository: MakeRepository
) -> None:
    repo = app_repository(make_repository, {"app.apk": _apk()}, first="")
    with running(repo) as up:
        task = ask(up, repo, "echo app.apk > which", "A long word: " + "x" * 400)
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": 390, "height": 844}, user_agent=PIXEL["user-agent"],
                color_scheme=scheme, is_mobile=True,  # type: ignore[arg-type]
            )  # fmt: skip
            page = context.new_page()
            page.set_default_timeout(20_000)
            errors: list[str] = []
            page.on("console", lambda message, to=errors: to.append(message.text) if message.type == "error" else None)
            page.goto(task.artifact["install_url"])
            button = page.get_by_role("link", name="Install Encore")
            box = button.bounding_box()
            assert box and box["height"] >= 44 and box["width"] > 300
            assert box["y"] + box["height"] < 844, "one can tap it without scrolling"
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            assert page.locator(".app-icon").evaluate("icon => icon.naturalWidth") == 96
            page.get_by_text("Open this page on another device").click()
            assert page.get_by_alt_text("QR code").is_visible()
            with page.expect_download() as started:
                button.click()
            assert started.value.suggested_filename == "Encore-1.2.3-7.apk"
            context.close()
            assert errors == []
        assert task.until("tried")["data"]["platform"] == "android"


def test_the_pull_request_and_the_page_tell_of_the_link_and_the_receipt(
    make_repository: MakeRepository, home: Path
) -> None:
    repo = app_repository(make_repository, {"app.apk": _apk()}, first="")
    with running(repo) as up:
        task = ask(up, repo, "echo app.apk > which")
        link = task.artifact["install_url"]

        def body() -> str:
            with sqlite3.connect(home / "honk.db") as database:
                return str(database.execute("SELECT body FROM pull_requests").fetchone()[0])

        assert f"install from {link}" in body()
        assert "Tried on" not in body()
        at(up, f"{link}/0.apk", **SLACK_UNFURLER)
        assert task.task["tried"] == []
        at(up, f"{link}/0.apk", **PIXEL)
        deadline = time.monotonic() + 30
        while "Tried on Pixel 8, Android 16." not in body():
            assert time.monotonic() < deadline, body()
            time.sleep(0.1)
        card = up.client.get(f"/tasks/{task.id}").text
        assert "Install Encore" in card and "Tried on Pixel 8, Android 16" in card
        built = re.search(r'class="built">app · \d+ k?B · <a href="([^"]+)"[^>]*>built in \d+\.\d s</a>', card)
        assert built and up.client.get(built[1]).status_code == 200
        assert task.merge().status_code == 202
        task.until("merge.landed")
        at(up, f"{link}/0.apk", **LAPTOP)
        assert len(task.task["tried"]) == 1, "what comes after the merge is no receipt for it"
    assert git(repo, "log", "-1", "--format=%s") == "Please"


def test_a_home_of_an_earlier_version_installs_what_it_builds_from_now_on(
    make_repository: MakeRepository, home: Path
) -> None:
    repo = app_repository(make_repository, {"app.apk": _apk()}, first="")
    with running(repo) as up:
        ask(up, repo, "echo app.apk > which")
    with sqlite3.connect(home / "honk.db") as database:
        database.execute("ALTER TABLE artifacts DROP COLUMN compared_with")
        database.execute("DROP TABLE packages")
    with running(repo) as up:
        task = ask(up, repo, "echo app.apk > which; echo more > more", key="again")
        assert at(up, task.artifact["install_url"], **PIXEL).status_code == 200
