"""Why an Android package will not install. Each rule says where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from honk.ship.packages.facts import (
    ANDROID_RELEASES,
    AndroidFacts,
    Device,
    Obstacle,
    Package,
    android_release,
)

_ANDROID_11, _ANDROID_14, _ANDROID_15 = 30, 34, 35
_REGISTRATION = datetime(2026, 9, 30, tzinfo=UTC)


def android_obstacles(
    package: Package, facts: AndroidFacts, *, previous: Package | None, device: Device | None, now: datetime
) -> Iterator[Obstacle]:
    """What is in the way of this package on Android; see `obstacles`."""
    if package.kind == "aab":
        yield Obstacle(
            "bundle",
            "This is an Android App Bundle, which phones cannot install: build an APK (`assembleRelease` in place of "
            "`bundleRelease`), make one with `bundletool build-apks --mode=universal`, or upload the bundle to Google "
            "Play.",
            blocks=True,
        )
    known = device if device and device.platform == "android" else None
    level = api_level(known)
    if package.kind == "apk":
        yield from _signing(facts, level)
        yield from _packaging(facts, level)
    yield from _device(facts, known, level)
    yield from _registration(now)
    if previous is not None and previous.android is not None:
        yield from _update(facts, previous.android)


def api_level(device: Device | None) -> int | None:
    """The highest API level that the device's version of Android may have, or None if that is not known."""
    if device is None or device.os_version is None:
        return None
    numbers = _numbers(device.os_version)
    fitting = [level for level, release in ANDROID_RELEASES.items() if _same(_numbers(release), numbers)]
    newest = max(ANDROID_RELEASES)
    if not fitting and numbers and numbers[0] > _numbers(ANDROID_RELEASES[newest])[0]:
        return newest + numbers[0] - _numbers(ANDROID_RELEASES[newest])[0]
    return max(fitting, default=None)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int("".join(sign for sign in part if sign.isdigit()) or "0") for part in version.split("."))


def _same(release: tuple[int, ...], numbers: tuple[int, ...]) -> bool:
    """Whether a device that says `numbers` may run this release: `8.1.0` is 8.1, `9.0.0` is 9, `14` is 14."""
    length = max(len(release), 1 if release[0] >= 9 else 2)
    return numbers[:length] == (*release, 0)[:length] or (len(numbers) == 1 and numbers == release[:1])


def _signing(facts: AndroidFacts, level: int | None) -> Iterator[Obstacle]:
    signing = facts.signing
    if not signing.schemes:
        yield Obstacle(
            "unsigned",
            "The APK is not signed, and Android installs only signed ones: build the signed variant, or sign it with "
            "`apksigner`.",
            blocks=True,
        )
    elif signing.valid is False:
        yield Obstacle("bad-signature", f"Android will refuse the APK because {signing.fault}: sign it again.", True)
    # "Behavior changes: Apps targeting Android 11", section "APK Signature Scheme v2 now required".
    if signing.schemes == ("v1",) and facts.target_sdk >= 30 and (level is None or level >= _ANDROID_11):
        yield Obstacle(
            "only-v1",
            "The APK has only a v1 signature but targets Android 11 or newer, which refuses it: sign it with "
            "`apksigner`, which adds the v2 signature.",
            blocks=True,
        )
    if signing.debug:
        yield Obstacle(
            "debug-certificate",
            "The APK is signed with a debug certificate, which differs from machine to machine: the next build may not "
            "install over this one, so sign with one key of your own.",
            blocks=False,
        )


