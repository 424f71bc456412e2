"""Findings as they are told: one line of evidence, without secrets."""

from __future__ import annotations

from honk.masking import masker
from honk.model import Finding, Severity
from honk.verify.tamper.facts import Mark

_mask = masker()
_EVIDENCE = 200
_MESSAGE = 400


def finding(kind: str, severity: Severity, path: str, where: Mark | int | None, message: str) -> Finding:
    """A finding at a place in the changed file; secrets in its text are masked."""
    line = where.line if isinstance(where, Mark) else where
    shown = where.text if isinstance(where, Mark) else ""
    return Finding(kind, severity, path, line or None, _told(message, _MESSAGE), _told(shown, _EVIDENCE))


def evidence(line: str) -> str:
    """A line as it may be shown."""
    return _told(line, _EVIDENCE)


def _told(text: str, limit: int) -> str:
    one = " ".join(text[: 4 * limit].split())
    shown = _mask("".join(sign if sign.isprintable() else "�" for sign in one))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
