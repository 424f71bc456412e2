"""Everything that comes in: a request, a message, a tap. Each is written down under its key, then work is started."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from honk.flow.approvals import permitted_by
from honk.flow.engine import TASKS, Engine
from honk.flow.naming import named
from honk.flow.ports import Accounts, Forges
from honk.flow.taps import CI, Action, Taps, short_digest
from honk.flow.view import offered_event, trials
from honk.gate import check_access
from honk.model import (
    Access,
    Attachment,
    LinkOffer,
    NotFound,
    Person,
    Refused,
    Repository,
    State,
    Task,
    Trial,
    UsageError,
)
from honk.repository_file import parse_repository_file
from honk.settings import Settings
from honk.store import Attachments, Store
from honk.untrusted import clean
from honk.verify import distil
from honk.workspace import parse_entry

MAX_TEXT = 200_000
"""Characters of a message. Longer texts belong into the repository."""

_MOST_TRIALS = 50
"""Devices that are named for one version. A browser may call itself anything."""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _checked(text: str) -> str:
    cleaned = text.replace("\0", "").strip()
    if not cleaned:
        raise UsageError("Say what should change: the text is empty.")
    if len(cleaned) > MAX_TEXT:
        raise UsageError(
            f"The text has {len(cleaned):,} characters; {MAX_TEXT:,} is the most. Put the long part into a file of the "
            "repository and name that file."
        )
    return cleaned


class Inbox:
    """The door every surface uses. All calls block for a few milliseconds and never for the work itself."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        forges: Forges,
        accounts: Accounts,
        engine: Engine,
        agent_ready: Callable[[str], None],
        expect: Callable[[Repository], None] = lambda _: None,
        freshen: Callable[[Repository], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._forges = forges
        self._accounts = accounts
        self._attachments = Attachments(settings.home)
        self._engine = engine
        self._taps = Taps(settings, store, forges, engine, agent_ready)
        self._agent_ready = agent_ready
        self._expect = expect
        self._freshen = freshen

    def expect(self, repo: str) -> None:
        """Somebody seems about to ask for something in a repository that is known: an agent may be made ready."""
        if repository := self._store.repository(repo):
            self._expect(repository)

    def overhear(self, text: str) -> None:
        """What people say to each other where Honk listens: a known repository that is named may soon be asked for."""
        if found := named(text, self.repositories(), lambda _: None)[0]:
            self._expect(found)

    # -- words -------------------------------------------------------------------------------------------------------

    def submit(
        self,
        *,
        repo: str,
        text: str,
        agent: str | None = None,
        key: str,
        person: Person,
        unsafe: bool = False,
        attachments: Sequence[Attachment] = (),
        origin: str | None = None,
        context: str = "",
    ) -> Task:
        """Start a task; the same key again gives the same task. `origin` is a link to where it was asked for, `context`
        what the agent is told besides the request: it is not shown on pull requests and commits.

        Raises `UsageError`, `NotFound` or `Refused` with a sentence, before anything is created.
        """
        text = _checked(text)
        task_id = _digest("task", person.id, key)[:10]
        if known := self._store.find_task(task_id):
            self._start_turn(task_id, key)
            return known
        agent = agent or self._settings.agent
        self._agent_ready(agent)
        repository = self._forges.resolve(repo)
        check_access(self._forges.of(repository).access(repository, person), "read", repository.name)
        parse_repository_file(self._forges.of(repository).base_text(repository, "honk.yaml") or "")
        now = datetime.now(UTC)
        task = Task(
            id=task_id,
            repository=repository.name,
            text=text,
            agent=agent,
            state=State.QUEUED,
            person=person,
            created_at=now,
            updated_at=now,
            branch=f"honk/{task_id}",
            max_cost_usd=self._settings.max_cost_usd,
            max_turns=self._settings.max_turns,
            unsafe=unsafe,
            origin=origin,
        )
        account = self._store.account(person.id)
        self._store.create_task(task, key, attachments, context[:MAX_TEXT], login=account.login if account else None)
        self._start_turn(task_id, key)
        return self._store.task(task_id)

    def say(self, task_id: str, text: str, key: str, person: Person, attachments: Sequence[Attachment] = ()) -> Task:
        """Put a message into the thread: it enters the turn that runs, or starts the next one."""
        text = _checked(text)
        task = self._store.task(task_id)
        if task.merged_sha:
            raise Refused("This change has been merged: start a new task for what comes next.")
        if task.state is State.MERGING:
            raise Refused("This change is being merged right now: say it again in a moment if that does not succeed.")
        self._taps.check(task, person, "read")
        self._agent_ready(task.agent)
        if task.state.resting:
            self._store.update_task(task.id, cancel_requested=False)
        if self._store.add_message(task.id, key, text, person, attachments):
            self._start_turn(task.id, key)
        return self._store.task(task.id)

    def edit(self, task_id: str, key: str, text: str, person: Person, context: str = "") -> bool:
        """Change a message (and its context) that nobody has started on yet; False if somebody has."""
        text = _checked(text)
        return self._store.edit_message(task_id, key, text, context[:MAX_TEXT], person.id, _digest(key, text)[:16])

    def withdraw(self, task_id: str, key: str, person: Person) -> bool:
        """Take back a message that nobody has started on yet; False if somebody has. Without any, the task ends."""
        withdrawn = self._store.withdraw_message(task_id, key, person.id)
        if withdrawn and not self._store.messages(task_id):
            self._taps.cancel(self._store.task(task_id), None, f"withdrawn:{key}", person)
        return withdrawn

    def attach(self, name: str, media_type: str, data: bytes) -> Attachment:
        """Keep a file that comes with a message. Raises `UsageError` if it is too large."""
        return self._attachments.keep(name, media_type, data)

    # -- what happens on the forge -----------------------------------------------------------------------------------

    def pushed(self, task_id: str, sha: str, person: Person) -> None:
        """Somebody pushed to a task's branch: their commit is taken in and verified like any other."""
        task = self._store.task(task_id)
        if task.merged_sha or task.state is State.MERGING or sha in (task.head_sha, task.pushed_sha):
            return
        new = self._store.record(
            task.id, "branch.pushed", {"sha": sha, "name": person.name}, key=f"pushed:{sha}", person=person.id
        )
        if not new and task.state is State.FAILED:
            # It was tried with this commit; the next move is a person's.
            return
        # A merge may be asked for before this begins, which is then told of again: not by the same id.
        number = sum(self._store.count_events(task.id, kind) for kind in ("turn.started", "merge.refused"))
        self._engine.start("adopt", f"adopt:{task.id}:{sha}:{number}", TASKS, task.id, task.id, sha, number)

    def moved(self, repository: Repository) -> None:
        """Somebody pushed to the default branch: who asks for something next is not to wait for that."""
        self._freshen(repository)

    def red_elsewhere(self, task_id: str, name: str, head_sha: str, text: str, key: str) -> bool:
        """A check of the team's own went red on the commit that is offered: the agent mends it, a few times at most;
        False if that was not asked of it."""
        task = self._store.task(task_id)
        if task.head_sha != head_sha or task.state is not State.READY or task.merged_sha:
            return False
        text = distil(clean(text)) or "It says nothing about why."
        told = {"name": name, "head_sha": head_sha, "text": text}
        self._store.record(task.id, "ci.failed", told, key=f"ci:{key}", person=CI.id)
        mended = [message.key for message in self._store.messages(task.id) if message.person.id == CI.id]
        if f"ci:{key}" in mended or len(mended) >= self._settings.ci_rounds:
            return False
        self.say(task.id, f"The check `{name}` failed on the pull request:\n\n{text}", f"ci:{key}", CI)
        return True

    def ended_elsewhere(self, task_id: str, merged_sha: str | None, person: Person, key: str) -> None:
        """Somebody merged (as `merged_sha`) or closed the pull request on the forge's own pages."""
        task = self._store.task(task_id)
        if task.merged_sha or task.state in (State.MERGING, State.CANCELLED):
            return
        if merged_sha is None:
            # Told of it again, a person may have gone on meanwhile.
            if self._store.record(task.id, "pull_request.closed", {"name": person.name}, key=key, person=person.id):
                self._taps.cancel(task, None, key, person)
            return
        by = permitted_by(self._store, task.id, task.head_sha or "")
        if by and task.state is State.READY:
            # Honk's own, of which the answer was lost: what follows a merge follows now.
            self._taps.line_up(task, by)
            return
        self._store.record(
            task.id,
            "merge.elsewhere",
            {"sha": merged_sha, "name": person.name},
            key=f"landed:{merged_sha}",
            person=person.id,
            changes={
                "state": State.MERGED.value,
                "merged_sha": merged_sha,
                "next_action": "Merged on the forge: Honk did not deploy it",
            },
        )

    # -- people and repositories -------------------------------------------------------------------------------------

    def access(self, repository_name: str, person: Person) -> Access:
        """What the person may do there, asked of the forge now. Raises `Refused` if it is not known who they are."""
        repository = self._taps.repository(repository_name)
        return self._forges.of(repository).access(repository, person)

    def named(self, text: str) -> tuple[Repository | None, str]:
        """The repository a text names, and the text without saying so."""
        return named(text, self.repositories(), self._forges.lookup)

    def link_offer(self, person: Person) -> LinkOffer:
        """How the person shows who they are on the forge. Raises `UsageError` where there is none with accounts."""
        return self._accounts.link_offer(person)

    def finish_link(self, person: Person) -> str | None:
        """Their login there once they have confirmed it; None while they have not. Raises `Refused`."""
        return self._accounts.finish_link(person)

    def linked(self, person: Person) -> str | None:
        """Their login on the forge, if it is known."""
        account = self._store.account(person.id)
        return account.login if account else None

    def unlink(self, person: Person) -> None:
        """Forget who they are on the forge."""
        self._store.unlink_account(person.id)

    def refuse(self, person: Person, where: str, reason: str, key: str) -> None:
        """Note that somebody was turned away, and why."""
        told = {"name": person.name, "where": where, "reason": reason}
        self._store.record("", "refused", told, key=f"refused:{key}", person=person.id)

    # -- taps --------------------------------------------------------------------------------------------------------

    def act(
        self, task_id: str, action: Action, head_sha: str | None, key: str, person: Person, *, host: str = ""
    ) -> Task:
        """Carry out a tap; of `allow`, for the `host` (`host:port`) that was blocked.

        Raises `Refused` when it no longer fits what stands now, `UsageError` for no such action.
        """
        task = self._store.task(task_id)
        self._taps.act(task, action, head_sha, key, person, host)
        return self._store.task(task.id)

    def revoke(self, repository_name: str, entry: str, person: Person) -> None:
        """Take back what somebody allowed a repository's commands to reach. Raises `NotFound` if nobody has."""
        host, port = parse_entry(entry.strip().lower())
        repository = self._taps.repository(repository_name)
        check_access(self._forges.of(repository).access(repository, person), "write", repository.name)
        if not self._store.revoke(repository.name, host, port):
            raise NotFound(f"Nobody has allowed {host}:{port} in {repository.name}: `honk egress list` shows what is.")
        told = {"repository": repository.name, "host": host, "port": port, "name": person.name}
        self._store.record("", "egress.revoked", told, key=f"revoked:{uuid.uuid4().hex}", person=person.id)

    def tried(self, task_id: str, commit: str, kind: str, trial: Trial) -> None:
        """Note that somebody tried what was built of a commit, once a device; nothing once that is merged or replaced.
        Who it was is not asked, and not kept."""
        task = self._store.find_task(task_id)
        if task is None or task.head_sha != commit or task.merged_sha or task.state is State.CANCELLED:
            return
        known = [event for event in self._store.events_of(task.id, "tried") if event.data["commit"] == commit]
        same = any(event.data["kind"] == kind and event.data["device"] == trial.device for event in known)
        if same or len(known) >= _MOST_TRIALS:
            return
        told = {"kind": kind, "commit": commit, "device": trial.device, "platform": trial.platform}
        key = f"tried:{commit}:{kind}:{short_digest(trial.device)}"
        self._store.record(task.id, "tried", told | {"exact": trial.exact}, key=key)
        self._tell_tried(task.id, commit, key)

    def _tell_tried(self, task_id: str, commit: str, key: str) -> None:
        self._engine.start("tell_tried", f"{key}:{task_id}", TASKS, task_id, task_id, commit)

    def diff(self, task_id: str) -> str:
        """The change as a unified diff; empty while there is none."""
        task = self._store.task(task_id)
        repository = self._store.repository(task.repository)
        if not (repository and task.base_sha and task.head_sha):
            return ""
        return self._forges.of(repository).diff(repository, task.base_sha, task.head_sha)

    def will_deploy(self, task: Task) -> str | None:
        """What a merge of this task will deploy, in a line; None if nothing, or if that is known only later."""
        repository = self._store.repository(task.repository)
        if repository is None:
            return None
        deploy = parse_repository_file(self._forges.of(repository).base_text(repository, "honk.yaml") or "").deploy
        if deploy is None:
            return None
        health = f", then {deploy.health.named} is watched for {deploy.health.seconds:g} s" if deploy.health else ""
        if deploy.environment:
            return f"GitHub deploys the merged commit to {deploy.environment}{health}."
        if deploy.site:
            return f"Honk serves `{deploy.site}` of the merged commit at {deploy.listen}{health}."
        if deploy.service:
            return f"Honk runs `{deploy.service.run}` of the merged commit at {deploy.listen}{health}."
        return f"`{deploy.run}` runs on the merged commit{health}."

    def wants_approval(self, task: Task) -> bool:
        """Whether somebody else's approval was asked for when this change was offered."""
        offered = offered_event(self._store, task)
        return bool(offered and offered.data.get("approval_wanted"))

    def repositories(self) -> Sequence[Repository]:
        """Those this installation knows, the newest first."""
        return self._store.repositories()

    def resume(self) -> None:
        """Start what was written down but not started when an earlier life ended."""
        for task_id, key in self._store.untaken():
            self._start_turn(task_id, key)
        for task in self._store.tasks():
            if task.state is State.READY:
                for event in trials(self._store, task):
                    self._tell_tried(task.id, str(event.data["commit"]), event.key)
        for task, tap in self._store.merging():
            self._taps.start_merge(task, tap.data["head_sha"], self._store.count_events(task.id, "merge.refused"))

    def _start_turn(self, task_id: str, key: str) -> None:
        turn = f"turn:{task_id}:{short_digest(key)}"
        self._engine.start("turn", turn, TASKS, task_id, task_id, turn)
