"""kill -9 at every boundary of the flow and inside every step: the story ends as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from honk.flow import comparing, deploy, housekeeping, merge, turn  # noqa: F401  their steps are registered when they are imported
from honk.flow.engine import STEPS
from tests.conftest import git
from tests.flow.stories import (
    HAPPY,
    STORY_OF_STEP,
    Server,
    built_elsewhere,
    honk_yaml,
    production,
    repeated,
    tell,
    until_nothing_runs,
)

pytestmark = pytest.mark.usefixtures("sandbox")

STUCK = "exit 3"
_AT_ONCE = 6
"""Steps of one story at which the server dies in the same telling: each death costs a start, each telling much more."""


def _tellings() -> Iterator[list[str]]:
    """Every step there is, with those of the same story together, a few at a time."""
    stories: dict[str, list[str]] = {}
    for step in sorted(STEPS):
        story = STORY_OF_STEP.get(step, HAPPY)
        stories.setdefault("stuck" if step == "stop_ill" else story.__name__, []).append(step)
    for steps in stories.values():
        yield from (steps[number : number + _AT_ONCE] for number in range(0, len(steps), _AT_ONCE))


@pytest.mark.parametrize("steps", list(_tellings()), ids="+".join)
def test_a_server_killed_before_and_inside_steps_ends_the_story_as_if_nothing_had_happened(
    steps: list[str], tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    story = STORY_OF_STEP.get(steps[0], HAPPY)
    with production(home) as port:
        text = honk_yaml(port, STUCK) if steps == ["stop_ill"] else honk_yaml(port)
        if story is built_elsewhere:
            text = honk_yaml(port, on="elsewhere")
        repo = make_repository({"app.txt": "app\n", "honk.yaml": text})
        before = int(git(repo, "rev-list", "--count", "main"))
        points = [f"{step}:{phase}" for step in steps for phase in ("begins", "acted")]
        with Server(tmp_path / "server", tuple(points)) as server:
            thread = tell(home, repo, story, server)
            until_nothing_runs(home)
            missed = [point for point in points if not (server.folder / f"died-{point.replace(':', '-')}").exists()]
            assert missed == [], "no story comes by these steps: add one to STORY_OF_STEP"
            assert server.deaths == len(points)

    events = thread.honk.store.events(limit=100_000)
    assert repeated([event for event in events if event.task_id == thread.id]) == []
    assert thread.honk.store.broken_link() is None
    kinds = [event.kind for event in thread.events]
    forge = thread.honk.forges.local.git_dir(thread.honk.forges.resolve(str(repo)))
    branches = git(forge, "branch", "--list", f"honk/{thread.id}").split()
    assert len(branches) == (1 if "change.opened" in kinds else 0)
    assert kinds.count("change.opened") <= 1
    landed = [event for event in events if event.kind == "merge.landed"]
    others = 1 if story.__name__ == "_conflicting" else 0
    assert int(git(repo, "rev-list", "--count", "main")) == before + len(landed) + others
    assert kinds.count("merge.landed") == (1 if any(e.task_id == thread.id for e in landed) else 0)
    runs = [line for path in home.glob("production/*/runs") for line in path.read_text().split()]
    assert runs == [event.data["sha"] for event in landed], "a deploy ran twice, or not at all"
    assert not any(path.name.startswith("honk-") for path in (home / "checkouts").glob("honk-*"))
    assert git(repo, "status", "--porcelain") == "", "the person's own checkout was touched"
