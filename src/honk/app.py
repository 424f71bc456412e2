"""The one place that names concrete classes and wires them."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import socket
import stat
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from honk.agents import agent_ready, harness
from honk.flow import comparing as _comparing  # noqa: F401  registers its workflow
from honk.flow import merge as _merge  # noqa: F401  registers its workflow
from honk.flow import trying as _trying  # noqa: F401  registers its workflow
from honk.flow import turn as _turn  # noqa: F401  registers its workflows
from honk.flow.building import visited_service
from honk.flow.deploy import deployed_service, tell_of_service
from honk.flow.engine import Engine
from honk.flow.freshening import Freshening
from honk.flow.housekeeping import housekeeping
from honk.flow.inbox import Inbox
from honk.flow.ports import Rooms, furnish
from honk.flow.reach import make_ready
from honk.flow.resting import Resting
from honk.flow.view import artifacts, task_view
from honk.flow.warming import Spares
from honk.forges import Forges, GitHubAccounts, GitHubApi, GitHubForge, LocalForge, NoAccounts
from honk.masking import masker
from honk.model import Check, Checkout, HonkError, Repository, Task, UsageError
from honk.provenance import Sigstore, make_signing_key, sign
from honk.repository_file import RepositoryFile
from honk.settings import Settings
from honk.ship import ArtifactStore, CommandDeployer, PreviewServer, Production, Screenshots, qr_code
from honk.ship.artifacts import Prepare
from honk.ship.deploy import deploy_environment
from honk.ship.installs import install_links, make_install_key
from honk.ship.services import Readiness
from honk.ship.versions import versions
from honk.store import Attachments, KeptWorkspaces, Store, open_database
from honk.verify import Conditions, Earlier, checks_at_once, distil, prepare, verify
from honk.verify.judge import judge
from honk.verify.tamper import guard
from honk.workspace import Workspaces

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from honk.surfaces.github import GitHubSurface
    from honk.surfaces.slack import SlackSurface

log = logging.getLogger("honk")


class HomeLock:
    """Held by the one process that works on a home. Ends with the process, however it ends."""

    def __init__(self, home: Path) -> None:
        self._path = home / "worker.lock"
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """True if this process holds it now."""
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return True

    def holder(self) -> str:
        """The process id that holds it, as far as is known."""
        try:
            return self._path.read_text().strip() or "another"
        except OSError:
            return "another"

    def release(self) -> None:
        """Let the next one have it."""
        if self._file:
            self._file.close()
            self._file = None


@dataclass(frozen=True)
class Surfaces:
    """Where people talk to this installation besides its own pages."""

    slack: SlackSurface | None
    github: GitHubSurface | None


@dataclass
class Installation:
    """Honk, assembled on one home."""

    settings: Settings
    store: Store
    engine: Engine
    forges: Forges
    inbox: Inbox
    artifacts: ArtifactStore
    workspaces: Workspaces
    deployer: CommandDeployer
    production: Production
    lock: HomeLock
    screenshots: Screenshots
    spares: Spares
    freshening: Freshening
    github: GitHubApi | None = None
    previews: PreviewServer | None = None
    resting: Resting = field(default_factory=Resting)

    def work(self, *, serve_previews: bool = False, only_labels: bool = False, unsafe: bool = False) -> bool:
        """Become the worker of this home and take up what an earlier life left; False if another process is.

        With `only_labels`, take nothing but builds that want one of the settings' labels; `unsafe` runs them without a
        sandbox.
        """
        if not self.lock.take():
            return False
        make_signing_key(self.settings.home)
        if serve_previews:
            if _thinks(self.settings):
                make_ready(self.settings.registries)
            make_install_key(self.settings.home)
            self.previews = PreviewServer(
                self.store, self.artifacts.path, self.settings, self.inbox.tried, visited_service
            )
            self.previews.restore()
        furnish(self.rooms(serve_previews=serve_previews, unsafe=unsafe))
        if serve_previews:
            for trouble in self.production.start():
                log.error("%s", trouble)
        self.engine.launch(self.settings.labels, only_labels=only_labels)
        if only_labels:
            return True
        self.engine.daily(housekeeping, hour=3)
        self.resting.start()
        self.inbox.resume()
        if serve_previews and (newest := self.store.tasks(limit=1)):
            self.inbox.expect(newest[0].repository)
        return True

    def rooms(self, *, serve_previews: bool = False, unsafe: bool = False) -> Rooms:
        """What the flow works with."""
        return Rooms(
            settings=self.settings,
            store=self.store,
            workspaces=self.workspaces,
            attachments=Attachments(self.settings.home),
            forges=self.forges,
            harness=lambda agent: harness(agent, self.settings),
            verification=_Verification(self.settings),
            guard=guard,
            judge=judge,
            builder=self.artifacts,
            deployer=self.deployer,
            sign=lambda statement: sign(statement, self.settings.home, _sigstore(self.settings)),
            screenshots=self.screenshots if self.settings.screenshots else None,
            previews=self.previews,
            spares=self.spares if serve_previews else None,
            unsafe=unsafe,
        )

    def open_surfaces(self) -> Surfaces:
        """Begin to listen and to speak where people talk, as far as that is set up; for one process of a home."""
        slack = github = None
        if self.settings.slack_bot_token:
            from honk.surfaces.slack import SlackSurface

            slack = SlackSurface(self.store, self.inbox, self.settings, image=self._image)
            slack.start()
        if self.github and self.forges.github:
            from honk.surfaces.github import GitHubSurface

            github = GitHubSurface(self.store, self.inbox, self.settings, self.github, self.forges.github)
            github.start()
        return Surfaces(slack, github)

    def view(self, task: Task) -> dict[str, Any]:
        """The task as the interface and `--json` give it."""
        settings = self.settings
        return task_view(self.store, task, settings.url, settings.previews_at, install_links(settings))

    def with_previews(self, pages: ASGIApp) -> ASGIApp:
        """Honk's pages with the previews that have host names before them."""
        return self.previews.in_front_of(pages) if self.previews else pages

    def _image(self, kind: str, task: Task) -> bytes | None:
        """A picture of the version that is offered: its `screenshot`, its `comparison` with what
        was before, or the `qr` code of its address."""
        offered = [
            artifact
            for artifact in artifacts(self.store, task, self.settings.previews_at, install_links(self.settings))
            if not artifact.void and artifact.commit == task.head_sha
        ]
        if kind == "screenshot":
            found = next((path for one in offered if (path := self.screenshots.path(one.sha256))), None)
            return found.read_bytes() if found else None
        if kind == "comparison":
            pairs = [
                (event.data["before"], event.data["after"])
                for event in self.store.events_of(task.id, "build.compared")
                if event.data["commit"] == task.head_sha
            ]
            beside = next((path for pair in pairs if (path := self.screenshots.comparison(*pair))), None)
            return beside.read_bytes() if beside else None
        address = next((one.install_url or one.url for one in offered if one.install_url or one.url), None)
        return qr_code(address) if address else None

    def close(self, patience: float = 0.0) -> None:
        """Stop; what still runs after so many seconds is taken up by the next life."""
        self.resting.close()
        self.freshening.close()
        self.engine.close(patience)
        self.spares.close()
        if self.previews:
            self.previews.close()
            self.production.close()


