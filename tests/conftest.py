"""What many tests stand on: a home of their own, small repositories, and the shell of a person."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from honk.certificates import trusted
from tests import processes

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PERSON = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


# What is read until the tests are collected stays: it is not looked through for garbage again and again.
gc.disable()


def pytest_collection_finish() -> None:
    """See above."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)


def git(directory: Path, *arguments: str) -> str:
    """Git as the person of the test calls it."""
    done = subprocess.run(
        ["git", *arguments], cwd=directory, env=os.environ | PERSON, capture_output=True, text=True, check=True
    )
    return done.stdout.rstrip("\n")


def visit(address: str, **headers: str) -> httpx.Response:
    """A preview as a browser gets it, which finds `*.localhost` on its own machine."""
    url = httpx.URL(address)
    here = url.copy_with(host="127.0.0.1") if url.host.endswith(".localhost") else url
    return httpx.get(
        here, headers={"host": url.netloc.decode()} | headers, trust_env=False, verify=trusted(), timeout=30
    )


@pytest.fixture
def make_repository(tmp_path: Path) -> Callable[..., Path]:
    """Makes a git repository with the given files committed on the given branch."""

    def make(files: dict[str, str], name: str = "project", branch: str = "main") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", branch)
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            if text.startswith("#!"):
                target.chmod(0o755)
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "First")
        return folder

    return make


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with databases as a first start makes them, and nothing in them."""
    from dbos import DBOS

    from honk.store import open_database

    folder = tmp_path_factory.mktemp("databases")
    open_database(f"sqlite:///{folder / 'honk.db'}").dispose()
    DBOS.migrate(f"sqlite:///{folder / 'flow.db'}")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, databases: Path | None) -> Iterator[Path]:
    """A home of Honk's and of the person's, with no key and no settings.

    It is as an earlier start left it. Where `databases` is None there was none: each starts anew for a tenth of a
    second.
    """
    for name in [name for name in os.environ if name.startswith(("HONK_", "ANTHROPIC_", "GIT_"))]:
        monkeypatch.delenv(name)
    person = tmp_path / "person"
    person.mkdir()
    (person / ".gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.com\n")
    monkeypatch.setenv("HOME", str(person))
    folder = tmp_path / "honk"
    monkeypatch.setenv("HONK_HOME", str(folder))
    if databases:
        shutil.copytree(databases, folder)
        folder.chmod(0o700)
    # A second or two of Chromium for each build; the tests about pictures turn it on.
    monkeypatch.setenv("HONK_SCREENSHOTS", "false")
    # Half a second of a processor for each task; the tests about agents that wait turn it on.
    monkeypatch.setenv("HONK_WARM_AGENTS", "0")
    # A request or two to the model for each task; the tests about the judge turn it on.
    monkeypatch.setenv("HONK_JUDGE", "off")
    # A second of a processor for each server, in which package managers are asked; the tests about them say otherwise.
    monkeypatch.setenv("HONK_REGISTRIES", "[]")
    yield folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no Chromium on this machine: install it to test the pages")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


Honk = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def honk(home: Path) -> Honk:
    """Runs the `honk` command in the home of the test, as a person at a shell would."""

    def run(
        *arguments: str, given: str = "", check: int | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = processes.run(["-m", "honk", *arguments], given=given, environment=os.environ | environment)
        if check is not None:
            assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def _sandbox_refusal() -> str | None:
    from honk.settings import Settings
    from honk.workspace.sandbox import backend

    settings = Settings()
    return backend(settings).refusal(settings)


@pytest.fixture(scope="session")
def sandbox() -> None:
    """Skips where the kernel refuses bubblewrap."""
    if refusal := _sandbox_refusal():
        pytest.skip(f"no sandbox on this machine: {refusal}")
