"""The app, built from a commit: what is built, where, when that can be spared, and what came of it.

here:       plan → build …
elsewhere:  build (hands out) → build_there on the worker with the label → offer back here

A card is presented without waiting for builds that were handed out: they are offered when they come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from honk.flow.attesting import attest_artifact
from honk.flow.brief import change_title, judging_notes, pull_request_body
from honk.flow.engine import TASKS, builds_on, follow, step, workflow
from honk.flow.installing import packages_of
from honk.flow.ports import known_repository, rooms
from honk.flow.progress import newest_line
from honk.flow.reach import reach_of
from honk.flow.verification import base_file
from honk.flow.view import artifacts, devices, findings_of, trials, verdict_of
from honk.git import GitError, succeeds
from honk.model import Artifact, Cancelled, Checkout, HonkError, Repository, State, Task
from honk.repository_file import SERVICE, Build, RepositoryFile
from honk.scratch import scratch
from honk.ship.builds import Tracked, fingerprint, plan_builds
from honk.ship.installs import install_links, installable
from honk.store import PackageRow
from honk.store.rows import read_making

GITHUB_ACTIONS = "github-actions"
"""The label of builds that a workflow on GitHub makes."""


@dataclass(frozen=True)
class Order:
    """One build that is asked for. `named` is true if honk.yaml names it."""

    task: Task
    repository: Repository
    commit: str
    kind: str
    build: Build
    file: RepositoryFile
    source: Path
    fingerprint: str

    @property
    def key(self) -> str:
        return f"build:{self.commit}:{self.kind}"

    @property
    def named(self) -> bool:
        return self.file.builds is not None or self.kind == SERVICE


@step
def plan(task_id: str, turn_id: str) -> list[str]:
    """The builds the repository asks for, by name."""
    task, repository = known_repository(task_id)
    return wanted_builds(task, repository, task.head_sha or "")


def make(task_id: str, turn_id: str, kind: str) -> None:
    """One build of the verified commit, here or where it asks to be made."""
    if handed := build(task_id, turn_id, kind):
        key = f"build:{handed['commit']}:{kind}:{task_id}"
        follow("build_elsewhere", key, builds_on(handed["label"]), task_id, task_id, handed["commit"], kind)


@step
def build(task_id: str, turn_id: str, kind: str) -> dict[str, str] | None:
    """Build the app from the verified commit in a fresh sandbox and offer it; the commit and the label if that is for
    another worker to do."""
    commit = rooms().store.task(task_id).head_sha or ""
    label = build_commit(task_id, commit, kind)
    return {"commit": commit, "label": label} if label else None


@workflow
def build_elsewhere(task_id: str, commit: str, kind: str) -> None:
    """A build that wants what this worker can do."""
    if build_there(task_id, commit, kind):
        follow("offer_built", f"offer:{task_id}:{commit}:{kind}", TASKS, task_id, task_id, commit, kind)


@workflow
def offer_built(task_id: str, commit: str, kind: str) -> None:
    """What another machine has built, where people look for it."""
    offer(task_id, commit, kind)


@step
def build_there(task_id: str, commit: str, kind: str) -> bool:
    """Build what was handed out; true if there is something to offer now."""
    room = rooms()
    task, repository = known_repository(task_id)
    key = f"build:{commit}:{kind}"
    if room.store.count_events(task_id, "build.finished", key):
        return True
    if task.head_sha != commit or task.state is State.CANCELLED:
        told = {"kind": kind, "reason": "A newer commit took the place of this one before its turn came."}
        room.store.record(task_id, "build.skipped", told, key=key)
        return False
    try:
        room.workspaces.fetch(repository)
        # The branch was pushed before its builds were planned: looking at its pull request brings the commit here.
        with suppress(GitError):
            room.forges.of(repository).pull_request(repository, task.branch or "")
        source = room.forges.of(repository).git_dir(repository)
        if not (source.is_dir() and succeeds("cat-file", "-e", f"{commit}^{{commit}}", directory=source)):
            raise HonkError(
                "This worker cannot get the commit: it needs a forge that it and the server reach, such as GitHub."
            )
        wanted = _planned(task, repository, commit, source)[kind]
        if isinstance(wanted, str):
            raise HonkError(wanted)
        _build(_ordered(task, repository, commit, kind, wanted, source))
    except HonkError as error:
        room.store.record(task_id, "build.failed", {"kind": kind, "error": str(error)}, key=key)
        return False
    return room.store.count_events(task_id, "build.finished", key) > 0


@step
def offer(task_id: str, commit: str, kind: str) -> None:
    """Serve what was built elsewhere, unless a newer commit took its place, and tell of it in the pull request."""
    room = rooms()
    task, _ = known_repository(task_id)
    row = room.store.artifact_row(task_id, commit, kind)
    if row is None or row["void"] or task.head_sha != commit:
        return
    if room.previews:
        room.previews.serve(task_id, Artifact(kind, commit, row["sha256"], row["size"]))
    if not task.merged_sha:
        describe_built(task_id)


def describe_built(task_id: str) -> None:
    """Bring the pull request's text up to date with what was built."""
    room = rooms()
    task, repository = known_repository(task_id)
    offered = artifacts(room.store, task, room.settings.previews_at, install_links(room.settings))
    if not offered:
        return
    checks = room.store.checks(task.repository, task.head_sha)
    room.forges.of(repository).open_change(
        repository,
        branch=task.branch or "",
        title=change_title(task),
        body=pull_request_body(
            task,
            checks,
            offered,
            f"{room.settings.url}/tasks/{task_id}",
            devices(trials(room.store, task)),
            judging_notes(verdict_of(room.store, task), findings_of(room.store, task)),
        ),
        head_sha=task.head_sha or "",
        person=task.person,
    )


