"""What somebody may want to look up about a package before installing it, in words: rights, signature, profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from honk.ship.packages.facts import AndroidFacts, Package, Profile, ProfileKind, android_release, one_line

_KINDS: Mapping[ProfileKind, str] = {
    "ad-hoc": "ad hoc",
    "development": "development",
    "enterprise": "enterprise",
    "app-store": "App Store",
}
_MOST = 12
_EVERY_APP = frozenset({"application-identifier", "com.apple.developer.team-identifier", "keychain-access-groups"})
"""Entitlements that each app has and that say nothing about this one."""
_UDID_END = 6
"""Characters at the end of a UDID: enough for its owner, and of no use to anybody else who has the link."""


def particulars(package: Package, before: Package | None) -> Iterator[tuple[str, str]]:
    """Names and what stands under them; `before` is the package that people have."""
    if package.android is not None:
        yield from _android(package.android, before.android if before else None)
    if package.ios is not None and package.ios.profile is not None:
        yield from _profile(package.ios.profile)


def _android(facts: AndroidFacts, before: AndroidFacts | None) -> Iterator[tuple[str, str]]:
    yield "Version code", f"{facts.version_code}, made for {android_release(facts.target_sdk)}"
    known = {one.sha256 for one in before.signing.certificates} if before else set()
    for certificate in facts.signing.certificates:
        told = f"{certificate.subject or 'a certificate'}, SHA-256 {certificate.sha256}"
        if known:
            same = certificate.sha256 in known
            told += ": the same as the build before" if same else ": not that of the build before"
        yield f"Signed ({', '.join(facts.signing.schemes)})", told
    if facts.permissions:
        had = set(before.permissions) if before else set(facts.permissions)
        named = [
            name.removeprefix("android.permission.") + ("" if name in had else " (new)")
            for name in sorted(facts.permissions, key=lambda name: (name in had, name))
        ]
        yield "Permissions", _few(named)


def _profile(profile: Profile) -> Iterator[tuple[str, str]]:
    at = profile.expires
    team = f", {profile.team}" if profile.team else ""
    yield "Profile", f"{_KINDS[profile.kind]}{team}, until {at.day} {at:%B %Y}"
    if profile.devices:
        listed = _few([f"…{udid[-_UDID_END:]}" for udid in profile.devices])
        yield "Devices", f"{len(profile.devices)}, whose UDID ends in {listed}"
    rights = [
        f"{one_line(name, 80).removeprefix('com.apple.developer.')}{_value(value)}"
        for name, value in profile.entitlements.items()
        if name not in _EVERY_APP and value is not False
    ]
    if rights:
        yield "Entitlements", _few(sorted(rights))


def _value(value: object) -> str:
    return f" ({one_line(value, 40)})" if isinstance(value, str) and value else ""


def _few(words: list[str]) -> str:
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    return ", ".join(words[:_MOST]) + more
