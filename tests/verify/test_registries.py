"""Registries are asked of this machine's own tools, never of the folder a person happens to stand in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ASK = """
import json, sys
sys.path = [entry for entry in sys.path if entry]
from honk.verify.registries import registry_environment, registry_hosts
print(json.dumps({"hosts": registry_hosts(), "environment": registry_environment()}))
"""


def _ask(directory: Path, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_a_repository_with_a_pip_package_of_its_own_is_not_run_on_this_machine(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    for folder in ("pip", "pip/_internal", "pip/_internal/models"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text(f"open({str(trace)!r}, 'a').write('ran')\n")
    (tmp_path / "pip/__main__.py").write_text(f"open({str(trace)!r}, 'a').write('ran')\n")
    _ask(tmp_path)
    assert not trace.exists()


def test_a_repository_cannot_name_a_registry_by_its_npmrc(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine")
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / ".npmrc").write_text("registry=https://stranger.example/\n")
    assert "stranger.example:443" not in _ask(tmp_path)["hosts"]


def test_a_registry_of_ones_own_is_reached_and_told_to_the_sandbox(tmp_path: Path) -> None:
    answers = _ask(tmp_path, PIP_INDEX_URL="https://packages.example:8443/simple")
    assert "packages.example:8443" in answers["hosts"]
    assert answers["environment"]["PIP_INDEX_URL"] == "https://packages.example:8443/simple"


def test_a_password_in_a_registrys_address_stays_outside(tmp_path: Path) -> None:
    answers = _ask(tmp_path, PIP_INDEX_URL="https://ada:hunter2@packages.example/simple")
    assert "packages.example:443" in answers["hosts"]
    assert "hunter2" not in str(answers)
