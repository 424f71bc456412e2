"""The story itself: two tasks, told by a timeline, each claim checked before it is printed."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import httpx
from rich.markup import escape
from rich.table import Table

from honk.certificates import trusted
from honk.demo.browser import found_browser, visit
from honk.demo.stage import Stage, example_folder, missing_android_tools, set_up
from honk.model import Event, HonkError, UsageError
from honk.surfaces.terminal import line, print_json, progress

FIRST = "Add an “About this song” card to the now playing screen: album, year, credits and the story behind it."
FOLLOW_UP = "Nice! Put the mood in it too, and start it folded."
SECOND = "Show lyrics under the player."
ILL_FOR_CERTAIN = """script:sed -i 's|</body>|<img src="lyrics.png" alt="" hidden></body>|' src/page.html"""
"""Makes the page want a file that no release holds, which only production notices. No model can be asked to err."""


class _Teller:
    """Talks to Honk over its HTTP interface, as the phone does, and prints what happens and when."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.begun = time.monotonic()
        self.seen: dict[str, int] = {}
        self.marks: list[tuple[str, float]] = []
        self._client = httpx.Client(
            base_url=stage.url,
            headers={"authorization": f"Bearer {stage.token}"},
            timeout=30,
            trust_env=False,
            verify=trusted(),
        )

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.begun

    def tell(self, text: str) -> None:
        progress.print(f"[dim]{self.elapsed:7.1f} s[/]  {text}")

    def mark(self, name: str) -> None:
        self.marks.append((name, self.elapsed))

    def ask(self, text: str, agent: str = "claude") -> str:
        body = {"repo": "encore", "text": text, "agent": agent, "key": uuid.uuid4().hex}
        answer = self._client.post("/api/v1/tasks", json=body)
        return str(_good(answer)["id"])

    def say(self, task: str, text: str) -> None:
        _good(self._client.post(f"/api/v1/tasks/{task}/messages", json={"text": text, "key": uuid.uuid4().hex}))

    def tap(self, task: str, action: str, head_sha: str) -> httpx.Response:
        body = {"action": action, "head_sha": head_sha, "key": uuid.uuid4().hex}
        return self._client.post(f"/api/v1/tasks/{task}/actions", json=body)

    def task(self, task: str) -> dict[str, Any]:
        return _good(self._client.get(f"/api/v1/tasks/{task}"))

    def follow(self, task: str, *kinds: str) -> Event:
        """Print the task's log until an event of one of `kinds`. Raises `HonkError` if the story goes wrong."""
        while True:
            events = self.stage.installation.store.events(after=self.seen.get(task, 0), task_id=task)
            for event in events:
                self.seen[task] = event.id
                if text := line(event):
                    self.tell(text)
                if event.kind in kinds:
                    return event
                if event.kind in ("failed", "limit", "merge.refused", "cancelled"):
                    raise HonkError(f"The demo's story went wrong: {event.data.get('error') or event.data}")
            if not events:
                time.sleep(0.03)


