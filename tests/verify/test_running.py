"""How checks run: side by side, each on a tree of its own, and what becomes of those that fail, hang or flood."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from honk.masking import masker
from honk.model import Cancelled, Check, Checkout, Repository
from honk.repository_file import parse_repository_file
from honk.settings import read_settings
from honk.store import Store, open_database
from honk.verify import Conditions, Verifier, verify
from honk.workspace import Workspaces
from honk.workspace.overlays import overlay_refusal

pytestmark = pytest.mark.usefixtures("sandbox")

TOKEN = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"


class Place:
    """A repository whose checks are run, with what they printed and who was started."""

    def __init__(self, home: Path, make_repository: Callable[..., Path]) -> None:
        self._make = make_repository
        self._home = home
        self.heard: list[tuple[str, str]] = []
        self.stop = False
        self.hear: Callable[[str, str], None] = lambda name, text: self.heard.append((name, text))

    @contextmanager
    def checkout(self, files: dict[str, str]) -> Iterator[Checkout]:
        path = self._make(files)
        repository = Repository("project", str(path), str(path), "main")
        workspaces = Workspaces(read_settings(home=self._home))
        with workspaces.checkout(repository, workspaces.fetch(repository)) as checkout:
            yield checkout

    def verify(self, text: str, files: dict[str, str] | None = None, **given: object) -> list[Check]:
        """The results of the checks that this honk.yaml names."""
        conditions = Conditions(log=self.hear, stop=lambda: self.stop)
        with self.checkout({"app.txt": "app\n", **(files or {})}) as checkout:
            return verify(checkout, parse_repository_file(text), conditions, **given)  # type: ignore[arg-type]

    def runs(self, name: str) -> int:
        """How often a check printed `ran`."""
        return "".join(text for who, text in self.heard if who == name).count("ran\n")


@pytest.fixture
def place(home: Path, make_repository: Callable[..., Path]) -> Place:
    if (refusal := overlay_refusal(home)) is not None:
        pytest.skip(f"The kernel refuses overlays here: {refusal}")
    return Place(home, make_repository)


def _statuses(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.status for check in checks}


def _running(word: str) -> list[str]:
    """Command lines of this machine's processes with the word in them."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if word in line:
            lines.append(line)
    return lines


def test_independent_checks_run_at_the_same_time(place: Place) -> None:
    both = threading.Barrier(2, timeout=60)
    checks = place.verify(
        "verify: {one: 'true', two: 'true'}\n", on_start=lambda _: both.wait(), turns=threading.Semaphore(2)
    )
    assert _statuses(checks) == {"one": "passed", "two": "passed"}


def test_no_more_checks_run_at_once_than_there_are_turns(place: Place) -> None:
    running, most = set[str](), [0]

    def on_start(verifier: Verifier) -> None:
        running.add(verifier.name)
        most[0] = max(most[0], len(running))

    text = "verify: {a: 'true', b: 'true', c: 'true'}\n"
    place.verify(
        text, on_start=on_start, on_finish=lambda check: running.discard(check.name), turns=threading.Semaphore(1)
    )
    assert most == [1]


def test_results_come_in_the_order_of_the_plan_whoever_is_done_first(place: Place) -> None:
    second_done, told = threading.Event(), list[str]()

    def on_start(verifier: Verifier) -> None:
        assert verifier.name != "first" or second_done.wait(60)

    def on_finish(check: Check) -> None:
        told.append(check.name)
        if check.name == "second":
            second_done.set()

    checks = place.verify(
        "verify: {first: 'true', second: 'true'}\n",
        on_start=on_start,
        on_finish=on_finish,
        turns=threading.Semaphore(2),
    )
    assert told == ["second", "first"]
    assert [check.name for check in checks] == ["first", "second"]


def test_what_a_check_leaves_behind_changes_no_other_result(place: Place) -> None:
    dirty = "echo changed > app.txt; touch left ~/left; git config user.name Mallory"
    clean = 'test ! -e left && test ! -e ~/left && grep -q "^app" app.txt && test "$(git config user.name)" = Honk'
    checks = place.verify(f"verify:\n  dirty: {dirty}\n  clean: '{clean}'\n", turns=threading.Semaphore(1))
    assert _statuses(checks) == {"dirty": "passed", "clean": "passed"}


def test_every_check_stands_on_what_the_set_up_left(place: Place) -> None:
    checks = place.verify("setup: touch made ~/made\nverify: {one: test -e made, two: test -e ~/made}\n")
    assert _statuses(checks) == {"one": "passed", "two": "passed"}


def test_tests_come_after_the_build_and_linters_do_not_wait_for_it(place: Place) -> None:
    text = """\
verify:
  build: mkdir dist && echo built > dist/app && touch ~/cached
  lint: test ! -e dist
  test: grep -q built dist/app && test -e ~/cached
"""
    checks = place.verify(text)
    assert _statuses(checks) == {"build": "passed", "lint": "passed", "test": "passed"}


