"""kill -9 at every boundary of the flow and inside every step: the story ends as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
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


@pytest.mark.parametrize("step", sorted(STEPS))
def test_a_server_killed_before_and_inside_a_step_ends_the_story_as_if_nothing_had_happened(
    step: str, tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    story = STORY_OF_STEP.get(step, HAPPY)
    with production(home) as port:
        text = honk_yaml(port, STUCK) if step == "stop_ill" else honk_yaml(port)
        if story is built_elsewhere:
            text = honk_yaml(port, on="elsewhere")
        repo = make_repository({"app.txt": "app\n", "honk.yaml": text})
        before = int(git(repo, "rev-list", "--count", "main"))
        with Server(tmp_path / "server", (f"{step}:begins", f"{step}:acted")) as server:
            thread = tell(home, repo, story, server)
            until_nothing_runs(home)
            assert server.deaths == 2, f"no story comes by the step {step!r}: add one to STORY_OF_STEP"

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