def _good(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise HonkError(f"Honk answered {answer.status_code}: {answer.text[:300]}")
    value: dict[str, Any] = answer.json()
    return value


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise HonkError(f"The demo's story went wrong: {what}.")


def run_demo(*, fast: bool, live: bool, keep: bool, as_json: bool) -> int:
    """See `honk demo`. Returns the exit code."""
    from honk.agents import agent_ready
    from honk.settings import read_settings

    if live:
        agent_ready("claude", read_settings())
    home = Path(tempfile.mkdtemp(prefix="honk-demo-"))
    _introduce(live)
    try:
        if live:
            with set_up(home, model_url=None) as stage:
                _tell(stage, live=True, keep=keep, as_json=as_json)
        else:
            from honk.rehearsal import Rehearsal, load_scenes

            scenes = load_scenes(example_folder("encore-story") / "scenes.yaml")
            with (
                Rehearsal(scenes, pace=0.0 if fast else 1.0) as rehearsal,
                set_up(home, model_url=rehearsal.base_url) as stage,
            ):
                _tell(stage, live=False, keep=keep, as_json=as_json)
    except UsageError:
        raise
    finally:
        if keep:
            progress.print(f"The demo's home is kept: HONK_HOME={home} honk task list")
        else:
            shutil.rmtree(home, ignore_errors=True)
    return 0


def _introduce(live: bool) -> None:
    progress.print("[bold]Honk: say it in chat, try it on your phone, tap merge.[/]\n")
    if live:
        progress.print("The model is the real one: this costs money. Everything else is real, too.\n")
        return
    progress.print(
        "[yellow]The model is played[/]: a script answers in its place, through the real Claude Code command line. "
        "Everything else is real:\nthe sandbox, the checks, the pull requests, the builds, the previews, the merges, "
        "the deploys, the health watch and the rollback.\n"
    )


def _tell(stage: Stage, *, live: bool, keep: bool, as_json: bool) -> None:
    teller = _Teller(stage)
    progress.print(f"          On the phone   {stage.url}/?token={stage.token}")
    progress.print(f"          In production  {stage.production_url}\n")
    if missing := missing_android_tools():
        teller.tell(
            f"The example is also an Android app; it is not built here, for want of {', '.join(missing)} (Debian: "
            "aapt android-framework-res libsmali-java zipalign apksigner openjdk-17-jdk-headless)."
        )
    first = _first_task(teller)
    second = _ill_task(teller, live)
    _finish(teller, first, second, live=live, as_json=as_json)
    if keep:
        progress.print("\nStill serving; stop with Ctrl-C.")
        threading.Event().wait()


def _page(url: str) -> str:
    """The text of a page and of the scripts and styles that it loads from its own origin."""
    page = _get(url).raise_for_status().text
    parts = re.findall(r'(?:src|href)="(?!https?:|data:|#)([^"]+\.(?:js|css|json))"', page)
    texts = [_get(str(httpx.URL(url).join(part))).text for part in parts]
    return "\n".join([page, *texts])


def _get(url: str) -> httpx.Response:
    """Browsers find `*.localhost` on their own machine; the system's resolver need not."""
    address, host = httpx.URL(url), httpx.URL(url).netloc.decode()
    if address.host.endswith(".localhost"):
        address = address.copy_with(host="127.0.0.1")
    return httpx.get(address, headers={"host": host}, trust_env=False, verify=trusted(), follow_redirects=True)


def _first_task(teller: _Teller) -> str:
    teller.tell("[bold]08:02, on the train.[/] Ada writes in the thread:")
    task = teller.ask(FIRST)
    ready = teller.follow(task, "ready")
    teller.mark("message → first preview")
    old_head = str(ready.data["head_sha"])
    preview = _offered(teller, task, old_head)["web"]["url"]
    _try(teller, preview, "About this song")
    teller.say(task, FOLLOW_UP)
    head = str(teller.follow(task, "ready").data["head_sha"])
    _expect(head != old_head, "the follow-up made no new commit")
    offered = _offered(teller, task, head)
    _try(teller, offered["web"]["url"], "About this song")
    if "android" in offered:
        _install(teller, offered["android"])
    refused = teller.tap(task, "merge", old_head)
    _expect(refused.status_code == 409, "a tap on the old card was not refused")
    teller.tell(f"A tap on the old card is refused: [italic]{escape(refused.json()['error'])}[/]")
    teller.tell("[bold]She taps Merge[/] on the new one.")
    before = teller.elapsed
    _good(teller.tap(task, "merge", head))
    teller.follow(task, "deploy.healthy")
    teller.marks.append(("merge tap → healthy in production", teller.elapsed - before))
    _expect("About this song" in _page(teller.stage.production_url), "production does not show the new card")
    teller.tell(f"[bold green]In production:[/] {teller.stage.production_url}\n")
    return task


def _offered(teller: _Teller, task: str, head: str) -> dict[str, dict[str, Any]]:
    """What can be tried of a commit, by the build's name."""
    return {one["kind"]: one for one in teller.task(task)["artifacts"] if one["commit"] == head}


def _try(teller: _Teller, preview: str, wanted: str) -> None:
    """Open a preview as she does, and look for what is new in it."""
    browser = found_browser()
    shown = visit(browser, preview) if browser else _page(preview)
    _expect(wanted in shown, f"the preview does not show “{wanted}”")
    how = "in Chromium" if browser else "as far as this goes without Chromium, which is not on this machine"
    teller.tell(f"[bold]She tries it[/] {how}: {preview}")


def _install(teller: _Teller, artifact: dict[str, Any]) -> None:
    """Do what an Android phone does with the install page: open it, take the app, look who signed it."""
    page = _get(artifact["install_url"]).raise_for_status().text
    found = re.search(r'href="([^"]+\.apk[^"]*)"', page)
    _expect(found is not None, "the install page has no button that leads to the app")
    app = _get(str(httpx.URL(artifact["install_url"]).join(unescape(found[1])))) if found else None
    _expect(app is not None and app.is_success and app.content.startswith(b"PK"), "the app cannot be downloaded")
    size = len(app.content) // 1000 if app else 0
    teller.tell(f"[bold]Or installs it[/] as an Android app of {size} kB: {artifact['install_url']}")


def _ill_task(teller: _Teller, live: bool) -> str:
    teller.tell("[bold]08:19.[/] A second wish, whose new version will be ill in production:")
    if live:
        teller.tell("(Here a script stands in for the agent: a good model would not make this mistake on demand.)")
    task = teller.ask(SECOND, ILL_FOR_CERTAIN if live else "claude")
    head = str(teller.follow(task, "ready").data["head_sha"])
    teller.tell("[bold]She taps Merge.[/]")
    before = teller.elapsed
    _good(teller.tap(task, "merge", head))
    teller.follow(task, "rolled_back")
    teller.marks.append(("merge tap → ill → rolled back", teller.elapsed - before))
    health = httpx.get(teller.stage.production_url + "health", trust_env=False, verify=trusted())
    _expect(health.is_success, "production is not healthy after the rollback")
    _expect("About this song" in _page(teller.stage.production_url), "the version before is not back")
    teller.tell("[bold green]The version before is back,[/] without anybody having done anything.")
    revert = str(teller.follow(task, "revert.prepared").data["task"])
    teller.follow(revert, "ready")
    teller.tell("What takes it out of the default branch waits for her tap, like any other change.\n")
    return task


def _seconds(events: list[Event], begin: Callable[[Event], bool], end: Callable[[Event], bool]) -> float:
    """The time between pairs of events, added up."""
    total, since = 0.0, None
    for event in events:
        if since is None and begin(event):
            since = event.at
        elif since is not None and end(event):
            total += (event.at - since).total_seconds()
            since = None
    return total


def _finish(teller: _Teller, first: str, second: str, *, live: bool, as_json: bool) -> None:
    store = teller.stage.installation.store
    rows: list[tuple[str, float]] = list(teller.marks)
    spent: dict[str, float] = {}
    for task in (first, second):
        events = store.events(task_id=task, limit=1_000_000)
        for name, begin, end in (
            ("agent", "agent.started", "agent.finished"),
            ("checks", "check.started", "check.finished"),
            ("builds", "build.started", "build.finished"),
        ):
            seconds = _seconds(events, lambda e, k=begin: e.kind == k, lambda e, k=end: e.kind == k)  # type: ignore[misc]
            spent[name] = spent.get(name, 0.0) + seconds
    table = Table(title="The story in figures", box=None, title_justify="left", pad_edge=False)
    table.add_column("")
    table.add_column("seconds", justify="right")
    for name, seconds in [
        *rows,
        *((f"all {name}", seconds) for name, seconds in spent.items()),
        ("whole demo", teller.elapsed),
    ]:
        table.add_row(name, f"{seconds:.1f}")
    progress.print(table)
    played = "The model was played; everything else was real." if not live else "The model was the real one."
    progress.print(f'\n{played} Next: [bold]honk up[/], or [bold]honk run "…" --repo PATH[/].')
    if as_json:
        print_json(
            {
                "model": "real" if live else "played",
                "tasks": [teller.task(task) for task in (first, second)],
                "seconds": {name: round(value, 2) for name, value in [*rows, ("total", teller.elapsed)]},
            }
        )
