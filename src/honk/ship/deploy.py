"""Deploy and rollback commands, and the watch over a deployment's health.

The commands come from the base branch and run on a checkout of the landed commit, in a sandbox that has the network,
one folder of its own that stays (`HONK_DEPLOY_DIR`), and the environment variables the settings name for deploys.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from honk.model import Checkout, Command, HonkError, Limits, Repository
from honk.repository_file import Deploy
from honk.settings import Settings
from honk.ship.health import measure, probes, watch
from honk.ship.production import Production


class CommandDeployer:
    """Implements the flow's `Deployer` with the repository's own commands, or by serving what was built or runs."""

    def __init__(self, settings: Settings, distil: Callable[[str], str], production: Production) -> None:
        self._settings = settings
        self._production = production
        self._distil = distil

    def folder(self, repository: Repository) -> Path:
        """What deploys of this repository may write, and find again."""
        folder = self._settings.home / "production" / repository.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def deploy(
        self,
        checkout: Checkout,
        deploy: Deploy,
        repository: Repository,
        *,
        previous: str | None,
        artifacts: dict[str, Path],
        on_output: Callable[[str], None],
    ) -> None:
        """See `Deployer.deploy`. A deploy that is known to have ended well is not run again."""
        folder = self.folder(repository)
        done = folder / ".honk" / checkout.commit
        if done.exists():
            return
        (folder / ".honk").mkdir(exist_ok=True)
        if deploy.listen:
            if deploy.site and deploy.site not in artifacts:
                raise HonkError(
                    f"there is no build `{deploy.site}` of this commit to serve: see `builds` in honk.yaml."
                )
            self._production.release(
                folder,
                checkout.commit,
                deploy.listen,
                sha256=artifacts[deploy.site].name if deploy.site else None,
                seconds=deploy.timeout,
                on_output=on_output,
            )
            return
        if deploy.run is None:
            raise HonkError("honk.yaml names no `deploy.run` command.")
        self._run("deploy", checkout, deploy.run, deploy.timeout, folder, previous, artifacts, on_output)
        done.touch()

    def rollback(
        self,
        checkout: Checkout,
        deploy: Deploy,
        repository: Repository,
        *,
        previous: str | None,
        artifacts: dict[str, Path],
        on_output: Callable[[str], None],
    ) -> None:
        """See `Deployer.rollback`. Raises `HonkError` also when there is nothing to go back to."""
        if previous is None:
            raise HonkError("there is no healthy deployment before this one.")
        folder = self.folder(repository)
        if deploy.listen:
            self._production.back(folder, previous, deploy.timeout)
            return
        if deploy.rollback is None:
            raise HonkError("honk.yaml names no `deploy.rollback` command.")
        self._run("rollback", checkout, deploy.rollback, deploy.timeout, folder, previous, artifacts, on_output)
        (folder / ".honk" / checkout.commit).unlink(missing_ok=True)

    def _run(
        self,
        name: str,
        checkout: Checkout,
        line: str,
        seconds: float,
        folder: Path,
        previous: str | None,
        artifacts: dict[str, Path],
        on_output: Callable[[str], None],
    ) -> None:
        inside = {f"/honk/artifacts/{kind}": path for kind, path in artifacts.items()}
        environment = deploy_environment(self._settings)
        environment |= {"HONK_SHA": checkout.commit, "HONK_DEPLOY_DIR": "/honk/deploy"}
        environment |= {"HONK_PREVIOUS_SHA": previous} if previous else {}
        environment |= {
            f"HONK_ARTIFACT_{kind.upper().replace('-', '_')}": f"/honk/artifacts/{kind}" for kind in artifacts
        }
        command = Command(
            ("sh", "-c", line),
            environment=environment,
            full_network=True,
            writable={"/honk/deploy": folder},
            readable=inside,
            limits=Limits(seconds=seconds),
        )
        done = checkout.run(command, on_output=on_output)
        if done.ended_by == "time limit":
            raise HonkError(f"the {name} command `{line}` took longer than {seconds:.0f} s and was ended.")
        if done.excess:
            raise HonkError(f"the {name} command `{line}` did not end by itself. {done.excess.sentence}")
        if done.exit_code:
            raise HonkError(f"the {name} command `{line}` failed:\n{self._distil(done.output)}")

    def measure(self, deploy: Deploy) -> Mapping[str, float]:
        """See `Deployer.measure`."""
        return measure(deploy.health) if deploy.health else {}

    def watch(
        self, checkout: Checkout | None, deploy: Deploy, repository: Repository, before: Mapping[str, float]
    ) -> None:
        """See `Deployer.watch`."""
        if deploy.service:
            self._production.settled(self.folder(repository), deploy.timeout)
        if deploy.health is None:
            return

        def run(line: str) -> str | None:
            if checkout is None:
                raise HonkError("a command that watches needs a checkout.")
            try:
                folder = self.folder(repository)
                self._run("health", checkout, line, deploy.timeout, folder, None, {}, lambda _: None)
            except HonkError as error:
                return str(error)
            return None

        asked = probes(deploy.health, before, run)
        if not deploy.service:
            watch(deploy.health, asked)
            return
        own = partial(self._production.trouble, self.folder(repository))
        try:
            watch(deploy.health, [own, *asked])
        except HonkError as error:
            # That it ended says more than that it does not answer.
            raise HonkError(own() or str(error)) from error


def deploy_environment(settings: Settings) -> dict[str, str]:
    """The variables of this process that the settings name for deploys."""
    return {name: os.environ[name] for name in settings.deploy_environment if name in os.environ}
