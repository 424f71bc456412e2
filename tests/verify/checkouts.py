"""A checkout that is only looked at: its files, and the programs its sandbox would have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from honk.model import Command, Completed
from honk.repository_file import parse_repository_file
from honk.verify import Plan, detect


@dataclass
class Listed:
    """Files by path with their texts. Running anything but the question for programs is an error."""

    texts_by_path: Mapping[str, str]
    programs: Collection[str] = ()
    commit: str = "0" * 40
    read_together: list[Sequence[str]] = field(default_factory=list)

    def files(self) -> Sequence[str]:
        return sorted(self.texts_by_path)

    @property
    def made_of(self) -> str:
        return ""

    def blobs(self) -> Mapping[str, str]:
        return {path: str(hash(text)) for path, text in self.texts_by_path.items()}

    def read(self, path: str) -> str | None:
        return self.texts_by_path.get(path)

    def texts(self, paths: Collection[str], longest: int) -> Mapping[str, str]:
        self.read_together.append(sorted(paths))
        return {path: text for path in paths if len(text := self.texts_by_path[path]) <= longest}

    def run(
        self,
        command: Command,
        *,
        on_output: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Completed:
        asked = re.findall(r"&& echo ([\w-]+)", command.argv[-1])
        assert asked, f"detection ran something: {command.argv}"
        return Completed(0, "\n".join(name for name in asked if name in self.programs), 0.0)

    def set_up(self, key: str, run: Callable[[], bool]) -> bool:
        raise AssertionError("detection sets nothing up")

    def export(self, pattern: str, destination: Path) -> Sequence[Path]:
        raise AssertionError("detection exports nothing")


EVERYTHING = (
    "python3",
    "pytest",
    "mypy",
    "ruff",
    "black",
    "pyright",
    "node",
    "npm",
    "uv",
    "poetry",
    *("cargo", "go", "dotnet", "swift"),
)


def plan_of(
    files: Mapping[str, str | dict[str, object]],
    *,
    changed: Collection[str] | None = None,
    programs: Collection[str] = EVERYTHING,
    egress: Collection[str] = (),
) -> Plan:
    """The plan for a repository with these files; a mapping is written as JSON."""
    texts = {path: text if isinstance(text, str) else json.dumps(text) for path, text in files.items()}
    file = parse_repository_file(texts.get("honk.yaml", ""))
    return detect(Listed(texts, programs), file, changed=changed, egress=egress)


def commands(plan: Plan) -> dict[str, str]:
    """The command of each check by its name, with the folder in front where it is not the repository's own."""
    return {
        one.name: one.command if one.directory == "." else f"{one.directory}$ {one.command}" for one in plan.verifiers
    }


def left_out(plan: Plan) -> dict[str, str]:
    """Why each check that was seen is not run."""
    return {one.name: one.why for one in plan.left_out}
