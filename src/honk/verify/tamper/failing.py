"""Commands whose failure no longer counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from honk.model import Finding, Severity
from honk.verify.tamper import paths
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.reporting import finding

_IGNORES = re.compile(
    r"\|\|\s*(true|:|/bin/true|exit\s+(/b\s+)?0|echo\b|printf\b|cd\s+\.|ver\b|rem\b|return\s+0)(?=[\s;\"'&)\]}|,]|$)"
    r"|;\s*(true|exit\s+0|:)\s*([\"'&)]|$)|(^|[\s;&\"'])set\s+\+\w*e\w*\b|(^|\s)set\s+\+o\s+errexit"
    r"|^\s*-?\s*[\"']?continue-on-error[\"']?\s*:\s*(true|\$\{\{)|^\s*allow_failure\s*:(?!\s*false)|^\s*continueOnError\s*:\s*true"
    r"|^\s*ignore_(errors|failures?)\s*:\s*(true|yes)|ignoreFailures\s*=\s*true|ignoreTestFailures|setIgnoreFailures\(true\)"
    r"|maven\.test\.(failure|error)\.ignore(=true)?\b|testFailureIgnore>\s*true"
    r"|<skip>\s*true|failOnError\s*[=:>]\s*false|failOnViolation\s*[=:>]\s*false"
    r"|abortOnError\s*[= ]\s*false|haltonfailure\s*=\s*[\"'](no|false)"
    r"|--exit-zero\b|--no-fail\b|--passWithNoTests\b|passWithNoTests\s*:\s*true|--pass-with-no-tests\b|--no-error-on-unmatched|--if-present\b"
    r"|--suppress-no-test-exit-code|--warn-only\b|--soft-fail\b|--exit-code[= ]0\b|--no-verify\b"
    r"|HUSKY\s*[=:]\s*[\"']?0|SKIP=\w+"
    r"|catchError\s*\(|returnStatus\s*:\s*true|(^|\s)\|\|\s*\(exit 0\)|2>\s*/dev/null\s*\|\|"
    r"|^\s*ignore_outcome\s*=\s*(true)|failed_when\s*:\s*false|^\s*soft_fail\s*:\s*true|^\s*allow-failure\s*:\s*true|^\s*fail_ci_if_error\s*:\s*false"
)
_CHECKS = re.compile(
    r"\b(test\w*|pytest|tox|nox|unittest|jest|vitest|mocha|ava|tap|karma|cypress|playwright|lint\w*|eslint|biome|ruff|flake8|pylint|mypy|pyright"
    r"|tsc|black|prettier|check\w*|verify|validate|clippy|cargo|vet|golangci\S*|go|mvn\w*|gradle\w*|ktlint|detekt|swiftlint|xcodebuild|build|coverage|cov"
    r"|audit|bandit|semgrep|shellcheck|rubocop|rspec|phpunit|phpstan|dotnet|bazel|make|npm|pnpm|yarn|bun|uv|poetry|hatch|pre-commit)\b"
)
_HARMLESS = re.compile(
    r"\b(rm|mkdir|kill|pkill|killall|docker|podman|grep|rg|which|command -v|type|source|git (diff|stash"
    r"|branch|tag|remote|config|fetch|rev-parse|describe|symbolic-ref|worktree|merge-base|ls-files|log|show)"
    r"|read|test -|\[ |\[\[|cp|mv|ln|umount|mount|stat|ls|cat|head|tail|wc|pgrep|systemctl|service|iptables"
    r"|ip|apt-get|brew|id|getent|users?add|groupadd|chown|chmod|touch|find|diff|cmp|expr|let|stty|tput|trap|wait|sleep|unset|launchctl|adb|gh|curl|wget|husky|corepack)\b"
)
_COMMENT = re.compile(r"^\s*(#|//|@?rem\b|::|<!--)", re.IGNORECASE)
_MAKE_IGNORES = re.compile(r"^\t[@+]*-[@+]*\s*(?P<command>\S.*)$")


def ignoring(path: str, before: str | None, after: str) -> Iterator[Finding]:
    """Findings about lines that let failures pass, in files that have commands; those there before are none."""
    if not paths.has_commands(path) and not path.endswith(
        ("maven.config", "pom.xml", ".gradle", ".gradle.kts", "build.xml", ".toml", ".cfg", ".ini")
    ):
        return
    known = Counter(_said(path, before or ""))
    for mark in _marks(path, after):
        if known[_plain(mark.text)] > 0:
            known[_plain(mark.text)] -= 1
            continue
        severity = _severity(path, mark.text)
        yield finding("failure-ignored", severity, path, mark, "A failure of this command no longer counts.")


def _said(path: str, text: str) -> Iterable[str]:
    return (_plain(mark.text) for mark in _marks(path, text))


def _marks(path: str, text: str) -> Iterator[Mark]:
    make = bool(re.search(r"akefile[^/]*$|\.mk$", path))
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > 2000 or _COMMENT.match(line):
            continue
        if _IGNORES.search(line) or (make and _MAKE_IGNORES.match(line)):
            yield Mark(number, line.strip())


def _severity(path: str, line: str) -> Severity:
    command = re.split(r"\|\||;", line)[0]
    told = _IGNORES.search(line)
    if told and not re.match(r"\s*(\|\||;|2>)", told.group()):
        return "serious" if not re.search(r"--if-present|SKIP=|2>", told.group()) else "warning"
    if _HARMLESS.search(command) and not re.search(
        r"\b(pytest|jest|vitest|eslint|mypy|tsc|cargo test|go test|npm (test|run)|lint)\b", command
    ):
        return "note"
    return "serious" if _CHECKS.search(command) else ("warning" if paths.is_ci(path) else "note")


def _plain(text: str) -> str:
    return " ".join(text.split())
