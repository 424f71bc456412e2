"""Lines of commands: whether they run a check, leave some of it out, or do nothing."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from honk.verify.tamper.facts import Mark

RUNS = re.compile(
    r"\b(pytest|tox|nox|unittest|jest|vitest|mocha|ava|cypress|playwright|eslint|biome|ruff|flake8|pylint"
    r"|mypy|pyright|tsc|clippy|golangci\S*|go (test|vet)|cargo (test|fmt|clippy|check)"
    r"|mvn\S*|gradle\S*|ktlint|detekt|swiftlint|swift test|xcodebuild|(npm|pnpm|yarn|bun)( run)? (test|lint"
    r"|check|build|ci|typecheck)\S*|make (test|lint|check)\S*|pre-commit|rubocop|rspec|phpunit|dotnet test"
    r"|coverage|bandit|semgrep|test|lint)\b"
)
NARROW = re.compile(
    r"--collect-only|--co\b|--setup-(plan|only)\b|--listTests\b"
    r"|--ignore(-glob)?[= ]|--deselect|(^|\s)-k[ =]?\S|(^|\s)-m\s+[\"']?not\b|--exclude\b|--skip\b"
    r"|testPathIgnorePatterns|--testPathIgnore|--maxfail|--lf\b|--last-failed|--no-cov\b|-p no:\w+|-short\b|-run\b"
    r"|--changed\b|--onlyChanged|-o addopts=|--disable-warnings|-W ignore|--bail=0|--grep|--invert"
    r"|-x \w*[tT]est\b|-DskipTests|-DskipITs|-Dmaven\.test\.skip|--skip-tests|--no-tests\b"
    r"|<skip(Tests)?>\s*true|maven\.test\.skip>\s*true|excludeTestsMatching|enabled\s*=\s*false|onlyIf\s*\{\s*false|<exclude>[^<]*Test|--exclude-task|-DexcludedGroups|--no-verify|--reruns|--retries"
)
LEFT_OUT = re.compile(
    r"--collect-only|--co\b|--setup-(plan|only)\b|--listTests\b|--ignore(-glob)?[= ][\"']?[\w.*-]*(/|\.py|tests?\b)"
    r"|--deselect\b|^(?!.*\b(curl|sort)\b).*(^|[\s\"'=])-k[ =]?[\"'\w]|-DskipTests|-Dmaven\.test\.skip"
    r"|-x \w*[tT]est\b|--suppress-tests-failed|--test_filter=-"
)
"""What leaves tests out, or runs none, also where nothing was said before: all of them ran then."""
NOTHING = re.compile(r"^\s*[\"']?(true|:|exit 0|echo\b[^&|;]*|node -e [\"']{0,2}|printf\b.*|)[\"']?\s*$")
_VERSIONED = re.compile(r"^-?\s*[\"']?(uses|image|rev|container|tag|[\w-]*version|toolchain|xcode)[\"']?\s*:")
_VERSION = re.compile(r"@\S+|\bv?\d[\w.+-]*")


def lines(before: str, after: str) -> tuple[list[Mark], list[Mark]]:
    """Lines that are gone and lines that are new; comments, empty lines and indentation do not count."""
    old, new = ([code(line) for line in text.split("\n")] for text in (before, after))
    gone, added = [], []
    for what, old_from, old_to, new_from, new_to in SequenceMatcher(
        None, old[:5000], new[:5000], autojunk=False
    ).get_opcodes():
        if what != "equal":
            gone += [Mark(at + 1, old[at]) for at in range(old_from, old_to) if old[at]]
            added += [Mark(at + 1, new[at]) for at in range(new_from, new_to) if new[at]]
    return gone, added


def code(line: str) -> str:
    return " ".join(re.sub(r"(^|\s)(#|//).*$", "", line).split())


def unversioned(line: str) -> str:
    """A line without the version of what it names."""
    return _VERSION.sub("", line) if _VERSIONED.match(line) else re.sub(r"@v?[\d.]+|==[\d.]+", "", line)


def stands(text: str, added: list[Mark]) -> bool:
    """Whether a line that runs a check has another one for it."""
    plain = unversioned(text)
    wanted = {found.group() for found in RUNS.finditer(text)}
    for mark in added:
        if unversioned(mark.text) == plain or SequenceMatcher(None, mark.text, text).ratio() > 0.75:
            return not NOTHING.match(mark.text.partition("run:")[2] or mark.text)
        if wanted and wanted <= {found.group() for found in RUNS.finditer(mark.text)}:
            return True
    return False


def same_narrowing(mark: Mark, old: Mark) -> bool:
    return {one.group() for one in NARROW.finditer(mark.text)} <= {one.group() for one in NARROW.finditer(old.text)}
