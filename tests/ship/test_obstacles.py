"""Why a package will not install, as people read it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from honk.ship.packages import (
    AndroidFacts,
    Certificate,
    Device,
    IosFacts,
    Obstacle,
    Package,
    Profile,
    Signing,
    obstacles,
)

NOW = datetime(2026, 11, 20, tzinfo=UTC)
BEFORE = datetime(2026, 9, 1, tzinfo=UTC)
OURS = Certificate("a" * 64, "CN=Ours", debug=False)
SIGNING = Signing(("v1", "v2", "v3"), (OURS,), (), True, None)
ANDROID = AndroidFacts("com.example.encore", 7, 24, 34, ("android.permission.INTERNET",), signing=SIGNING)
UDID = "00008110-001A2B3C4D5E601E"
PROFILE = Profile(
    "Encore", "ad-hoc", "Example Ltd", NOW + timedelta(days=100), (UDID,), application="com.example.encore"
)
IOS = IosFacts("com.example.encore", "iphoneos", "16.0", ("iphone", "ipad"), PROFILE)
PIXEL = Device("android", "14", "Pixel 8")
IPHONE = Device("ios", "17.5", "iPhone", udid=UDID)


def apk(**changed: Any) -> Package:
    facts = replace(ANDROID, **changed)
    return Package("apk", facts.package, "Encore", "1.0", str(facts.version_code), 1, android=facts)


def ipa(**changed: Any) -> Package:
    facts = replace(IOS, **changed)
    return Package("ipa", facts.bundle_id, "Encore", "1.0", "1", 1, ios=facts)


def provisioned(**changed: Any) -> Package:
    return ipa(profile=replace(PROFILE, **changed))


def met(
    package: Package,
    *,
    previous: Package | None = None,
    device: Device | None = None,
    https: bool = True,
    now: datetime = BEFORE,
) -> dict[str, bool]:
    """What is met, and whether it blocks."""
    found = obstacles(package, previous=previous, device=device, https=https, now=now)
    for obstacle in found:
        assert obstacle.text.endswith(".") and "\n" not in obstacle.text
    assert found == sorted(found, key=lambda one: not one.blocks)
    return {obstacle.code: obstacle.blocks for obstacle in found}


def test_a_well_made_package_on_the_right_phone_meets_nothing() -> None:
    assert met(apk(), device=PIXEL, previous=apk(version_code=6)) == {}
    assert met(ipa(), device=IPHONE, previous=ipa()) == {}


@pytest.mark.parametrize(
    ("package", "device", "expected"),
    [
        pytest.param(apk(), IPHONE, {"wrong-device": True}, id="an APK on an iPhone"),
        pytest.param(ipa(), PIXEL, {"wrong-device": True, "device-list": False}, id="an IPA on Android"),
        pytest.param(apk(), Device("desktop"), {"desktop": False}, id="an APK on a desktop"),
        pytest.param(apk(signing=Signing()), PIXEL, {"unsigned": True}, id="an unsigned APK"),
        pytest.param(
            apk(signing=replace(SIGNING, schemes=("v1",), valid=None)), PIXEL, {"only-v1": True}, id="only v1"
        ),
        pytest.param(
            apk(signing=replace(SIGNING, schemes=("v1",), valid=None)),
            Device("android", "10"),
            {},
            id="only v1 on Android 10",
        ),
        pytest.param(
            apk(signing=replace(SIGNING, schemes=("v1",), valid=None), target_sdk=29),
            PIXEL,
            {},
            id="only v1, old target",
        ),
        pytest.param(
            apk(signing=replace(SIGNING, valid=False, fault="x")), PIXEL, {"bad-signature": True}, id="a bad signature"
        ),
        pytest.param(
            apk(signing=replace(SIGNING, certificates=(replace(OURS, debug=True),))),
            PIXEL,
            {"debug-certificate": False},
            id="a debug certificate",
        ),
        pytest.param(apk(test_only=True), PIXEL, {"test-only": True}, id="a test-only APK"),
        pytest.param(apk(split_required=True), PIXEL, {"split-required": True}, id="a part of an app"),
        pytest.param(apk(resources_ready=False), PIXEL, {"resources-compressed": True}, id="compressed resources"),
        pytest.param(apk(min_sdk=35), PIXEL, {"minimum-os": True}, id="a newer Android is needed"),
        pytest.param(apk(min_sdk=32), Device("android", "12"), {}, id="Android 12 may be 12L"),
        pytest.param(apk(min_sdk=28), Device("android", "8.1.0"), {"minimum-os": True}, id="8.1.0 is not 9"),
        pytest.param(apk(min_sdk=10_000), Device("android"), {}, id="a device that does not tell its version"),
        pytest.param(apk(target_sdk=22), PIXEL, {"old-target": True}, id="a target too old for Android 14"),
        pytest.param(apk(target_sdk=22), Device("android", "13"), {}, id="an old target on Android 13"),
        pytest.param(
            apk(abis=("x86_64",)), replace(PIXEL, abis=("arm64-v8a", "armeabi-v7a")), {"abi": True}, id="another ABI"
        ),
        pytest.param(ipa(platform="simulator", profile=None), IPHONE, {"simulator": True}, id="a simulator build"),
        pytest.param(ipa(platform="appletvos"), IPHONE, {"platform": True}, id="an app for another platform"),
        pytest.param(ipa(profile=None), IPHONE, {"no-profile": True}, id="no profile"),
        pytest.param(provisioned(kind="app-store", devices=()), IPHONE, {"app-store-profile": True}, id="App Store"),
        pytest.param(provisioned(kind="enterprise", devices=()), IPHONE, {"trust": False}, id="enterprise"),
        pytest.param(provisioned(kind="development"), IPHONE, {"developer-mode": False}, id="development"),
        pytest.param(
            provisioned(kind="development"), replace(IPHONE, os_version="15.8"), {"minimum-os": True}, id="iOS 15"
        ),
        pytest.param(provisioned(expires=BEFORE), IPHONE, {"profile-expired": True}, id="an expired profile"),
        pytest.param(
            provisioned(expires=BEFORE + timedelta(days=6)), IPHONE, {"profile-expires": False}, id="expiring soon"
        ),
        pytest.param(
            provisioned(application="com.example.other"), IPHONE, {"profile-of-another-app": True}, id="other app's"
        ),
        pytest.param(provisioned(application="com.example.*"), IPHONE, {}, id="a wildcard profile"),
        pytest.param(
            provisioned(devices=("0" * 40,)), IPHONE, {"device-not-listed": True}, id="a device that is not listed"
        ),
        pytest.param(
            provisioned(devices=(UDID.lower().replace("-", ""),)), IPHONE, {}, id="a UDID in another way of writing"
        ),
        pytest.param(ipa(), replace(IPHONE, udid=None), {"device-list": False}, id="a device whose UDID is not known"),
        pytest.param(provisioned(devices=()), IPHONE, {"no-devices": True}, id="an ad hoc profile of no devices"),
        pytest.param(ipa(families=("ipad",)), IPHONE, {"family": True}, id="an iPad app on an iPhone"),
        pytest.param(ipa(minimum_os="17.5.1"), IPHONE, {}, id="a third number that the browser does not tell"),
        pytest.param(ipa(minimum_os="18.0"), IPHONE, {"minimum-os": True}, id="a newer iOS is needed"),
    ],
)
def test_each_known_reason_is_said(package: Package, device: Device, expected: dict[str, bool]) -> None:
    assert met(package, device=device) == expected


def test_iphones_install_only_from_https() -> None:
    assert met(ipa(), device=IPHONE, https=False) == {"no-https": True}
    assert met(apk(), device=PIXEL, https=False) == {}


def test_from_the_end_of_september_2026_the_rule_on_developers_is_told() -> None:
    assert met(apk(), device=PIXEL, now=NOW) == {"unregistered-developer": False}
    assert met(ipa(), device=IPHONE, now=NOW) == {}


def test_a_bundle_cannot_be_installed_and_says_what_to_do() -> None:
    (found,) = obstacles(replace(apk(), kind="aab"), previous=None, device=PIXEL, https=True, now=BEFORE)
    assert found.blocks and "bundletool" in found.text and "Google Play" in found.text


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        pytest.param(apk(version_code=6), {"lower-version": True}, id="a lower version code"),
        pytest.param(apk(), {"same-version": False}, id="the same version code"),
        pytest.param(
            apk(version_code=8, signing=replace(SIGNING, certificates=(replace(OURS, sha256="b" * 64),))),
            {"other-certificate": True},
            id="another certificate",
        ),
        pytest.param(
            apk(
                version_code=8,
                signing=replace(SIGNING, certificates=(replace(OURS, sha256="b" * 64),), earlier=(OURS.sha256,)),
            ),
            {},
            id="a rotated key",
        ),
        pytest.param(
            apk(version_code=8, permissions=("android.permission.INTERNET", "android.permission.CAMERA")),
            {"more-permissions": False},
            id="one permission more",
        ),
        pytest.param(apk(package="com.example.other", version_code=1), {"another-app": False}, id="another app"),
    ],
)
def test_what_stands_against_an_update_is_said(package: Package, expected: dict[str, bool]) -> None:
    assert met(package, device=PIXEL, previous=apk()) == expected


def test_a_new_team_cannot_update_an_app() -> None:
    theirs = provisioned(entitlements={"application-identifier": "AAAAAAAAAA.com.example.encore"})
    ours = provisioned(entitlements={"application-identifier": "BBBBBBBBBB.com.example.encore"})
    assert met(ours, previous=theirs, device=IPHONE) == {"other-team": True}


def test_the_sentence_names_what_is_there_and_what_is_wanted() -> None:
    (found,) = obstacles(apk(min_sdk=35), previous=None, device=PIXEL, https=True, now=BEFORE)
    assert found == Obstacle(
        "minimum-os",
        "The app needs Android 15 or newer and this device has Android 14: use a newer device, or lower `minSdk`.",
        blocks=True,
    )
