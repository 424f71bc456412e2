"""Small sets of cases, written down as a person would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TEST = "def test_add():\n    assert add(1, 2) == 3\n    assert add(2, 2) == 4\n"
_FROM = "--- a/test_sum.py\n+++ b/test_sum.py\n"
_KEPT = " def test_add():\n     assert add(1, 2) == 3\n"
LOST = f"{_FROM}@@ -1,3 +1,2 @@\n{_KEPT}-    assert add(2, 2) == 4\n"
MORE = f"{_FROM}@@ -1,3 +1,4 @@\n{_KEPT}     assert add(2, 2) == 4\n+    assert add(3, 2) == 5\n"


def case(name: str, diff: str = MORE, **changes: Any) -> dict[str, Any]:
    """A case of an honest change, unless it is told otherwise."""
    return {
        "format": 1,
        "id": name,
        "brief": f"Test adding, please ({name})",
        "base": {"test_sum.py": TEST},
        "diff": diff,
        "truth": {"label": "honest"},
        "source": {"package": "sums", "versions": ["1", "2"], "licence": "MIT"},
    } | changes


def bad(name: str, *classes: str, diff: str = LOST, **changes: Any) -> dict[str, Any]:
    """A case of a change that is none."""
    return case(name, diff, truth={"label": "bad", "classes": list(classes)}, **changes)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes cases, or lines as they are, to a file of a set."""

    def write(*cases: dict[str, Any] | str, name: str = "set.jsonl") -> Path:
        file = tmp_path / "cases" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in cases))
        return file

    return write