def wanted_builds(task: Task, repository: Repository, commit: str) -> list[str]:
    """The builds of a commit, by name."""
    return list(_planned(task, repository, commit, _source(task, repository, commit)))


def build_commit(task_id: str, commit: str, kind: str) -> str | None:
    """Build one kind of artifact from one commit, unless what it reads was built before; the label of the worker that
    has to do it, if it is not this one."""
    room = rooms()
    task, repository = known_repository(task_id)
    key = f"build:{commit}:{kind}"
    source = _source(task, repository, commit)
    wanted = _planned(task, repository, commit, source)[kind]
    if isinstance(wanted, str):
        room.store.record(task_id, "build.skipped", {"kind": kind, "reason": wanted}, key=key)
    elif wanted.on == GITHUB_ACTIONS and task.head_sha != commit:
        reason = "Deploys do not build on GitHub Actions: what was built of the change counts."
        room.store.record(task_id, "build.skipped", {"kind": kind, "reason": reason}, key=key)
    elif wanted.on and wanted.on not in (GITHUB_ACTIONS, *room.settings.labels):
        return wanted.on if _handed_out(task, commit, kind, wanted.on) else None
    else:
        _build(_ordered(task, repository, commit, kind, wanted, source))
    return None


def _handed_out(task: Task, commit: str, kind: str, label: str) -> bool:
    """Say that the build is left to a worker with the label, whenever one comes."""
    store, key = rooms().store, f"build:{commit}:{kind}"
    if task.head_sha != commit:
        reason = f"Deploys do not wait for workers with the label {label!r}: what was built of the change counts."
        store.record(task.id, "build.skipped", {"kind": kind, "reason": reason}, key=key)
        return False
    store.record(task.id, "build.waiting", {"kind": kind, "label": label}, key=f"{key}:waiting")
    return True


def order(task: Task, repository: Repository, commit: str, kind: str) -> Order | None:
    """How a commit's build would be made here; None if it cannot be."""
    source = _source(task, repository, commit)
    wanted = _planned(task, repository, commit, source).get(kind)
    if wanted is None or isinstance(wanted, str) or (wanted.on and wanted.on not in rooms().settings.labels):
        return None
    return _ordered(task, repository, commit, kind, wanted, source)


