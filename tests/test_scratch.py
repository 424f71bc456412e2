"""What a killed process leaves in the machine's folder for temporary files is removed by the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from honk.scratch import scratch

_MAKES = "import sys; from honk.scratch import scratch_folder; print(scratch_folder(), flush=True); sys.stdin.read()"


def _process(temporary: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", _MAKES],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    elsewhere = tmp_path / "honk-of-another-program"
    elsewhere.mkdir()
    killed, left = _process(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert left.is_dir()
    living, kept = _process(tmp_path)
    assert not left.parent.exists()
    last, own = _process(tmp_path)
    assert kept.is_dir()
    assert own.parent != kept.parent
    for process in (living, last):
        process.communicate()
    assert [path.name for path in tmp_path.iterdir()] == ["honk-of-another-program"]


def test_nobody_else_can_enter_it_and_it_goes_with_its_use() -> None:
    with scratch() as folder:
        assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
        (folder / "one").write_text("x")
    assert not folder.exists()