def _expecting(settings: Settings, spares: Spares) -> Callable[[Repository], None]:
    """What is done when somebody seems about to ask for something: an agent is made ready, if it is the usual one."""

    def expect(repository: Repository) -> None:
        if _thinks(settings):
            spares.want(repository)

    return expect


def _thinks(settings: Settings) -> bool:
    """Whether the agent that is asked where nobody says otherwise is Claude Code, and can work here."""
    if settings.agent != "claude":
        return False
    with suppress(HonkError):
        agent_ready("claude", settings)
        return True
    return False


class _Verification:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turns = threading.Semaphore(settings.checks_at_once or checks_at_once())

    def __call__(
        self,
        checkout: Checkout,
        file: RepositoryFile,
        *,
        changed: Collection[str],
        on_start: Callable[[str, str, str], None],
        on_finish: Callable[[Check], None],
        stop: Callable[[], bool],
        earlier: Earlier,
        only: Collection[str] | None = None,
    ) -> Sequence[Check]:
        return verify(
            checkout,
            file,
            Conditions.of(self._settings, stop),
            changed=changed,
            on_start=lambda verifier: on_start(verifier.name, verifier.command, verifier.why),
            on_finish=on_finish,
            earlier=earlier,
            only=only,
            turns=self._turns,
        )