def _packaging(facts: AndroidFacts, level: int | None) -> Iterator[Obstacle]:
    # `android:testOnly` in the reference of `<application>`: such an APK is installed with `adb install -t` alone.
    if facts.test_only:
        yield Obstacle(
            "test-only",
            "The APK is marked as test-only, as Android Studio's Run button makes them, and phones refuse it: build it "
            "with `./gradlew assembleDebug` or `assembleRelease`.",
            blocks=True,
        )
    # PackageManager.INSTALL_FAILED_MISSING_SPLIT, for `android:isSplitRequired` and its meta-data of Google Play.
    if facts.split_required:
        yield Obstacle(
            "split-required",
            "The APK is only a part of an app and needs others beside it: build one universal APK, for a bundle with "
            "`bundletool build-apks --mode=universal`.",
            blocks=True,
        )
    # "Behavior changes: Apps targeting Android 11", section "Compressed resource files".
    if not facts.resources_ready and facts.target_sdk >= 30 and (level is None or level >= _ANDROID_11):
        yield Obstacle(
            "resources-compressed",
            "The APK targets Android 11 or newer, which wants `resources.arsc` uncompressed and aligned to four bytes: "
            "run `zipalign -f 4` before signing.",
            blocks=True,
        )


def _device(facts: AndroidFacts, device: Device | None, level: int | None) -> Iterator[Obstacle]:
    if level is not None and facts.min_sdk > level and device:
        yield Obstacle(
            "minimum-os",
            f"The app needs {android_release(facts.min_sdk)} or newer and this device has Android {device.os_version}: "
            "use a newer device, or lower `minSdk`.",
            blocks=True,
        )
    # "Behavior changes: all apps" of Android 14 (23) and of Android 15 (24): "Minimum installable target API level".
    least = 24 if level is None or level >= _ANDROID_15 else 23 if level >= _ANDROID_14 else 0
    if facts.target_sdk < least:
        yield Obstacle(
            "old-target",
            f"The app targets {android_release(facts.target_sdk)}, which new versions of Android refuse: raise "
            f"`targetSdk` to at least {least}.",
            blocks=level is not None,
        )
    if device and device.abis and facts.abis and not set(facts.abis) & set(device.abis):
        yield Obstacle(
            "abi",
            f"The app holds native code for {', '.join(facts.abis)} and this device runs {device.abis[0]}: add that "
            "ABI to the build.",
            blocks=True,
        )


def _registration(now: datetime) -> Iterator[Obstacle]:
    # "Android developer verification": from 30 September 2026 in Brazil, Indonesia, Singapore and Thailand, 2027
    # onwards elsewhere. A package does not tell whether its developer is registered.
    if now >= _REGISTRATION:
        yield Obstacle(
            "unregistered-developer",
            "Certified Android phones in Brazil, Indonesia, Singapore and Thailand refuse apps of developers who are "
            "not registered with Google, and others follow from 2027: register your developer account and this "
            "application id, or install with `adb`.",
            blocks=False,
        )


def _update(facts: AndroidFacts, previous: AndroidFacts) -> Iterator[Obstacle]:
    theirs = {certificate.sha256 for certificate in previous.signing.certificates}
    ours = {certificate.sha256 for certificate in facts.signing.certificates}
    # "Application signing": an update has the same certificates, or a proof of rotation that names the earlier one.
    if ours and theirs and ours != theirs and not theirs <= set(facts.signing.earlier):
        yield Obstacle(
            "other-certificate",
            "The app is signed with another certificate than the build before, so Android refuses the update: sign "
            "with the same key, or uninstall the app first, which loses its data.",
            blocks=True,
        )
    # "Version your app": Android does not let an app be replaced by one with a lower version code.
    if facts.version_code < previous.version_code:
        yield Obstacle(
            "lower-version",
            f"The version code {facts.version_code} is lower than the build before has ({previous.version_code}), and "
            "Android does not go back: raise `versionCode`, or uninstall the app first, which loses its data.",
            blocks=True,
        )
    elif facts.version_code == previous.version_code:
        yield Obstacle(
            "same-version",
            f"The version code {facts.version_code} is the same as that of the build before, so nobody can tell the "
            "two apart on a phone: raise `versionCode` with each build.",
            blocks=False,
        )
    added = sorted(set(facts.permissions) - set(previous.permissions))
    if added:
        shown = ", ".join(name.removeprefix("android.permission.") for name in added[:8])
        more = f" and {len(added) - 8} more" if len(added) > 8 else ""
        yield Obstacle(
            "more-permissions",
            f"The app asks for permissions that the build before did not ({shown}{more}): see that they are wanted.",
            blocks=False,
        )
