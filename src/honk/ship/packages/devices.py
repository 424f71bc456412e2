"""Which device a request came from, as far as its headers tell."""

from __future__ import annotations

import re
from collections.abc import Mapping

from honk.ship.packages.facts import Device, one_line

_IOS = re.compile(r"\b(iPhone|iPad|iPod)\b[^)]*?\bOS (\d+(?:_\d+){0,2})")
_ANDROID = re.compile(r"\bAndroid(?: (\d+(?:\.\d+){0,2}))?(?:; ([^;)]+))?")
_SAFARI = re.compile(r"\bVersion/(\d+(?:\.\d+){0,2})")
_MODELS_OF_NOBODY = {"K", "Mobile", "Tablet", "wv", "U"}
_FROZEN_IOS = (18, 6)
_FROZEN_ANDROID = "10"
_VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){0,3}")
_LONGEST = 512


def device_of(user_agent: str, hints: Mapping[str, str]) -> Device:
    """The device behind a `User-Agent` and the `Sec-CH-UA-*` headers (any case) of the same request.

    - Chrome and Firefox say Android 10 whatever runs ("User-Agent reduction"), so a 10 tells nothing without the hints
      `Sec-CH-UA-Platform-Version` and `-Model`, which a page has to ask for with `Accept-CH`.
    - Safari 26 and newer say iOS 18.6 or 18.7 whatever runs; `Version/` then tells. Other browsers on iOS tell nothing.
    - An iPad asks for desktop pages by default and then claims to be a Mac: it is told as a desktop.
    """
    said = {name.lower(): value.strip().strip('"')[:_LONGEST] for name, value in hints.items()}
    agent = user_agent[:_LONGEST]
    if ios := _IOS.search(agent):
        return Device("ios", _ios_version(ios[2], agent), model=ios[1])
    android = _ANDROID.search(agent)
    if android or said.get("sec-ch-ua-platform", "").lower() == "android":
        return _android(android, said)
    return Device("desktop")


def _ios_version(written: str, agent: str) -> str | None:
    version = written.replace("_", ".")
    numbers = tuple(int(part) for part in version.split("."))
    if numbers[:1] == _FROZEN_IOS[:1] and numbers >= _FROZEN_IOS:
        safari = _SAFARI.search(agent)
        return safari[1] if safari else None
    return version


def _android(android: re.Match[str] | None, said: Mapping[str, str]) -> Device:
    hinted = said.get("sec-ch-ua-platform-version", "")
    written = android[1] if android else None
    version = hinted if _VERSION.fullmatch(hinted) else written if written != _FROZEN_ANDROID else None
    model = one_line(said.get("sec-ch-ua-model", ""), 60)
    if not model and android and android[2]:
        model = one_line(android[2].partition(" Build/")[0], 60)
    return Device("android", version, None if model in ("", *_MODELS_OF_NOBODY) else model, _abis(said))


def _abis(said: Mapping[str, str]) -> tuple[str, ...] | None:
    """From `Sec-CH-UA-Arch` and `-Bitness`, which most phones leave empty. A 64-bit system may run 32-bit code or not;
    it is taken to."""
    bits = said.get("sec-ch-ua-bitness", "")
    known = {
        ("arm", "64"): ("arm64-v8a", "armeabi-v7a", "armeabi"),
        ("arm", "32"): ("armeabi-v7a", "armeabi"),
        ("x86", "64"): ("x86_64", "x86"),
        ("x86", "32"): ("x86",),
    }
    return known.get((said.get("sec-ch-ua-arch", "").lower(), bits))
