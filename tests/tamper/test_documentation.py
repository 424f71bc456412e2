from __future__ import annotations

import re
from pathlib import Path

from honk.verify.tamper import KINDS

PAGE = (Path(__file__).parents[2] / "docs/tamper-guard.md").read_text()


def test_the_page_names_every_kind_as_the_code_has_it():
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (\w+) \| (.*) \|$", PAGE, re.MULTILINE)

    assert rows == [(name, kind.severity, kind.treatment, kind.about) for name, kind in KINDS.items()]


def test_the_page_s_example_holds():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

    exec(compile(example, "docs/tamper-guard.md", "exec"), {})


def test_every_kind_is_tried_by_the_tables_beside_this_file():
    tables = set(Path(__file__).parent.glob("test_*.py")) - {Path(__file__)}
    tried = "".join(file.read_text() for file in tables)

    # By the checks' counts, which tests/flow/test_fewer_tests.py has.
    assert [name for name in KINDS if f'"{name}"' not in tried] == ["fewer-tests-run"]
