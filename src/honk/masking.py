"""A second net under what keeps secrets away: texts without the secrets that are known, and without what has the shape
of one."""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

Mask = Callable[[str], str]

HIDDEN = "•••"
_SHORTEST = 8
"""Characters of a known secret; a shorter one would take ordinary words with it."""
_SHORTEST_LINE = 32


@dataclass(frozen=True)
class Shape:
    """How one kind of secret looks. The group `kept` in the pattern stays to be read."""

    name: str
    hint: str
    """In lower case, in every text that has one: looking for it first is quick."""
    pattern: re.Pattern[str]
    source: str
    """Where the shape is described."""


def _shape(name: str, hint: str, pattern: str, source: str) -> Shape:
    # At the beginning of a word, or after the two characters that stand for the end of a line in quoted text.
    return Shape(name, hint, re.compile(rf"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:{pattern})"), source)


_GITHUB = "docs.github.com/authentication: about authentication, GitHub's token formats"
_GITLAB = "docs.gitlab.com: token overview"
_AWS = "docs.aws.amazon.com: IAM identifiers"
_SLACK = "docs.slack.dev: token types"

SHAPES = (
    _shape("Anthropic key", "sk-ant-", r"(?P<kept>sk-ant-)[\w-]{20,}", "platform.claude.com: API keys"),
    _shape("OpenAI key", "sk-", r"(?P<kept>sk-(?:proj|svcacct|admin)-)[\w-]{20,}", "detect-secrets: openai"),
    _shape("OpenAI key, older", "t3blbkfj", r"(?P<kept>sk-)\w{20}T3BlbkFJ\w{20}", "detect-secrets: openai"),
    _shape("GitHub token", "gh", r"(?P<kept>gh[pousr]_)[A-Za-z0-9]{36,255}", _GITHUB),
    _shape("GitHub token, fine-grained", "github_pat_", r"(?P<kept>github_pat_)\w{22,255}", _GITHUB),
    _shape("GitLab token", "gl", r"(?P<kept>gl(?:pat|dt|ft|soat|rt|cbt|ptt|agent)-)[\w-]{20,}", _GITLAB),
    _shape("Slack token", "xox", r"(?P<kept>xox[abceoprs][.-])[\w.-]{10,}", _SLACK),
    _shape("Slack app token", "xapp-", r"(?P<kept>xapp-)\d-[\w-]{10,}", _SLACK),
    _shape(
        "Slack webhook",
        "hooks.slack",
        r"(?P<kept>https://hooks\.slack(?:-gov)?\.com/)(?:services|workflows|triggers)/[\w/+-]{20,}",
        "docs.slack.dev: incoming webhooks",
    ),
    _shape("AWS access key", "a", r"(?P<kept>AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])", _AWS),
    _shape(
        "AWS secret key",
        "secret",
        r"(?P<kept>(?i:aws_?secret_?(?:access_?)?key)[\"']?\s*[:=]\s*[\"']?)[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
        "detect-secrets: aws",
    ),
    _shape("Google key", "aiza", r"(?P<kept>AIza)[\w-]{35}(?![\w-])", "gitleaks: gcp-api-key"),
    _shape("Stripe key", "k_live_", r"(?P<kept>[sr]k_live_)[A-Za-z0-9]{20,}", "docs.stripe.com: API keys"),
    _shape("SendGrid key", "sg.", r"(?P<kept>SG\.)[\w-]{22}\.[\w-]{43}", "detect-secrets: sendgrid"),
    _shape("npm token", "npm_", r"(?P<kept>npm_)[A-Za-z0-9]{36}", "docs.npmjs.com: access tokens"),
    _shape("PyPI token", "pypi-", r"(?P<kept>pypi-)AgE[\w-]{50,}", "detect-secrets: pypi_token"),
    _shape("Hugging Face token", "hf_", r"(?P<kept>hf_)[A-Za-z0-9]{30,}", "gitleaks: huggingface-access-token"),
    _shape("age key", "age-secret-key-", r"(?P<kept>AGE-SECRET-KEY-1)[0-9A-Z]{50,}", "age-encryption.org: format"),
    _shape(
        "private key",
        "private key",
        r"(?P<kept>-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----)"
        r"(?:[\w+/=\s\\,:.()-]{0,20000}?(?=-----END )|(?:(?:\s|\\[rn])*[A-Za-z0-9+/=]{40,})+)",
        "RFC 7468, RFC 4880",
    ),
    _shape("JSON Web Token", "eyj", r"(?P<kept>eyJ)[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}", "RFC 7519"),
    _shape(
        "password in an address",
        "://",
        r"(?P<kept>[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,100}:)[^\s/@\"'<>]{3,200}(?=@)",
        "RFC 3986, 3.2.1",
    ),
    _shape(
        "authorization header",
        "authorization",
        r"(?P<kept>(?i:authorization)[\"']?\s*[:=]\s*[\"']?(?i:bearer|basic|token)\s+)[\w.~+/=-]{16,}",
        "RFC 6750, RFC 7617",
    ),
    _shape("netrc", "password", r"(?P<kept>machine\s+\S+\s+login\s+\S+\s+password\s+)[^\s\"'\\]+", "curl.se: netrc"),
)  # fmt: skip


