"""Keys, tokens and passwords in what a change adds."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Protocol

from honk.masking import SHAPES
from honk.model import Finding, Severity
from honk.verify.tamper import paths
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.reporting import finding

_LONGEST_LINE = 4000
_NAMED = re.compile(
    r"(?P<name>(?<![\w.-])[\w.-]{0,60}(?:pass(?:word|wd|phrase)|secret|token|api_?-?key|auth_?-?key|access_?-?key|private_?-?key|client_?-?secret|credential)s?[\w-]*)"
    r"[\"']?\s*(?::=|=>|[:=](?!=))\s*(?P<quote>[\"'`])(?P<value>[^\"'`\s]{8,200})(?P=quote)",
    re.IGNORECASE,
)
_UNQUOTED = re.compile(
    r"^\s*(?:export\s+|ENV\s+|-\s+)?(?P<name>[A-Z][A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)[A-Z0-9_]*)\s*[:=]\s*(?P<value>[^\s\"'#]{12,200})\s*$"
)
_PLACEHOLDER = re.compile(
    r"example|sample|dummy|fake|mock|placeholder|change_?-?me|your[_-]?|my[_-]?(secret|password|token|key)|xxx|\*\*\*|\.\.\.|<.*>|\$\{|\{\{|%\(|%s|\$\(|^\$|todo"
    r"|redacted|insert|replace|not[_-]?a[_-]?|test|foobar|hunter2$|correct.?horse|12345|abcdef|qwerty|^(.)\1+$|process\.env|os\.environ|getenv|secrets?\.|vault|null|none|undefined"
    r"|localhost|^[\w.-]*(password|secret|token|key)[\w.-]*$|^/|^https?://|^\.|^@|::|\(|\["
    r"|^[a-z]+([-_. ][a-z]+)*$|^[A-Z]+(_[A-Z]+)+$|^[A-Z]?[a-z]+([A-Z][a-z]+)+$",
    re.IGNORECASE,
)
_LONG = re.compile(r"[\w/+=.-]{16,}")
"""In every text with a secret of a known shape; the scanner is brought in only for those."""
_WORDY = re.compile(r"^[a-z]+([-_./ ][a-z]+)*$|^[A-Z]+(_[A-Z]+)+$|^[A-Z]?[a-z]+([A-Z][a-z]+)+$")
_KNOWN_FAKE = re.compile(r"EXAMPLE|AKIAIOSFODNN7|wJalrXUtnFEMI|0{8,}|1234567|abcdefg|x{6,}|deadbeef", re.IGNORECASE)
_HASHES = re.compile(
    r"(^|[\"'\s:=/@-])(sha\d+|md5|integrity|checksum|digest|hash|commit|rev|resolved|etag)\b", re.IGNORECASE
)


_LOOSE = {"password in an address", "authorization header", "netrc"}
"""Shapes that examples have, too."""


class _Detector(Protocol):
    secret_type: str

    def analyze_string(self, string: str) -> Iterator[str]: ...


@cache
def _detectors() -> list[_Detector]:
    from detect_secrets.plugins.artifactory import ArtifactoryDetector
    from detect_secrets.plugins.aws import AWSKeyDetector
    from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
    from detect_secrets.plugins.discord import DiscordBotTokenDetector
    from detect_secrets.plugins.github_token import GitHubTokenDetector
    from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
    from detect_secrets.plugins.mailchimp import MailchimpDetector
    from detect_secrets.plugins.npm import NpmDetector
    from detect_secrets.plugins.openai import OpenAIDetector
    from detect_secrets.plugins.pypi_token import PypiTokenDetector
    from detect_secrets.plugins.sendgrid import SendGridDetector
    from detect_secrets.plugins.slack import SlackDetector
    from detect_secrets.plugins.square_oauth import SquareOAuthDetector
    from detect_secrets.plugins.stripe import StripeDetector
    from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
    from detect_secrets.plugins.twilio import TwilioKeyDetector

    kinds = (AWSKeyDetector, ArtifactoryDetector, AzureStorageKeyDetector, DiscordBotTokenDetector, GitHubTokenDetector,
             GitLabTokenDetector, MailchimpDetector, NpmDetector, OpenAIDetector, PypiTokenDetector,
             SendGridDetector, SlackDetector, SquareOAuthDetector, StripeDetector, TelegramBotTokenDetector,
             TwilioKeyDetector)  # fmt: skip
    return [kind() for kind in kinds]


def committed(path: str, before: str | None, after: str) -> Iterator[Finding]:
    """Findings about secrets in lines that are new; those in tests and documents are told more softly."""
    if paths.is_lock(path):
        return
    known = Counter(line.strip() for line in before.split("\n")) if before else Counter[str]()
    lines = after.split("\n")
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if len(text) < 12 or len(line) > _LONGEST_LINE:
            continue
        if known[text] > 0:
            known[text] -= 1
            continue
        found = _private_key(lines, number) if "PRIVATE KEY" in text else _in_line(text)
        if found and not (before and found[1] in before):
            yield _told(path, number, line, *found)


def _told(path: str, number: int, line: str, kind: str, secret: str, sure: bool) -> Finding:
    shown = line.replace(secret, f"{secret[:4]}•••") if len(secret) > 8 else "•••"
    fake = bool(_KNOWN_FAKE.search(secret))
    aside = (
        paths.is_test(path)
        or paths.is_data(path)
        or path.endswith((".md", ".rst", ".txt", ".adoc", ".example", ".sample", ".template"))
    )
    severity: Severity = "serious" if sure else "warning"
    if fake or aside:
        severity = "note" if fake or not sure or kind in _LOOSE else "warning"
    return finding(
        "secret-committed", severity, path, Mark(number, shown), f"What looks like a secret ({kind}) is in the change."
    )


def _private_key(lines: list[str], number: int) -> tuple[str, str, bool] | None:
    """As `_in_line`, for what stands on lines of its own behind its first."""
    block = "\n".join(line.strip() for line in lines[number - 1 : number + 3])
    shape = next(one for one in SHAPES if one.name == "private key")
    found = shape.pattern.search(block)
    return (shape.name, found.group().split("\n", 1)[0], True) if found else None


def _in_line(text: str) -> tuple[str, str, bool] | None:
    """What kind of secret, the secret, and whether its form alone tells."""
    low = text.lower()
    for shape in SHAPES:
        if shape.hint in low and (found := shape.pattern.search(text)):
            secret = found.group()
            if shape.name in _LOOSE and _PLACEHOLDER.search(secret[len(found["kept"]) :]):
                continue
            return shape.name, secret, True
    if not _LONG.search(text):
        return _by_name(text)
    for detector in _detectors():
        for secret in detector.analyze_string(text):
            if secret and not _PLACEHOLDER.search(secret):
                return detector.secret_type, secret, len(secret) >= 20
    return _by_name(text)


def _by_name(text: str) -> tuple[str, str, bool] | None:
    found = _NAMED.search(text) or _UNQUOTED.match(text)
    if not found or _HASHES.search(text[: found.start("value")].lower().replace(found["name"].lower(), "")):
        return None
    value = found["value"]
    if _PLACEHOLDER.search(value) or _WORDY.match(value) or not _random(value):
        return None
    return "a value under such a name", value, _random(value, more=True)


def _random(value: str, *, more: bool = False) -> bool:
    """Whether it has the look of something no person made up: signs of several kinds, few of them twice."""
    kinds = sum(bool(re.search(pattern, value)) for pattern in (r"[a-z]", r"[A-Z]", r"\d", r"[^\w]"))
    counts = Counter(value)
    entropy = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    if more:
        return entropy >= 3.3 and kinds >= 2 and len(value) >= 12
    return entropy >= 2.7 and kinds >= 2
