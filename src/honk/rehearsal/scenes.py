"""What the played model says, and when.

A scene file is YAML:

    scenes:
      - name: about                    # for the reader
        when: (?i)about this song      # a regular expression, searched for in the newest request
        steps:                         # one answer of the model each, in order
          - say: I'll look around first.
            use: Read
            input: {file_path: /workspace/src/page.html}
            delay: 0.5                 # seconds before this answer, times the server's pace
          - say: Done.                 # an answer without a tool ends the model's turn
      - when: (?i)about this song
        answers: verdict               # only for requests that force this tool, as the judge's do
        steps:
          - use: verdict
            input: {score: 0.9, summary: It does what was asked., doubts: []}

The place in a scene is read off the conversation itself, so a session that is killed and resumed goes on where it was:
a step whose tool was interrupted is played again, every other one once. After the scene its last answer is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honk.model import UsageError


@dataclass(frozen=True)
class Step:
    """One answer of the played model: some words, a tool call, or both. `delay` is in seconds at pace 1."""

    say: str | None = None
    use: str | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    delay: float = 0.0


@dataclass(frozen=True)
class Scene:
    """What is played for requests that match `when`."""

    when: str
    steps: Sequence[Step]
    name: str = ""
    answers: str | None = None
    """The tool that a request has to force, such as the judge's; None: what an agent asks, who has the choice."""

    def matches(self, text: str) -> bool:
        """Whether the request asks for this scene."""
        return re.search(self.when, text) is not None


def say(text: str, delay: float = 0.0) -> Step:
    """An answer that ends the model's turn."""
    return Step(say=text, delay=delay)


def use(tool: str, say: str | None = None, delay: float = 0.0, **given: Any) -> Step:
    """An answer that calls a tool."""
    return Step(say=say, use=tool, input=given, delay=delay)


def verdict(score: float, summary: str, *doubts: Mapping[str, Any], when: str = "") -> Scene:
    """What the judge says of changes whose brief or diff matches `when`."""
    step = use("verdict", score=score, summary=summary, doubts=list(doubts))
    return Scene(when, [step], "the judge", answers="verdict")


def load_scenes(path: Path) -> list[Scene]:
    """Read a scene file. Raises `UsageError` that names the file and the place in it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"The scene file {path} cannot be read: {error.strerror}.") from error
    except YAMLError as error:
        raise UsageError(f"The scene file {path} is not YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(document, dict) or not isinstance(document.get("scenes"), list):
        raise UsageError(f"The scene file {path} wants a list under `scenes:`.")
    return [_scene(path, f"scenes[{number}]", found) for number, found in enumerate(document["scenes"])]


def _scene(path: Path, place: str, found: Any) -> Scene:
    _only(path, place, found, {"name", "when", "steps", "answers"}, needed={"when", "steps"})
    try:
        re.compile(found["when"])
    except re.error as error:
        raise UsageError(f"{path}: {place}.when is not a regular expression: {error}.") from error
    steps = [_step(path, f"{place}.steps[{number}]", step) for number, step in enumerate(found["steps"])]
    return Scene(found["when"], steps, str(found.get("name", "")), found.get("answers"))


def _step(path: Path, place: str, found: Any) -> Step:
    _only(path, place, found, {"say", "use", "input", "delay"}, needed=set())
    if not found.get("say") and not found.get("use"):
        raise UsageError(f"{path}: {place} wants `say`, `use` or both.")
    return Step(found.get("say"), found.get("use"), found.get("input") or {}, float(found.get("delay") or 0))


def _only(path: Path, place: str, found: Any, known: set[str], needed: set[str]) -> None:
    if not isinstance(found, dict):
        raise UsageError(f"{path}: {place} must be keys and values.")
    if unknown := set(found) - known:
        raise UsageError(
            f"{path}: {place} has the unknown key {sorted(unknown)[0]!r}; known are {', '.join(sorted(known))}."
        )
    if missing := needed - set(found):
        raise UsageError(f"{path}: {place} lacks the key {sorted(missing)[0]!r}.")
