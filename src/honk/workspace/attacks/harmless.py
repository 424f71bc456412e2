"""Attacks that harm nothing even where they succeed: `honk doctor` runs them on the user's machine."""

from __future__ import annotations

from honk.workspace.attacks.changing import CHANGING
from honk.workspace.attacks.seeing import SEEING

HARMLESS = (*SEEING, *CHANGING)
