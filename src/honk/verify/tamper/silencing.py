"""Comments and attributes that switch a linter, a type checker or a coverage tool off."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from honk.model import Finding, Severity
from honk.verify.tamper.facts import Mark, Source
from honk.verify.tamper.matching import Sides
from honk.verify.tamper.reporting import finding


@dataclass(frozen=True)
class Silencer:
    """How one tool is told to be quiet."""

    tool: str
    pattern: str
    wide: str | None = None
    """Where this is found in what `pattern` found, a whole file or every rule is meant."""
    severity: Severity = "warning"
    of_line: bool = False
    """Whether no more than a line is meant, however many rules."""


def _silencer(
    tool: str, pattern: str, wide: str | None = None, severity: Severity = "warning", *, of_line: bool = False
) -> Silencer:
    return Silencer(tool, pattern, wide, severity, of_line)


_REST = r"[^\n]*"
_SILENCERS = (
    _silencer(
        "flake8 or ruff",
        rf"#\s*(flake8|ruff)\s*:\s*(noqa|disable){_REST}",
        r"noqa(?!\s*:\s*[A-Z])|disable(?!\s*[:=]?\s*\[?[A-Z])",
    ),
    _silencer("flake8 or ruff", rf"#\s*noqa\b{_REST}", r"noqa(?!\s*:\s*[A-Z])", of_line=True),
    _silencer("the type checker", rf"#\s*type:\s*ignore\b{_REST}", r"ignore(?!\[)(?=\s|$)", of_line=True),
    _silencer(
        "mypy", rf"#\s*mypy:\s*(ignore-errors|disable-error-code|allow-\S+){_REST}", r"ignore-errors(?!\s*=\s*[Ff]alse)"
    ),
    _silencer(
        "pyright", rf"#\s*pyright:\s*(ignore|basic|report\w+\s*=\s*(false|none)){_REST}", r"ignore(?!\[)(?=\s|$)|basic"
    ),
    _silencer("pylint", rf"#\s*pylint:\s*(disable|skip-file){_REST}", r"skip-file|disable(-\w+)?\s*=\s*all"),
    _silencer("bandit", rf"#\s*nosec\b{_REST}", r"nosec(?!\s*[:B])", of_line=True),
    _silencer("coverage", rf"#\s*pragma:\s*no\s*(cover|branch)\b{_REST}"),
    _silencer(
        "coverage",
        rf"(/\*|//)\s*(istanbul|c8|v8|node:coverage)\s*(:?\s*ignore|disable){_REST}",
        r"ignore\s+(file|start)|disable",
    ),
    _silencer(
        "eslint",
        rf"(/\*|//|\{{/\*)\s*eslint-disable\b{_REST}",
        r"eslint-disable(?!-(next-)?line)(?!-(next-)?line)|eslint-disable(-next)?-line\s*(\*/|--|$)",
    ),
    _silencer("eslint", rf"/\*\s*eslint\s+[\w@/-]+\s*:\s*(0|[\"']off[\"']){_REST}", r"."),
    _silencer("the type checker", rf"(//|/\*)\s*@ts-nocheck\b{_REST}", r"."),
    _silencer("the type checker", rf"(//|/\*)\s*@ts-ignore\b{_REST}", r".", of_line=True),
    _silencer("the type checker", rf"(//|/\*)\s*@ts-expect-error\b{_REST}"),
    _silencer(
        "the type checker", rf"(//|/\*)\s*@(flow\s+strict-local\s+off|noflow)\b{_REST}|\$Flow(FixMe|Ignore){_REST}"
    ),
    _silencer("tslint", rf"(//|/\*)\s*tslint:disable{_REST}", r"disable(?!-(next-)?line)"),
    _silencer("jshint or jslint", rf"(//|/\*)\s*(jshint|jslint)\s+(ignore|-W|\w+\s*:\s*false){_REST}"),
    _silencer("biome", rf"(//|/\*)\s*(biome-ignore(-all|-start)?|rome-ignore){_REST}", r"ignore-all|ignore-start"),
    _silencer("deno lint", rf"//\s*deno-lint-ignore(-file)?\b{_REST}", r"ignore-file"),
    _silencer("oxlint", rf"(//|/\*)\s*oxlint-disable\b{_REST}", r"oxlint-disable(?!-(next-)?line)"),
    _silencer("stylelint", rf"/\*\s*stylelint-disable\b{_REST}", r"stylelint-disable(?!-(next-)?line)"),
    _silencer("golangci-lint", rf"//\s*nolint\b{_REST}", r"nolint(?!:\s*\w)|nolint:\s*all", of_line=True),
    _silencer("staticcheck", rf"//\s*lint:(file-)?ignore\b{_REST}", r"file-ignore"),
    _silencer("gosec", rf"(//|/\*)\s*#nosec\b{_REST}", r"#nosec(?!\s*G)", of_line=True),
    _silencer(
        "the compiler's lints or clippy",
        r"#!?\s*\[\s*(cfg_attr\([^\]]*,\s*)?(allow|expect)\s*\([^\]]*",
        r"#!|\b(warnings|unused|clippy::(all|pedantic|correctness|suspicious))\b",
    ),
    _silencer("the compiler", r"@(file:)?Suppress(Warnings|Lint)?\s*\([^)]*\)?", r"\"all\"|file:"),
    _silencer("SpotBugs", r"@SuppressFBWarnings\b[^\n]*"),
    _silencer("Checkstyle", rf"(//|/\*)\s*CHECKSTYLE[:.](OFF|ON:OFF|SUPPRESS){_REST}", r"OFF"),
    _silencer("PMD", rf"//\s*NOPMD\b{_REST}"),
    _silencer("Sonar", rf"(//|#|/\*|--)\s*NOSONAR\b{_REST}"),
    _silencer("the IDE's inspections", rf"(//|/\*|#|<!--)\s*noinspection\b{_REST}"),
    _silencer("ktlint", rf"(//|/\*)\s*ktlint-disable\b{_REST}", r"disable\s*(\*/|$)"),
    _silencer("detekt", rf"//\s*detekt:\s*(disable|suppress){_REST}"),
    _silencer("SwiftLint", rf"//\s*swiftlint:disable\b{_REST}", r"disable\s+all|disable(?!:)"),
    _silencer(
        "the formatter",
        rf"//\s*(swift-format-ignore|clang-format off|prettier-ignore|@formatter:off){_REST}"
        rf"|#\s*(fmt:\s*(off|skip)|yapf:\s*disable|isort:\s*skip){_REST}|#\[rustfmt::skip\]",
        severity="note",
    ),
    _silencer("RuboCop", rf"#\s*rubocop:(disable|todo)\b{_REST}", r"(Metrics|Layout)?\b\s+all"),
    _silencer(
        "PHPStan, Psalm or PHP_CodeSniffer",
        rf"(@phpstan-ignore\S*|@psalm-suppress|phpcs:(ignore|disable)|phpcs:ignoreFile){_REST}",
        r"ignoreFile|phpcs:disable\s*$",
    ),
    _silencer(
        "the compiler",
        rf"#pragma\s+(warning\s*\(?\s*disable|GCC\s+diagnostic\s+ignored|clang\s+diagnostic\s+ignored){_REST}",
        r"disable\s*$",
    ),
    _silencer("clang-tidy", rf"//\s*NOLINT(NEXTLINE|BEGIN)?\b{_REST}", r"NOLINT(NEXTLINE|BEGIN)?(?!\w*\s*\()"),
    _silencer("ShellCheck", rf"#\s*shellcheck\s+disable={_REST}", r"disable=all"),
    _silencer("hadolint", rf"#\s*hadolint\s+(global\s+)?ignore={_REST}", r"global"),
    _silencer("Semgrep or CodeQL", rf"(nosemgrep|lgtm\s*\[|codeql\[){_REST}"),
    _silencer(
        "the secret scanner", rf"pragma:\s*(allowlist|whitelist)\s+(nextline\s+)?secret{_REST}|gitleaks:allow{_REST}"
    ),
)


def silenced(files: Iterable[Sides]) -> Iterator[Finding]:
    """Findings about what is switched off where it was not.

    What moved with its code is none, nor what stayed while its code was changed, nor what says less than it did.
    """
    listed = [
        (one, list(_found(one.before, one.text_before)), list(_found(one.after, one.text_after))) for one in files
    ]
    moved = Counter((found.tool, found.text, found.code) for _, before, _ in listed for found in before)
    for one, before, after in listed:
        wanted = Counter((found.tool, found.text, found.code) for found in after)
        spare = Counter((found.tool, found.text) for found in before if wanted[found.tool, found.text, found.code] == 0)
        said = {(found.tool, found.code): found for found in before}
        known = _code_lines(one.text_before)
        for found in after:
            stood = said.get((found.tool, found.code))
            if moved[found.tool, found.text, found.code] > 0:
                moved[found.tool, found.text, found.code] -= 1
            elif found.code not in known and spare[found.tool, found.text] > 0:
                spare[found.tool, found.text] -= 1
            elif stood is None or not (stood.wide or set(found.text.split()) <= set(stood.text.split())):
                yield _told(one, found, new=found.code not in known)


@dataclass(frozen=True)
class _Found:
    """A silencer where it stands, with the code that it speaks of."""

    silencer: Silencer
    line: int
    text: str
    code: str

    @property
    def tool(self) -> str:
        return self.silencer.tool

    @property
    def wide(self) -> bool:
        return bool(self.silencer.wide and re.search(self.silencer.wide, self.text))


def _told(one: Sides, found: _Found, *, new: bool) -> Finding:
    severity = found.silencer.severity
    if found.wide and not (found.silencer.of_line and found.line > 1) and severity == "warning":
        severity = "serious"
    if not found.wide and severity == "warning" and new:
        # Code that was written with the one exception it needs: what stood before and is silenced now is otherwise.
        severity = "note"
    how = ", whatever it says" if found.wide else ""
    message = f"A comment switches {found.tool} off here{how}."
    return finding("linter-silenced", severity, one.path, Mark(found.line, found.text), message)


_OWN_LINE = re.compile(r"^\s*(#|//|/\*|\*|@|\{/\*|<!--)")
_COMMENT = re.compile(r"\s*(#|//|/\*).*$")


def _code_lines(text: str) -> set[str]:
    lines = {line.strip() for line in text.split("\n")}
    return lines | {_COMMENT.sub("", line) for line in lines}


def _code(lines: Sequence[str], mark: Mark) -> str:
    """The code on a comment's line, or on the next one that has any."""
    at = mark.line - 1
    code = lines[at].split(mark.text.split("\n", 1)[0], 1)[0].strip() if at < len(lines) else ""
    while not code and at + 1 < len(lines):
        at += 1
        code = "" if _OWN_LINE.match(lines[at]) else _COMMENT.sub("", lines[at].strip())
    return code


def _found(source: Source | None, text: str) -> Iterator[_Found]:
    lines = text.split("\n")
    for mark in source.silencers if source else ():
        for silencer in _SILENCERS:
            found = re.search(silencer.pattern, mark.text)
            if found:
                said = " ".join(found.group().split())
                yield _Found(silencer, mark.line, said, _code(lines, mark))
                break