def test_a_check_finds_what_those_it_names_under_after_have_left(place: Place) -> None:
    text = """\
verify:
  one: echo 1 > one
  two: {run: "echo 2 > two; rm app.txt"}
  both: {run: test -e one && test -e two && test ! -e app.txt, after: [one, two]}
  none: test ! -e one && test ! -e two
"""
    assert set(_statuses(place.verify(text)).values()) == {"passed"}


def test_a_cancel_ends_all_that_run_and_keeps_the_others_from_starting(place: Place) -> None:
    def hear(name: str, text: str) -> None:
        place.heard.append((name, text))
        place.stop = {who for who, _ in place.heard} == {"one", "two"}

    place.hear = hear
    line = "echo ran; sleep 918273 & sleep 918273"
    with pytest.raises(Cancelled):
        place.verify(f"verify: {{one: '{line}', two: '{line}', three: '{line}'}}\n", turns=threading.Semaphore(2))
    assert place.runs("three") == 0
    assert _running("918273") == []


def test_a_check_that_hangs_is_ended_with_all_that_it_started_and_not_run_again(place: Place) -> None:
    line = "echo ran; setsid sleep 837261 & nohup sleep 837261 & sleep 837261"
    (check,) = place.verify(f"verify: {{test: {{run: '{line}', timeout: 1s}}}}\n")
    assert check.status == "error"
    assert check.summary.startswith("It took longer than 1 s and was ended.")
    assert place.runs("test") == 1
    assert _running("837261") == []


def test_a_check_that_fails_and_then_passes_on_the_same_files_is_flaky(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weather = tmp_path / "weather"
    weather.mkdir()
    monkeypatch.setenv("HONK_SANDBOX_READABLE", f'["{weather}"]')
    # It turns fair as soon as the check has complained.
    place.hear = lambda name, text: (weather / "fair").touch()
    (check,) = place.verify(
        f"verify: {{test: 'test -e {weather}/fair || {{ echo FAILED test_sky.py::test_blue; exit 1; }}'}}\n"
    )
    assert check.status == "flaky"
    assert check.green
    assert "Failed, then passed when it was run again" in check.summary
    assert "test_sky.py::test_blue" in check.summary
    assert "FAILED test_sky.py::test_blue" in check.failures


def test_what_says_the_same_each_time_is_not_run_again(place: Place) -> None:
    checks = place.verify("verify: {lint: 'echo ran; exit 1', test: 'echo ran; exit 1'}\n")
    assert _statuses(checks) == {"lint": "failed", "test": "failed"}
    assert (place.runs("lint"), place.runs("test")) == (1, 2)


def test_a_set_up_that_changes_tracked_files_is_seen_by_checks_also_in_a_large_repository(place: Place) -> None:
    files = {f"many/{number}": "" for number in range(4_001)}
    text = """\
setup: echo other > app.txt
verify: {lint: "git diff --exit-code", types: 'test -z "$(git status -s many)"'}
"""
    assert _statuses(place.verify(text, files)) == {"lint": "failed", "types": "passed"}


def test_what_cannot_run_at_all_is_not_run_again_and_tells_of_no_failure(place: Place) -> None:
    checks = place.verify("verify: {test: 'echo ran; no-such-program', e2e: 'echo ran; kill -9 $$'}\n")
    assert [(check.status, check.failures) for check in checks] == [("failed", ()), ("failed", ())]
    assert (place.runs("test"), place.runs("e2e")) == (1, 1)


class Kept:
    """What a run is given to keep its results in: a store, and nothing from before."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.kept: list[Check] = []

    def find(self, verifier: str) -> Check | None:
        return None

    def keep(self, check: Check) -> None:
        self.kept.append(check)

    def keep_log(self, output: str) -> str:
        return self.store.keep_log(output)


def test_what_checks_printed_is_kept_by_its_content_masked_and_bounded(place: Place, tmp_path: Path) -> None:
    store = Store(open_database(f"sqlite:///{tmp_path / 'honk.db'}"), masker([]))
    flood = "head -c 40000000 /dev/zero | tr '\\\\0' x; echo; echo the last word"
    text = f"""\
verify:
  test: "echo begins; echo the token is {TOKEN}; {flood}"
  lint: "printf 'caf\\\\351\\\\n'"
"""
    test, lint = place.verify(text, earlier=Kept(store))
    log = store.log(test.log) or ""
    assert log.startswith("begins\nthe token is ghp_•••\n")
    assert log.endswith("the last word\n")
    assert len(log) < 300_000
    assert store.log(lint.log) == "caf\N{REPLACEMENT CHARACTER}\n"
    assert len(test.verifier) == len(lint.verifier) == 64


def test_a_secret_at_the_place_where_a_log_is_cut_is_not_kept_by_half(tmp_path: Path) -> None:
    store = Store(open_database(f"sqlite:///{tmp_path / 'honk.db'}"), masker([]))
    for before in (63_990, 300_000 - 192_010):
        output = f"{'x' * (before - 1)} {TOKEN} "
        log = store.log(store.keep_log(output + "y" * (300_000 - len(output)))) or ""
        assert "left out" in log
        assert not any(part in log for part in (TOKEN[4:14], TOKEN[-10:]))
