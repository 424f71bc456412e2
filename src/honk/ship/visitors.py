"""Who opens a preview or fetches a package: a person, and on what; or a program that looks at links for somebody."""

from __future__ import annotations

import re
from collections.abc import Mapping

from honk.model import Trial
from honk.ship.packages import Device, device_of

ASKED = "Sec-CH-UA-Platform-Version, Sec-CH-UA-Model, Sec-CH-UA-Arch, Sec-CH-UA-Bitness"
"""The client hints that tell a device, for the header `Accept-CH`; browsers send them from then on, over https."""

_NOBODY = re.compile(
    r"bot\b|crawler|spider|slurp|preview|unfurl|headless|facebookexternalhit|slack-|whatsapp/|skypeuri|google-|iframely",
    re.IGNORECASE,
)
"""Words of programs that look at links by themselves though they call themselves browsers, too."""
_BROWSER = re.compile(r"^Mozilla/5\.0 .*(AppleWebKit|Gecko)/")
_APPLE = re.compile(r"^com\.apple\.appstored/|^itunesstored/|^com\.apple\.nsurlsessiond|^installd", re.IGNORECASE)
"""What fetches manifests on iOS after a tap, and the app once a person has confirmed the question; it is no browser."""
_APPLE_SYSTEM = re.compile(r"\biOS/(\d+)")
_APPLE_MODEL = re.compile(r"\bmodel/(iPhone|iPad|iPod)")
_ANDROID_FETCHER = re.compile(r"^AndroidDownloadManager/")

_BROWSERS = (
    (re.compile(r"\bEdg(?:A|iOS)?/"), "Edge"),
    (re.compile(r"\bOPR/"), "Opera"),
    (re.compile(r"\bSamsungBrowser/"), "Samsung Internet"),
    (re.compile(r"\b(?:Firefox|FxiOS)/"), "Firefox"),
    (re.compile(r"\b(?:Chrome|CriOS)/"), "Chrome"),
    (re.compile(r"\bSafari/"), "Safari"),
)
_SYSTEMS = (
    (re.compile(r"\bWindows\b"), "Windows"),
    (re.compile(r"\bMacintosh\b"), "Mac"),
    (re.compile(r"\bCrOS\b"), "ChromeOS"),
    (re.compile(r"\bLinux\b"), "Linux"),
)


def opened_by(headers: Mapping[str, str]) -> Trial | None:
    """On what a person opened a page, by the request's headers (lower-case names); None if it was no person, or not
    the page itself that was asked for.

    Over https, browsers say with `Sec-Fetch-*` (Fetch Metadata) that they navigate; elsewhere what they accept tells.
    """
    mode, destination = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest", "document")
    navigates = mode == "navigate" and destination == "document" if mode else "text/html" in headers.get("accept", "")
    return _person(headers) if navigates else None


def fetched_by(headers: Mapping[str, str]) -> Trial | None:
    """On what a person fetched a package, or had the system fetch it."""
    agent = headers.get("user-agent", "")
    if _APPLE.search(agent):
        model, system = _APPLE_MODEL.search(agent), _APPLE_SYSTEM.search(agent)
        return _named(agent, Device("ios", system[1] if system else None, model[1] if model else "iPhone"))
    if _ANDROID_FETCHER.search(agent):
        return _named(agent, device_of(agent.partition("(")[2], {}))
    return _person(headers)


def _person(headers: Mapping[str, str]) -> Trial | None:
    agent = headers.get("user-agent", "")[:512]
    ahead = f"{headers.get('sec-purpose', '')} {headers.get('purpose', '')} {headers.get('x-moz', '')}"
    if "prefetch" in ahead or "preview" in ahead or not _BROWSER.search(agent) or _NOBODY.search(agent):
        return None
    return _named(agent, device_of(agent, headers))


def _named(agent: str, device: Device) -> Trial:
    version = _short(device.os_version)
    if device.platform == "ios":
        system = f"{'iPadOS' if device.model == 'iPad' else 'iOS'} {version}" if version else ""
        parts = [device.model or "iPhone", system]
    elif device.platform == "android":
        parts = [device.model or "", f"Android {version}" if version else "" if device.model else "Android device"]
    else:
        browser = next((name for pattern, name in _BROWSERS if pattern.search(agent)), "A browser")
        system = next((name for pattern, name in _SYSTEMS if pattern.search(agent)), "a computer")
        return Trial(f"{browser} on {system}", "desktop")
    return Trial(", ".join(part for part in parts if part), device.platform, exact=bool(version and device.model))


def _short(version: str | None) -> str:
    """The release as people say it: `16` of `16.0.0`, `8.1` of `8.1.0`."""
    if not version:
        return ""
    first, _, rest = version.partition(".")
    second = rest.partition(".")[0]
    return f"{first}.{second}" if first.isdigit() and int(first) < 9 and second not in ("", "0") else first