def masker(known: Iterable[str] = ()) -> Mask:
    """A function that masks the `known` secrets, also where they were encoded, and whatever has the shape of one."""
    forms = sorted({form for secret in known for form in _forms(secret)}, key=len, reverse=True)

    def mask(text: str) -> str:
        for form in forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        low = text.lower()
        for shape in SHAPES:
            if shape.hint in low:
                text = shape.pattern.sub(_hide, text)
        return text

    return mask


def masked_value(mask: Mask, value: Any) -> Any:
    """A value as JSON has them, with every text in it masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask(str(key)): masked_value(mask, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_value(mask, item) for item in value]
    return value


def guard_output(mask: Mask) -> None:
    """From now on, mask what this process logs, by whatever logger, and what it says of errors that end it."""
    made = logging.getLogRecordFactory()

    def record(*arguments: Any, **named: Any) -> logging.LogRecord:
        one = made(*arguments, **named)
        try:
            one.msg, one.args = mask(one.getMessage()), None
        except Exception:
            # What is wrong with it is for the logger to say.
            return one
        if one.exc_info and one.exc_info[0]:
            one.exc_text = mask("".join(traceback.format_exception(*one.exc_info)).rstrip())
        return one

    def died(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        sys.stderr.write(mask("".join(traceback.format_exception(kind, error, where))))

    def thread_died(given: threading.ExceptHookArgs) -> None:
        if given.exc_value is not None and not isinstance(given.exc_value, SystemExit):
            died(given.exc_type, given.exc_value, given.exc_traceback)

    logging.setLogRecordFactory(record)
    sys.excepthook = died
    threading.excepthook = thread_died


def _hide(found: re.Match[str]) -> str:
    return found["kept"] + HIDDEN


def _forms(secret: str) -> Iterator[str]:
    """The secret as it is and as what is printed, sent or stored may have it; the longer lines of one with many."""
    if len(secret) < _SHORTEST:
        return
    lines = [line for line in secret.splitlines() if len(line) >= _SHORTEST_LINE]
    for text in dict.fromkeys((secret, secret.strip(), *lines)):
        data = text.encode()
        yield from (text, text[::-1], json.dumps(text)[1:-1], quote(text), quote(text, safe=""))
        yield from (data.hex(), data.hex().upper())
        yield from _in_base64(data)


def _in_base64(data: bytes) -> Iterator[str]:
    """How base64 of anything with the data in it has it: three ways, by where it begins, without the characters that
    its neighbours have a part in."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        for text in (whole[first:last], whole[first:last].translate(str.maketrans("+/", "-_"))):
            if len(text) >= _SHORTEST:
                yield text
