"""What a browser gets from a preview, and what nobody gets."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from honk.model import Artifact, Making, UsageError
from honk.settings import read_settings
from tests.ship.conftest import COMMIT, Files, Start, answered

APP: Files = {
    "index.html": "<!doctype html><title>App</title>",
    "assets/app.js": "let song;\n" * 500,
    "assets/app.js.map": "{}",
    "about/index.html": "About",
    "terms.html": "Terms",
    "small.css": "a{}",
    "photo.avif": bytes(range(256)) * 8,
    "a b/ü.txt": "umlaut",
    "empty.txt": "",
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.html", "text/html; charset=utf-8"),
        ("x.js", "text/javascript; charset=utf-8"),
        ("x.mjs", "text/javascript; charset=utf-8"),
        ("x.css", "text/css; charset=utf-8"),
        ("x.wasm", "application/wasm"),
        ("x.webmanifest", "application/manifest+json"),
        ("x.avif", "image/avif"),
        ("x.svg", "image/svg+xml"),
        ("x.woff2", "font/woff2"),
        ("x.js.map", "application/json"),
        ("x.png", "image/png"),
        ("x.tar.gz", "application/gzip"),
        ("X.WASM", "application/wasm"),
        ("LICENCE", "application/octet-stream"),
        ("x.no-such-kind", "application/octet-stream"),
    ],
)
def test_a_file_says_what_it_is_on_every_machine(start: Start, name: str, kind: str) -> None:
    previews = start()
    url = previews.offer({"index.html": "", name: "x"})
    answer = previews.get(url + name)
    assert answer.headers["content-type"] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-robots-tag"] == "noindex"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_folders_show_their_page_and_never_a_listing(start: Start) -> None:
    previews = start()
    url = previews.offer(APP)
    assert previews.get(url).text == APP["index.html"]
    assert previews.get(url + "about/").text == "About"
    moved = previews.get(url + "about?x=1")
    assert (moved.status_code, moved.headers["location"]) == (308, "/about/?x=1")
    assert previews.get(url + "terms").text == "Terms"
    assert previews.get(url + "a%20b/%C3%BC.txt").text == "umlaut"
    assert previews.get(url + "assets/").status_code == 404
    assert previews.get(url + "assets").status_code == 404


def test_a_route_of_the_app_is_its_page_when_somebody_navigates_there(start: Start) -> None:
    previews = start()
    url = previews.offer(APP)
    assert previews.get(url + "songs/7", accept="text/html,*/*").text == APP["index.html"]
    for path, accept in (("songs/7", "application/json"), ("songs/7.png", "text/html"), ("assets/old.js", "*/*")):
        missing = previews.get(url + path, accept=accept)
        assert missing.status_code == 404
        assert "There is nothing at this address" in missing.text


def test_what_the_browser_has_already_is_not_sent_again(start: Start) -> None:
    previews = start()
    url = previews.offer(APP) + "photo.avif"
    first = previews.get(url)
    for asked in (
        {"if-none-match": first.headers["etag"]},
        {"if-none-match": f'"other", W/{first.headers["etag"]}'},
        {"if-none-match": "*"},
        {"if-modified-since": first.headers["last-modified"]},
    ):
        again = previews.get(url, **asked)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert previews.get(url, **{"if-none-match": '"other"'}).status_code == 200
    assert previews.get(url, **{"if-modified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}).status_code == 200
    assert previews.get(url, **{"if-modified-since": "yesterday"}).status_code == 200


def test_a_rebuild_with_other_content_is_another_version_for_the_browser(start: Start) -> None:
    previews = start()
    url = previews.offer(APP)
    before = previews.get(url).headers["etag"]
    assert previews.offer(APP | {"index.html": "Other"}) == url
    after = previews.get(url, **{"if-none-match": before})
    assert after.text == "Other"
    assert after.headers["etag"] != before


def test_text_is_compressed_for_those_who_take_it(start: Start) -> None:
    previews = start()
    url = previews.offer(APP)
    plain = previews.get(url + "assets/app.js", **{"accept-encoding": "identity"})
    packed = previews.get(url + "assets/app.js", **{"accept-encoding": "gzip, br"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 10
    assert packed.text == plain.text
    assert packed.headers["etag"] != plain.headers["etag"]
    assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"
    again = previews.get(url + "assets/app.js", **{"accept-encoding": "gzip", "if-none-match": packed.headers["etag"]})
    assert again.status_code == 304
    for path, codings in (("small.css", "gzip"), ("photo.avif", "gzip"), ("assets/app.js", "gzip;q=0, *")):
        assert "content-encoding" not in previews.get(url + path, **{"accept-encoding": codings}).headers


def test_what_the_build_has_compressed_is_sent_as_it_is(start: Start) -> None:
    previews = start()
    files = {"index.html": "", "app.js": "x" * 2000, "app.js.br": b"brotli", "app.js.gz": gzip.compress(b"from build")}
    url = previews.offer(files)
    best = previews.get(url + "app.js", "HEAD", **{"accept-encoding": "gzip, deflate, br"})
    assert best.headers["content-encoding"] == "br"
    assert best.headers["content-length"] == "6"
    assert best.headers["content-type"] == "text/javascript; charset=utf-8"
    assert previews.get(url + "app.js", **{"accept-encoding": "gzip"}).text == "from build"
    assert previews.get(url + "app.js", **{"accept-encoding": "identity"}).text == "x" * 2000


def test_a_range_is_answered_with_that_range(start: Start) -> None:
    previews = start()
    url = previews.offer(APP)
    whole = previews.get(url + "photo.avif")
    assert whole.headers["accept-ranges"] == "bytes"
    ranges = {"bytes=0-0": (0, 1), "bytes=10-19": (10, 20), "bytes=2040-": (2040, 2048), "bytes=-8": (2040, 2048)}
    for asked, (begin, end) in ranges.items():
        part = previews.get(url + "photo.avif", range=asked)
        assert part.status_code == 206
        assert part.content == whole.content[begin:end]
        assert part.headers["content-range"] == f"bytes {begin}-{end - 1}/2048"
    text = previews.get(url + "assets/app.js", range="bytes=0-3", **{"accept-encoding": "gzip"})
    assert text.text == "let "
    old = previews.get(url + "photo.avif", range="bytes=0-3", **{"if-range": '"old"'})
    assert (old.status_code, len(old.content)) == (200, 2048)


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,3-4",
        "bytes=" + "0-," * 5000,
        "lines=1-2",
        "bytes=",
        "bytes=a-b",
        "=",
        "bytes=--1",
        "bytes=" + "9" * 4000 + "-",
    ],
)
def test_an_odd_range_is_answered_with_the_whole_file(start: Start, asked: str) -> None:
    previews = start()
    answer = previews.get(previews.offer(APP) + "photo.avif", range=asked)
    assert (answer.status_code, len(answer.content)) == (200, 2048)


@pytest.mark.parametrize("asked", ["bytes=2048-", "bytes=999999999999-", "bytes=-0", "bytes=9-3"])
def test_a_range_that_is_not_there_is_refused(start: Start, asked: str) -> None:
    previews = start()
    assert previews.get(previews.offer(APP) + "photo.avif", range=asked).status_code in (400, 416)
    assert previews.get(previews.offer(APP) + "empty.txt", range="bytes=0-").status_code == 416


def test_head_tells_what_get_would(start: Start) -> None:
    previews = start()
    url = previews.offer(APP)
    for path in ("photo.avif", "assets/app.js"):
        asked = {"accept-encoding": "identity"}
        head, whole = previews.get(url + path, "HEAD", **asked), previews.get(url + path, **asked)
        assert head.headers == whole.headers
        assert head.content == b""
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        refused = previews.get(url, method)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "assets/..%2f..%2f..%2fsecret.txt",
        "assets/%2e%2e/%2e%2e/secret.txt",
        "/secret.txt",
        "//secret.txt",
        "%2fetc%2fpasswd",
        "..%5csecret.txt",
        "index.html%00",
        "%00",
        "link.txt",
        "folder-link/secret.txt",
        "socket",
        "x" * 5000,
        "a/" * 3000,
        "%ff%fe",
    ],
)
def test_no_path_leads_out_of_what_was_built(start: Start, path: str, home: Path) -> None:
    previews = start()
    (home / "secret.txt").write_text("secret")
    url = previews.offer(APP)
    folder = next(home.glob("*/index.html")).parent
    (folder / "link.txt").symlink_to(home / "secret.txt")
    (folder / "folder-link").symlink_to(home)
    answer = previews.get(url + path)
    assert 400 <= answer.status_code < 500
    assert "secret" not in answer.text


def test_each_version_has_a_name_that_cannot_be_guessed_at_honks_own_port(start: Start) -> None:
    previews = start(listen="127.0.0.1:4665")
    one, other = previews.offer(APP), previews.offer(APP, "t2")
    assert re.fullmatch(r"http://[a-z2-7]{26}\.localhost:4665/", one)
    assert one != other
    start(listen="127.0.0.1:4665").server.restore()
    assert previews.address() == one


def test_a_preview_domain_gives_names_under_it_and_never_honks_own_pages(start: Start) -> None:
    previews = start(public_url="https://honk.example.com", preview_domain="preview.example.org", listen="0.0.0.0:4665")
    url = previews.offer(APP)
    assert re.fullmatch(r"https://[a-z2-7]{26}\.preview\.example\.org/", url)
    assert previews.get(url).text == APP["index.html"]
    assert previews.get("https://honk.example.com/").text == "Honk's own page"
    token = httpx.URL(url).host.partition(".")[0]
    for host in (
        "preview.example.org",
        "other.preview.example.org",
        "a" * 26 + ".preview.example.org",
        f"x.{token}.preview.example.org",
        "PREVIEW.example.org.",
        "x@preview.example.org",
        "%61.preview.example.org",
    ):
        answer = previews.get("https://honk.example.com/", host=host, authorization="Bearer x", cookie="honk=x")
        assert answer.status_code == 404, host
        assert "Honk's own page" not in answer.text
    assert previews.get("https://honk.example.com/", host=httpx.URL(url).host.upper() + ".:443").status_code == 200


@pytest.mark.parametrize("domain", ["honk.example.com", "example.com", "com."])
def test_a_preview_domain_that_holds_honks_own_pages_is_refused(home: Path, domain: str) -> None:
    with pytest.raises(UsageError, match="HONK_PREVIEW_DOMAIN must be a domain of its own"):
        read_settings(home=home, public_url="https://honk.example.com", preview_domain=domain)


@pytest.mark.parametrize("domain", ["https://preview.example.org", "preview.example.org:8080", "*.example.org", "a b"])
def test_a_preview_domain_is_a_bare_domain(home: Path, domain: str) -> None:
    with pytest.raises(UsageError, match="must be a bare domain"):
        read_settings(home=home, preview_domain=domain)


def test_a_void_version_says_so_and_leads_to_the_thread(start: Start) -> None:
    previews = start()
    url = previews.offer(APP)
    assert previews.get(url).status_code == 200
    newer = previews.offer(APP | {"more.txt": "more"}, commit="beef" * 10)
    previews.store.void_artifacts("t1", keep_commit="beef" * 10)
    previews.server.withdraw("t1")
    for each in (previews, start()):
        void = each.get(url + "assets/app.js")
        assert void.status_code == 410
        assert f"Version {COMMIT[:8]} is void" in void.text
        assert f'href="{previews.settings.url}/tasks/t1"' in void.text
        assert each.get(newer).status_code == 200


def test_a_preview_ends_and_says_how_to_get_another(start: Start) -> None:
    previews = start(preview_days=1e-9)
    url = previews.offer(APP)
    ended = previews.get(url)
    assert ended.status_code == 410
    assert "Answer in its thread, and Honk builds it again" in ended.text
    longer = start(preview_days=1)
    assert longer.get(url).status_code == 200


def test_a_version_that_is_not_kept_any_more_says_so(start: Start) -> None:
    previews = start()
    url = previews.offer(APP)
    for folder in previews.home.glob("*/index.html"):
        folder.parent.rename(previews.home / "away")
    gone = previews.get(url)
    assert gone.status_code == 410
    assert "is not to be had any more. Answer in its thread" in gone.text
    previews.store.update_task("t1", merged_sha="m")
    assert "is not to be had any more. Its change was merged." in previews.get(url).text


def test_a_version_that_is_built_again_is_offered_again(start: Start) -> None:
    previews = start()
    url = previews.offer(APP)
    previews.store.void_artifacts("t1", keep_commit="")
    previews.server.withdraw("t1")
    assert previews.get(url).status_code == 410
    assert previews.address() == ""
    assert previews.offer(APP) == url
    assert previews.get(url).status_code == 200


def test_a_request_that_names_two_hosts_is_refused(start: Start) -> None:
    previews = start()
    url = previews.offer(APP)
    hosts = [("host", httpx.URL(url).netloc.decode()), ("host", "127.0.0.1:4665")]

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(previews.server.in_front_of(None))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(url, headers=hosts)

    assert answered(ask).status_code == 400


def test_what_was_built_while_no_server_ran_is_offered_by_the_next_one(start: Start) -> None:
    previews = start()
    previews.offer(APP)
    made = Making(datetime.now(UTC), "laptop", "npm run build", 1.0)
    row = previews.store.artifact_row("t1", COMMIT, "web")
    assert row
    previews.task("t2")
    previews.store.save_artifact("t2", Artifact("web", COMMIT, row["sha256"], 1, making=made))
    assert previews.address("t2") == ""
    previews.server.restore()
    assert previews.get(previews.address("t2")).text == APP["index.html"]


def test_what_is_no_page_is_not_served(start: Start) -> None:
    assert start().offer({"app.apk": "apk"}) == ""


def test_a_port_opens_only_with_the_link_from_the_thread(start: Start) -> None:
    previews = start(preview_host="127.0.0.1")
    link = previews.offer(APP)
    found = re.fullmatch(r"(http://127\.0\.0\.1:(\d+))/\.honk/open/[a-z2-7]{26}", link)
    assert found
    with httpx.Client(base_url=found[1], trust_env=False, timeout=10) as browser:
        for path in ("/", "/assets/app.js", "/.honk/open/" + "a" * 26, "/.honk/open/"):
            closed = browser.get(path, headers={"cookie": f"honk-preview-{found[2]}=guessed"})
            assert closed.status_code == 403
            assert "take it from the task's thread" in closed.text
        entered = browser.get(link)
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "domain" not in cookie
        assert browser.get("/").text == APP["index.html"]
        assert browser.get("/songs", headers={"accept": "text/html"}).headers["x-robots-tag"] == "noindex"
        previews.store.void_artifacts("t1", keep_commit="")
        previews.server.withdraw("t1")
        assert browser.get("/").status_code == 410
        previews.close()

    later = start(preview_host="127.0.0.1")
    later.server.restore()
    assert httpx.get(found[1], trust_env=False).status_code == 403


def test_one_previews_cookie_does_not_open_another(start: Start) -> None:
    previews = start(preview_host="127.0.0.1")
    one, other = previews.offer(APP), previews.offer(APP, "t2")
    with httpx.Client(trust_env=False, timeout=10) as browser:
        assert browser.get(one, follow_redirects=True).status_code == 200
        assert browser.get(httpx.URL(other).join("/")).status_code == 403