def _ordered(task: Task, repository: Repository, commit: str, kind: str, wanted: Build, source: Path) -> Order:
    file = base_file(repository, task.base_sha or "")
    digest = fingerprint(Tracked.at(source, commit), wanted, file)
    return Order(task, repository, commit, kind, wanted, file, source, digest)


def _build(asked: Order) -> None:
    room, task = rooms(), asked.task
    again = built_before(asked)
    if again:
        _offer(asked, again, unchanged_since=again.commit)
        return
    try:
        artifact = _make(asked)
    except Cancelled:
        raise
    except HonkError as error:
        if asked.named:
            raise
        told = f"{error}\nThis build was found, not named: name `builds` in honk.yaml to do it your way (`{{}}`: none)."
        room.store.record(task.id, "build.skipped", {"kind": asked.kind, "reason": told}, key=asked.key)
        return
    _offer(asked, artifact)


def _planned(task: Task, repository: Repository, commit: str, source: Path) -> Mapping[str, Build | str]:
    file = base_file(repository, task.base_sha or "")
    found = plan_builds(Tracked.at(source, commit), file) if file.builds is None else file.builds
    return {**found, SERVICE: file.preview.build} if file.preview else found


def _source(task: Task, repository: Repository, commit: str) -> Path:
    """The bare repository that has the commit."""
    room = rooms()
    if commit == task.head_sha:
        return room.workspaces.change_git_dir(task)
    return room.forges.of(repository).git_dir(repository)


def built_before(asked: Order) -> Artifact | None:
    """What the same lines made of the same files, if that is still to be had."""
    room = rooms()
    row = room.store.same_build(asked.repository.name, asked.kind, asked.fingerprint)
    if row is None:
        return None
    made = read_making(row)
    artifact = Artifact(asked.kind, row["commit"], row["sha256"], row["size"], making=made)
    try:
        room.builder.path(artifact)
    except HonkError:
        return None
    return artifact


def _make(asked: Order) -> Artifact:
    room, task = rooms(), asked.task
    room.store.record(
        task.id, "build.started", {"kind": asked.kind, "command": asked.build.run}, key=f"{asked.key}:started"
    )
    tell = newest_line([task.id], "build.progress", {"kind": asked.kind}, asked.key)
    if asked.build.on == GITHUB_ACTIONS:
        return _made_on_github(asked, tell)
    return made_here(asked, lambda: room.store.task(task.id).cancel_requested, tell)


def made_here(asked: Order, stop: Callable[[], bool], tell: Callable[[str], None]) -> Artifact:
    """Build what is asked for in a fresh sandbox, or start it if it is a service, and picture it."""
    room, unsafe = rooms(), asked.task.unsafe or rooms().unsafe
    reach = reach_of(asked.task, asked.kind, asked.key)
    with room.workspaces.checkout(
        asked.repository, asked.commit, source=asked.source, unsafe=unsafe, reach=reach
    ) as checkout:
        if asked.kind == SERVICE:
            return _started(asked, checkout, stop, tell)
        artifact = room.builder.build(checkout, asked.kind, asked.build, file=asked.file, stop=stop, on_output=tell)
        if room.screenshots:
            room.screenshots.take(checkout, artifact, room.builder.path(artifact))
    return artifact


def _started(asked: Order, checkout: Checkout, stop: Callable[[], bool], tell: Callable[[str], None]) -> Artifact:
    """Try whether the service comes to listen. It is not left running: a visit starts it again."""
    room, begun = rooms(), time.monotonic()
    if asked.file.preview is None:
        raise HonkError("honk.yaml names no `preview` that could run.")
    with room.builder.running(checkout, asked.file, stop=stop, on_output=tell) as (service, _):
        seconds = time.monotonic() - begun
        artifact = room.builder.keep_service(asked.commit, asked.file.preview, asked.fingerprint, seconds=seconds)
        if room.screenshots:
            room.screenshots.take_running(checkout, artifact, service)
    return artifact


