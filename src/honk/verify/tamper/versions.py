"""Languages and dependencies that are older after a change."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from honk.model import Finding
from honk.verify.tamper import paths
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.reporting import finding

_V = r"v?(?P<version>\d+(?:\.\d+)*(?:[-.+]?[A-Za-z][\w.+-]*)?)"
_RANGE = rf"(?P<range>[\^~=<>! ]*)\s*{_V}"


@dataclass(frozen=True)
class _Kind:
    """How versions stand in files of some kind: each pattern has `version`, and `name` or the fixed `name` here."""

    files: re.Pattern[str]
    patterns: tuple[str, ...]
    name: str = ""


def _kind(files: str, *patterns: str, name: str = "") -> _Kind:
    return _Kind(re.compile(files), patterns, name)


_KINDS = (
    _kind(
        r"(^|/)(requirements|constraints)[\w.-]*\.(txt|in)$|(^|/)requirements/",
        rf"^\s*(?P<name>[A-Za-z][\w.-]*)(?:\[[^\]]*\])?\s*(?P<range>===?|~=|>=)\s*{_V}",
    ),
    _kind(
        r"(^|/)(pyproject\.toml|setup\.(py|cfg)|Pipfile|environment\.ya?ml)$",
        rf"[\"']?(?P<name>[A-Za-z][\w.-]*)(?:\[[^\]]*\])?\s*(?P<range>===?|~=|>=|\^)\s*{_V}",
        rf"^\s*(?P<name>requires-python|python_requires|python|python_version"
        rf"|target-version)\s*=\s*[\"'][\^~>= ]*(?:py)?{_V}",
        rf"^\s*[\"']?(?P<name>[A-Za-z][\w.-]*)[\"']?\s*=\s*(?:\{{[^}}\n]*version\s*=\s*)?[\"']{_RANGE}",
    ),
    _kind(
        r"(^|/)(package|composer)\.json$",
        rf"\"(?P<name>[@\w./-]+)\"\s*:\s*\"(?:npm:[@\w/-]+@|workspace:)?{_RANGE}",
        rf"\"(?P<name>packageManager)\"\s*:\s*\"\w+@{_V}",
    ),
    _kind(
        r"(^|/)(\.nvmrc|\.node-version|\.python-version|\.ruby-version|\.java-version|\.go-version|\.terraform-version|runtime\.txt|rust-toolchain)$",
        rf"^\s*(?:[a-z]+[-@])?{_V}\s*$",
        name="the language",
    ),
    _kind(r"(^|/)(\.tool-versions|\.mise\.toml|mise\.toml|\.sdkmanrc)$", rf"^\s*(?P<name>[\w-]+)\s*[= ]\s*[\"']?{_V}"),
    _kind(
        r"(^|/)go\.mod$",
        rf"^(?P<name>go|toolchain)\s+(?:go)?{_V}",
        rf"^\s*(?:require\s+)?(?P<name>[\w.-]+\.[a-z]+/[\w./-]+)\s+{_V}",
    ),
    _kind(
        r"(^|/)(Cargo\.toml|rust-toolchain\.toml)$",
        rf"^\s*(?P<name>[\w-]+)\s*=\s*(?:\{{[^}}\n]*?version\s*=\s*)?\"{_RANGE}",
        rf"^\[(?:[\w-]+\.)*dependencies\.(?P<name>[\w-]+)\][^\[]*?^version\s*=\s*\"{_RANGE}",
    ),
    _kind(
        r"(^|/)(pom\.xml|[\w.-]+\.pom)$",
        rf"<artifactId>(?P<name>[\w.-]+)</artifactId>\s*<version>{_V}</version>",
        rf"<(?P<name>[\w.-]*(?:version|source|target|release)[\w.-]*)>{_V}</",
    ),
    _kind(
        r"\.gradle(\.kts)?$|\.versions\.toml$|gradle-wrapper\.properties$|gradle\.properties$",
        rf"[\"'](?P<name>[\w.-]+:[\w.-]+):{_V}[\"'@]",
        rf"\bid\s*\(?\s*[\"'](?P<name>[\w.-]+)[\"']\s*\)?\s*version\s*\(?\s*[\"']{_V}",
        rf"\bkotlin\s*\(\s*[\"'](?P<name>[\w.-]+)[\"']\s*\)\s*version\s*[\"']{_V}",
        rf"(?P<name>jvmTarget|sourceCompatibility|targetCompatibility|compileSdk|targetSdk|minSdk|languageVersion"
        rf"|jvmToolchain|apiVersion)\w*\s*[=( ]+(?:[\w.]+(?:of|VERSION_|JVM_)\(?)?[\"']?{_V}",
        rf"^\s*(?P<name>[\w.-]+)\s*=\s*(?:\{{[^}}\n]*version\s*=\s*)?[\"']?{_V}[\"']?\s*\}}?\s*$",
        rf"(?P<name>distributionUrl)=.*gradle-{_V}",
    ),
    _kind(
        r"(^|/)(Dockerfile[^/]*|Containerfile)$|compose[^/]*\.ya?ml$",
        rf"^\s*(?:FROM\s+(?:--platform=\S+\s+)?|image:\s*[\"']?)(?P<name>[\w./-]+):{_V}",
    ),
    _kind(
        r"\.(cs|fs|vb)proj$|Directory\.(Packages|Build)\.props$|packages\.config$|(^|/)global\.json$",
        rf"(?:Include|id)=\"(?P<name>[\w.-]+)\"\s+[Vv]ersion=\"{_V}",
        rf"<(?P<name>TargetFramework|LangVersion)>(?:net(?:coreapp|standard)?)?{_V}",
        rf"\"(?P<name>version)\"\s*:\s*\"{_V}",
    ),
    _kind(
        r"(^|/)Package\.swift$",
        rf"(?P<name>swift-tools-version):\s*{_V}",
        rf"url:\s*\"(?P<name>[^\"]+)\"\s*,\s*(?:from:|exact:|\.upToNext\w+\(from:|\.exact\()\s*\"{_V}",
        r"\.(?P<name>macOS|iOS|tvOS|watchOS)\(\.v(?P<version>\d+)",
    ),
    _kind(
        r"(^|/)(Gemfile|[\w-]+\.gemspec|Podfile)$",
        rf"^\s*(?:gem|pod|\w+\.add_\w*dependency)\s+[\"'](?P<name>[\w./-]+)[\"']\s*,\s*[\"']{_RANGE}",
        rf"^\s*(?P<name>ruby|platform :\w+,)\s+[\"']{_V}",
    ),
    _kind(r"(^|/)(poetry|uv|pdm|Cargo)\.lock$", rf"^name = \"(?P<name>[^\"]+)\"\nversion = \"{_V}\""),
    _kind(
        r"(^|/)(package-lock|npm-shrinkwrap)\.json$",
        rf"^\s*\"(?:node_modules/)?(?P<name>[@\w./-]+)\":\s*\{{\s*\"version\":\s*\"{_V}",
    ),
    _kind(r"(^|/)yarn\.lock$", rf"^\"?(?P<name>@?[\w./-]+)@[^\n]*:\n\s+version:?\s+\"?{_V}"),
    _kind(r"(^|/)pnpm-lock\.yaml$", rf"^\s{{2}}[\"']?/?(?P<name>@?[\w./-]+)[@/]{_V}[\"']?(?:\([^\n]*\))?:"),
    _kind(r"(^|/)(Gemfile|Podfile)\.lock$", rf"^\s{{4}}(?P<name>[\w.-]+) \({_V}\)"),
)
_CI_PATTERNS = (
    rf"uses:\s*[\"']?(?P<name>[\w./-]+)@{_V}",
    rf"(?i:^\s*-?\s*(?P<name>[\w-]*(?:python|node|go|java|ruby|dotnet|rust|swift|xcode|kotlin|toolchain)[-_]?version|toolchain)\s*:\s*[\"']?{_V}[\"']?\s*(?:#.*)?$)",
    rf"^\s*(?:-\s*)?image:\s*[\"']?(?P<name>[\w./-]+):{_V}",
)
_NOT_NAMES = {"version", "name", "description", "license", "edition-year", "schema", "lockfileVersion", "line-length",
              "length", "width", "port", "timeout", "fail_under", "indent", "size", "count", "max-complexity",
              "max-line-length", "distributionBase"}  # fmt: skip


def downgraded(path: str, before: str | None, after: str | None) -> Iterator[Finding]:
    """Findings about versions that are lower than they were in the same file."""
    if before is None or after is None or before == after:
        return
    kinds = [one for one in _KINDS if one.files.search(path)]
    if paths.is_ci(path):
        kinds.append(_Kind(re.compile(""), _CI_PATTERNS))
    told = 0
    for kind in kinds:
        old, new = _versions(kind, before, path), _versions(kind, after, path)
        for name, listed in old.items():
            if name not in new:
                continue
            was, now = max(listed, key=lambda one: one[0]), max(new[name], key=lambda one: one[0])
            if now[0] < was[0] and told < 20:
                told += 1
                message = f"`{name}` is at {now[1]} now; it was at {was[1]}."
                yield finding("version-downgraded", "warning", path, now[2], message)


_OF_VERSION = re.compile(r"version|:|Compatib|sdk|jvm|gradle", re.IGNORECASE)
_Version = tuple[tuple[tuple[int, ...], int], str, Mark]


def _versions(kind: _Kind, text: str, path: str) -> dict[str, list[_Version]]:
    found: dict[str, list[_Version]] = defaultdict(list)
    for pattern in kind.patterns:
        for one in re.finditer(pattern, text, re.MULTILINE):
            parts = one.groupdict()
            name = parts.get("name") or kind.name
            if name in _NOT_NAMES or "<" in (parts.get("range") or "") or "!" in (parts.get("range") or ""):
                continue
            if re.search(r"\.[x*]", parts["version"]) or (
                path.endswith((".gradle", ".kts")) and not _OF_VERSION.search(one.group())
            ):
                continue
            start = one.start("version")
            line = text.count("\n", 0, start)
            end = text.find("\n", start)
            shown = text[text.rfind("\n", 0, start) + 1 : end if end >= 0 else None].strip()
            found[name].append((_order(parts["version"]), parts["version"], Mark(line + 1, shown)))
    return found


def _order(version: str) -> tuple[tuple[int, ...], int]:
    """A version as something that can be compared: its numbers, and whether it is one before the release."""
    numbers = re.match(r"[\d.]+", version)
    parts = [int(part) for part in numbers.group().split(".") if part] if numbers else []
    while parts and parts[-1] == 0:
        parts.pop()
    early = bool(
        re.search(r"(?<![a-z])(a|b|rc|alpha|beta|dev|pre|preview|canary|next|snapshot|m)(?=[\d.-]|$)", version.lower())
    )
    return tuple(parts), 0 if early else 1
