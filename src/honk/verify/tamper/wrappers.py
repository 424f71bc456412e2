"""Programs in a repository that run as the tool that checks it: Gradle's and Maven's wrappers, yarn, Bazel's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from honk.model import ChangedFile, Finding
from honk.verify.tamper.around import Sides
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.reporting import finding

_SCRIPTS = {
    "gradlew": re.compile(r"gradle-wrapper\.jar|GradleWrapperMain"),
    "mvnw": re.compile(r"maven", re.IGNORECASE),
}
_ENDS_WELL = re.compile(r"(^|[;&|\s{(])(exit|return) +0\b")
_PROPERTIES = re.compile(r"(^|/)(?P<tool>gradle|maven)-wrapper\.properties$")
_JAR = re.compile(r"(^|/)(?P<tool>gradle|maven)-wrapper\.jar$")
_TRUSTED = {
    "gradle": re.compile(r"(^|\.)gradle\.org$"),
    "maven": re.compile(r"(^|\.)(apache|maven)\.org$"),
}
"""Where the projects themselves publish what the wrappers fetch."""
_URLS = ("distributionUrl", "wrapperUrl")
_SUMS = ("distributionSha256Sum", "wrapperSha256Sum")
_AS_TOOL = re.compile(r"(^|/)\.yarn/(releases|plugins)/[^\n]*\.[cm]?js$|(^|/)tools/bazel$|(^|/)\.pnpmfile\.[cm]?js$")


def wrapped(changed: Sequence[ChangedFile], sides: Sides) -> Iterator[Finding]:
    """Findings about wrappers that start something else, or fetch it from elsewhere."""
    by_path = {one.path: one for one in changed}
    for file in changed:
        if file.after is None or file.after == file.before:
            continue
        name = file.path.rpartition("/")[2]
        if name in _SCRIPTS:
            yield from _script(file, name, by_path)
        elif found := _PROPERTIES.search(file.path):
            yield from _properties(file, found["tool"])
        elif found := _JAR.search(file.path):
            yield from _jar(file, found["tool"], by_path, sides)
        elif _AS_TOOL.search(file.path):
            message = (
                "This program runs as, or within, the tool that the checks start: compare it with its publisher's."
            )
            yield finding("checks-changed", "serious", file.path, None, message)


def _script(file: ChangedFile, name: str, by_path: Mapping[str, ChangedFile]) -> Iterator[Finding]:
    before, after = _code(file.before), _code(file.after)
    if not _SCRIPTS[name].search("\n".join(after)):
        message = f"`{name}` no longer starts the build tool that the checks run."
        yield finding("checks-changed", "serious", file.path, None, message)
        return
    if file.before is None:
        return
    known = set(before)
    added = [line for line in after if line and line not in known]
    folder = file.path.removesuffix(name)
    tool = "gradle" if name == "gradlew" else "maven"
    prefix = "gradle/wrapper" if tool == "gradle" else ".mvn/wrapper"
    upgraded = f"{folder}{prefix}/{tool}-wrapper.properties" in by_path
    # The tool that writes it writes its properties, too.
    odd = added if not upgraded else [line for line in added if _ENDS_WELL.search(line)]
    if odd:
        message = f"`{name}`, by which the checks start the build tool, was changed by hand."
        yield finding("checks-changed", "serious", file.path, _mark(file.after, odd[0]), message)


def _code(data: bytes | None) -> list[str]:
    lines = (data or b"").decode("utf-8", "replace").splitlines()
    return ["" if line.lstrip().startswith("#") else line.strip() for line in lines]


def _mark(data: bytes | None, wanted: str) -> Mark:
    lines = (data or b"").decode("utf-8", "replace").splitlines()
    return Mark(next((at for at, line in enumerate(lines, 1) if line.strip() == wanted), 0), wanted)


def _properties(file: ChangedFile, tool: str) -> Iterator[Finding]:
    before, after = _read(file.before), _read(file.after)
    for name in _URLS:
        was, now = urlsplit(before.get(name, "")), urlsplit(after.get(name, ""))
        if not after.get(name) or before.get(name) == after[name]:
            continue
        host = now.hostname or ""
        known = _TRUSTED[tool].search(host) or (host and host == was.hostname)
        if not known or now.scheme not in {"https", was.scheme}:
            message = f"The build tool that the checks run is fetched from elsewhere: {host or after[name]}."
            yield finding("checks-changed", "serious", file.path, _mark_of(file.after, name), message)
    for name in _SUMS:
        if before.get(name) and not after.get(name):
            message = f"What is fetched is compared with a checksum no longer: `{name}` is gone."
            yield finding("checks-changed", "serious", file.path, Mark(0, f"{name}={before[name]}"), message)


def _jar(file: ChangedFile, tool: str, by_path: Mapping[str, ChangedFile], sides: Sides) -> Iterator[Finding]:
    place = f"{file.path.removesuffix('.jar')}.properties"
    told = _read(sides.after.get(place, "").encode())
    upgraded = place in by_path and by_path[place].before != by_path[place].after
    trusted = all(_TRUSTED[tool].search(urlsplit(told[name]).hostname or "") for name in _URLS if told.get(name))
    summed = any(told.get(name) for name in _SUMS)
    if not (upgraded and trusted and summed):
        why = "its properties were not changed with it" if not upgraded else "they name no checksum"
        message = f"The program that fetches and starts the build tool is another, and {why}."
        yield finding("checks-changed", "serious", file.path, None, message)


def _read(data: bytes | None) -> dict[str, str]:
    found = {}
    for line in (data or b"").decode("utf-8", "replace").splitlines():
        name, is_pair, value = line.partition("=")
        if is_pair and not line.lstrip().startswith(("#", "!")):
            found[name.strip()] = value.strip().replace("\\:", ":").replace("\\=", "=")
    return found


def _mark_of(data: bytes | None, name: str) -> Mark:
    lines = (data or b"").decode("utf-8", "replace").splitlines()
    at = next((at for at, line in enumerate(lines, 1) if line.split("=")[0].strip() == name), 0)
    return Mark(at, lines[at - 1].strip() if at else name)