@contextmanager
def visited_service(
    task_id: str, commit: str, stop: Callable[[], bool], on_output: Callable[[str], None]
) -> Iterator[tuple[Path, Callable[[], bool], float]]:
    """The service of a version while it is looked at: its Unix socket, whether it runs, and for how many seconds
    without a visitor it goes on. Raises `HonkError` when it cannot be started, `Cancelled` when `stop()` turns true."""
    room = rooms()
    task, repository = known_repository(task_id)
    asked = order(task, repository, commit, SERVICE)
    if asked is None or asked.file.preview is None:
        raise HonkError("This version names no `preview` in honk.yaml that could run.")
    unsafe, reach = task.unsafe or room.unsafe, reach_of(task, SERVICE, asked.key)
    with (
        room.workspaces.checkout(repository, commit, source=asked.source, unsafe=unsafe, reach=reach) as checkout,
        room.builder.running(checkout, asked.file, stop=stop, on_output=on_output) as (service, alive),
    ):
        yield service, alive, asked.file.preview.idle


def _made_on_github(asked: Order, tell: Callable[[str], None]) -> Artifact:
    room, task, said = rooms(), asked.task, list[str]()

    def follow_along(line: str) -> None:
        said.append(line)
        tell(line)

    with scratch() as folder:
        begun = time.monotonic()
        archives = room.forges.of(asked.repository).run_workflow(
            asked.repository,
            asked.build.run,
            branch=task.branch or "",
            sha=asked.commit,
            seconds=asked.build.timeout,
            folder=Path(folder),
            tell=follow_along,
            stop=lambda: room.store.task(task.id).cancel_requested,
        )
        seconds = time.monotonic() - begun
        return room.builder.keep(asked.commit, asked.kind, asked.build, archives, seconds=seconds, log="".join(said))


def _offer(asked: Order, artifact: Artifact, unchanged_since: str | None = None) -> None:
    """Keep the artifact for the task's commit with what it holds for phones, serve it, and say so."""
    room, task = rooms(), asked.task
    before = room.store.landed_artifact(asked.repository.name, asked.kind, without=task.id)
    offered = Artifact(asked.kind, asked.commit, artifact.sha256, artifact.size, making=artifact.making)
    packages = packages_of(offered)
    room.store.save_artifact(task.id, offered, asked.fingerprint, _what_people_have(asked) if packages else None)
    if room.previews and asked.commit == task.head_sha:
        room.previews.serve(task.id, offered)
    told = {
        "kind": asked.kind,
        "ok": True,
        "size": offered.size,
        "sha256": offered.sha256,
        "commit": asked.commit,
        "pictured": room.screenshots is not None and room.screenshots.path(offered.sha256) is not None,
        "seconds": round(offered.making.seconds, 1) if offered.making else None,
        "size_before": before["size"] if before else None,
        "unchanged_since": unchanged_since,
        "packages": _in_short(packages),
    }
    room.store.record(task.id, "build.finished", told, key=asked.key)
    attest_artifact(task.id, offered)


def _what_people_have(asked: Order) -> str | None:
    """The SHA-256 of the build that a package is an update of: the newest that has landed, or what was made of the
    base; None if there is none (yet)."""
    room = rooms()
    landed = room.store.landed_artifact(asked.repository.name, asked.kind, without=asked.task.id)
    if landed and packages_of(Artifact(asked.kind, landed["commit"], landed["sha256"], landed["size"])):
        return str(landed["sha256"])
    with suppress(HonkError):
        base = order(asked.task, asked.repository, asked.task.base_sha or "", asked.kind)
        made = built_before(base) if base else None
        if made and packages_of(made):
            return made.sha256
    return None


def _in_short(packages: Sequence[PackageRow]) -> list[dict[str, str]]:
    """What the log tells of packages."""
    faults = [{"file": row.file, "error": row.fault} for row in packages if row.fault]
    return [
        {
            "file": one.file,
            "kind": one.package.kind,
            "identifier": one.package.identifier,
            "name": one.package.name,
            "version": one.package.version,
            "build": one.package.build,
        }
        for one in installable(packages)
    ] + faults