def _preparing(settings: Settings) -> Prepare:
    """How the set-up before a build is done."""

    def prepared(
        checkout: Checkout, file: RepositoryFile, stop: Callable[[], bool], log: Callable[[str], None]
    ) -> Readiness:
        return prepare(checkout, file, Conditions.of(settings, stop, lambda _, chunk: log(chunk)))

    return prepared


def _sigstore(settings: Settings) -> Sigstore | None:
    return Sigstore(settings.sigstore_trust, settings.sigstore_token) if settings.sigstore else None


def assemble(settings: Settings) -> Installation:
    """Put the parts together on the settings' home. Starts nothing. Raises `UsageError` if the home cannot be used."""
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / ".writable").touch()
        _close_to_others(home)
    except OSError as error:
        raise UsageError(
            f"Honk's home {home} cannot be written ({error.strerror}): set HONK_HOME to a folder that can."
        ) from error
    try:
        store = Store(open_database(settings.database), masker(settings.secrets))
    except Exception as error:
        raise HonkError(f"Honk's database cannot be opened: {str(error).splitlines()[0]}.") from error
    workspaces = Workspaces(
        settings,
        lambda repository, renew: forges.of(repository).credentials(repository, renew),
        KeptWorkspaces(store.engine),
        lambda repository: forges.of(repository).size(repository),
    )
    github, accounts = _github(settings, store, workspaces)
    forges = Forges(LocalForge(home, store), github[1] if github else None)
    distilled = partial(distil, budget=settings.distilled_characters)
    kept = ArtifactStore(settings, store, distilled, _preparing(settings))
    spares = Spares(settings.warm_agents)
    freshening = Freshening(workspaces.refresh, spares.renew)
    services = versions(deployed_service, tell_of_service, distilled, deploy_environment(settings))
    production = Production(home / "production", kept.find, services)
    # One life at a time works on a home, so its next life takes up what it left.
    engine = Engine(_flow_database(settings), executor=f"{socket.gethostname()}:{home}", every=settings.queue_seconds)
    return Installation(
        settings=settings,
        store=store,
        engine=engine,
        forges=forges,
        inbox=Inbox(
            settings,
            store,
            forges,
            accounts,
            engine,
            lambda agent: agent_ready(agent, settings),
            _expecting(settings, spares),
            freshening.want,
        ),
        artifacts=kept,
        workspaces=workspaces,
        deployer=CommandDeployer(settings, distilled, production),
        production=production,
        lock=HomeLock(home),
        screenshots=Screenshots(home),
        spares=spares,
        freshening=freshening,
        github=github[0] if github else None,
    )


def _close_to_others(home: Path) -> None:
    """What runs in a sandbox may leave programs in the home that would run with the rights of Honk's user."""
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & 0o077 and home.stat().st_uid == os.geteuid() and home != Path.home():
        home.chmod(mode & ~0o077)


def _github(
    settings: Settings, store: Store, workspaces: Workspaces
) -> tuple[tuple[GitHubApi, GitHubForge] | None, GitHubAccounts | NoAccounts]:
    """The GitHub App's side, if one is set up. Nothing is asked of GitHub yet."""
    if not (settings.github_app_id and settings.github_private_key):
        return None, NoAccounts()
    api = GitHubApi(settings)
    accounts = GitHubAccounts(settings, store, api)
    return (api, GitHubForge(settings, store, api, accounts, workspaces.mirrors.whole)), accounts


def _flow_database(settings: Settings) -> str:
    return settings.database if settings.database_url else f"sqlite:///{settings.home / 'flow.db'}"


def access_token(home: Path) -> str:
    """The token that opens this installation's pages and interface; made at first use, readable by its owner only."""
    path = home / "token"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text().strip()
