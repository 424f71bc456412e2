"""Times in which nothing is merged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from honk.app import assemble
from honk.freeze import frozen
from honk.model import Refused, State, UsageError
from honk.repository_file import parse_repository_file
from honk.settings import read_settings
from tests.conftest import git
from tests.flow.stories import ADA, Server, Thread


def _frozen(window: str, now: str) -> str | None:
    file = parse_repository_file(f"merge: {{freeze: [{window}]}}\n")
    return frozen(file.merge.windows, datetime.fromisoformat(now).replace(tzinfo=UTC))


WEEKEND = "{from: Fri 16:00, to: Mon 08:00, zone: Europe/Stockholm}"


@pytest.mark.parametrize(
    ("window", "now", "until"),
    [
        (WEEKEND, "2026-11-27 14:59", None),
        (WEEKEND, "2026-11-27 15:00", "Monday, 30 November 2026, 08:00 (Europe/Stockholm)"),
        (WEEKEND, "2026-11-29 12:00", "Monday, 30 November 2026, 08:00"),
        (WEEKEND, "2026-11-30 06:59", "Monday, 30 November 2026, 08:00"),
        (WEEKEND, "2026-11-30 07:00", None),
        # In summer the same hours on the wall are an hour earlier.
        (WEEKEND, "2026-07-03 14:00", "Monday, 06 July 2026, 08:00"),
        ("{from: 2026-12-20, to: 2027-01-02}", "2026-12-19 23:59", None),
        ("{from: 2026-12-20, to: 2027-01-02}", "2026-12-24 12:00", "Saturday, 02 January 2027, 00:00 (UTC)"),
        ("{from: 2026-12-20, to: 2027-01-02}", "2027-01-02 00:00", None),
        ("{from: '2026-12-20 18:00', to: '2026-12-20 20:00', zone: Asia/Tokyo}", "2026-12-20 10:00", "20:00 (Asia/T"),
    ],
)  # fmt: skip
def test_a_window_is_open_and_closed_by_its_own_clock(window: str, now: str, until: str | None) -> None:
    told = _frozen(window, now)
    assert (told is None) == (until is None)
    assert until is None or (told and until in told)


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        ("{from: Fri 16:00}", "`merge.freeze.0.to` is missing"),
        ("{from: Fri 16:00, to: 2026-12-20}", "in the same way"),
        ("{from: Friday, to: Monday}", "must be written as `Fri 16:00`"),
        ("{from: Fri 25:00, to: Mon 08:00}", "such as `Fri 16:00`"),
        ("{from: 2026-12-20, to: 2026-12-19}", "must end after it begins"),
        ("{from: Fri 16:00, to: Mon 08:00, zone: Mars/Olympus}", "must name a time zone"),
    ],
)
def test_what_is_no_window_is_said_with_its_key(window: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_repository_file(f"merge: {{freeze: [{window}]}}\n")


@pytest.mark.usefixtures("sandbox")
def test_a_tap_while_merges_are_frozen_says_until_when(
    tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    day = timedelta(days=1)
    now = datetime.now(UTC)
    text = f"verify: {{}}\nmerge: {{freeze: [{{from: {now - day:%Y-%m-%d}, to: {now + 2 * day:%Y-%m-%d}}}]}}\n"
    repo = make_repository({"app.txt": "app\n", "honk.yaml": text})
    with Server(tmp_path / "server") as server:
        thread = Thread(assemble(read_settings(home=home)), server)
        task = thread.honk.inbox.submit(repo=str(repo), text="x", agent="script:echo 1 >> app.txt", key="k", person=ADA)
        thread.id = task.id
        thread.until("ready")
        with pytest.raises(Refused, match=rf"frozen until .*{now + 2 * day:%Y}, 00:00 .UTC. .* tap again then"):
            thread.tap("merge")
        assert thread.task.state is State.READY
        (repo / "honk.yaml").write_text("verify: {}\n")
        git(repo, "commit", "-qam", "Thaw")
        thread.tap("merge")
        thread.until("merge.landed")
