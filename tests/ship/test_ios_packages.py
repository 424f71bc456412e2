"""What Honk tells of IPAs, made in Python with profiles that are signed."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import pytest

from honk.ship.packages import IosFacts, PackageError, package_of_json, particulars, read_package
from honk.ship.packages.pictures import plain_png
from tests.ship.made_android import Signer, png, write, zipped
from tests.ship.made_ios import EXPIRES, UDID, crushed, in_pieces, info, ipa, ipa_files, pixels, profile


@pytest.fixture(scope="module")
def apple() -> Signer:
    return Signer("Apple iPhone OS Provisioning Profile Signing")


def facts(path: Path) -> IosFacts:
    found = read_package(path).ios
    assert found is not None
    return found


def test_an_ipa_tells_its_name_version_profile_and_needs(tmp_path: Path, apple: Signer) -> None:
    package = read_package(write(tmp_path, ipa(apple), "app.ipa"))
    assert (package.kind, package.identifier, package.name) == ("ipa", "com.example.encore", "Encore")
    assert (package.version, package.build, package.minimum_os) == ("1.2.3", "42", "iOS 16.0")
    ios = package.ios
    assert ios is not None and ios.profile is not None
    assert (ios.platform, ios.families, ios.minimum_os) == ("iphoneos", ("iphone", "ipad"), "16.0")
    assert (ios.profile.kind, ios.profile.name, ios.profile.team) == ("ad-hoc", "Encore Ad Hoc", "Example Ltd")
    assert ios.profile.expires == EXPIRES
    assert ios.profile.devices == (UDID,)
    assert ios.profile.application == "com.example.encore"
    assert ios.profile.entitlements["get-task-allow"] is False
    assert package_of_json(package.as_json()) == package


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        pytest.param({}, "ad-hoc", id="devices are listed"),
        pytest.param({"Entitlements": {"get-task-allow": True}}, "development", id="devices and a debugger"),
        pytest.param({"ProvisionedDevices": None, "ProvisionsAllDevices": True}, "enterprise", id="all devices"),
        pytest.param({"ProvisionedDevices": None}, "app-store", id="no devices"),
    ],
)
def test_the_profile_tells_how_the_app_may_be_given_away(
    tmp_path: Path, apple: Signer, changed: dict[str, Any], kind: str
) -> None:
    found = facts(write(tmp_path, ipa(apple, provisioned=profile(**changed)))).profile
    assert found and found.kind == kind


def test_what_may_be_looked_up_about_a_profile_is_told_in_words(tmp_path: Path, apple: Signer) -> None:
    rights = {
        "application-identifier": "ABCDE12345.com.example.encore",
        "get-task-allow": True,
        "aps-environment": "development",
        "com.apple.developer.associated-domains": ["applinks:example.com"],
        "beta-reports-active": False,
    }
    changed = {"Entitlements": rights, "ProvisionedDevices": [UDID, *(f"{number:040x}" for number in range(20))]}
    package = read_package(write(tmp_path, ipa(apple, provisioned=profile(**changed))))
    told = dict(particulars(package, None))
    assert told["Profile"] == "development, Example Ltd, until 1 June 2027"
    assert told["Devices"].startswith("21, whose UDID ends in …5E601E, …000000, ")
    assert told["Devices"].endswith(" and 9 more")
    assert told["Entitlements"] == "aps-environment (development), associated-domains, get-task-allow"


def test_a_simulator_build_is_known(tmp_path: Path, apple: Signer) -> None:
    described = info(CFBundleSupportedPlatforms=["iPhoneSimulator"], DTPlatformName="iphonesimulator")
    ios = facts(write(tmp_path, ipa(apple, described, {})))
    assert (ios.platform, ios.profile) == ("simulator", None)


def test_a_crushed_icon_becomes_an_ordinary_png(tmp_path: Path, apple: Signer) -> None:
    icon = read_package(write(tmp_path, ipa(apple))).icon
    assert icon is not None
    assert b"CgBI" not in icon
    assert pixels(icon) == b"\xc8\x1e\x0a\xff"


def test_crushed_colours_are_divided_by_their_opacity() -> None:
    icon = plain_png(crushed(10, b"\xc8\x64\x32\x80"))
    assert icon is not None
    assert all(abs(ours - theirs) <= 2 for ours, theirs in zip(pixels(icon), b"\xc8\x64\x32\x80", strict=True))


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(b"GIF89a", id="no PNG"),
        pytest.param(crushed(40)[:-20], id="a cut one"),
        pytest.param(crushed(600), id="a crushed one larger than an icon"),
        pytest.param(png(10).replace(b"\0\0\0\x0a\0\0\0\x0a", b"\0\1\0\0\0\1\0\0"), id="one that lies about its size"),
    ],
)
def test_a_picture_that_is_no_icon_is_left_out(picture: bytes) -> None:
    assert plain_png(picture) is None


def test_what_follows_or_hides_in_an_ordinary_png_is_taken_away() -> None:
    assert plain_png(png(20) + b"<script>") == png(20)


def test_an_ipa_without_an_icon_file_has_none(tmp_path: Path, apple: Signer) -> None:
    files = ipa_files(apple)
    del files["Payload/Encore.app/AppIcon60x60@2x.png"]
    assert read_package(write(tmp_path, zipped(files))).icon is None


def test_a_profile_that_is_no_signed_message_is_refused(tmp_path: Path, apple: Signer) -> None:
    files = ipa_files(apple) | {"Payload/Encore.app/embedded.mobileprovision": plistlib.dumps(profile())}
    with pytest.raises(PackageError, match="provisioning profile is no signed message"):
        read_package(write(tmp_path, zipped(files)))


def test_a_profile_whose_message_comes_in_pieces_is_read(tmp_path: Path, apple: Signer) -> None:
    pieces = in_pieces(plistlib.dumps(profile()))
    files = ipa_files(apple) | {"Payload/Encore.app/embedded.mobileprovision": pieces}
    found = facts(write(tmp_path, zipped(files))).profile
    assert found and found.name == "Encore Ad Hoc"


def test_two_apps_in_one_file_are_refused(tmp_path: Path, apple: Signer) -> None:
    files = ipa_files(apple) | {"AndroidManifest.xml": b""}
    with pytest.raises(PackageError, match="more than one app"):
        read_package(write(tmp_path, zipped(files)))
