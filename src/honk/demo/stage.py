"""What the story is played on: the example's repository, its production, and Honk, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr

from honk.app import Installation, access_token, assemble
from honk.certificates import trusted
from honk.git import git
from honk.model import HonkError
from honk.settings import Settings, read_settings

_ANDROID_FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
_SMALI = Path("/usr/share/java/smali.jar")
_WEB_BUILD = "  web: {run: python3 build.py, output: dist}\n"
_ANDROID_BUILD = "  android: {run: python3 android/build.py, output: android/out/encore.apk}\n"
PLAYED_KEY = "played-model-needs-no-key"


@dataclass
class Stage:
    """A running Honk with the example on its local forge, and the example's production."""

    installation: Installation
    url: str
    token: str
    production_url: str


def example_folder(name: str) -> Path:
    """Where an example is: in the installed package, or beside the sources."""
    for folder in (Path(__file__).parent.parent / "examples" / name, Path(__file__).parents[3] / "examples" / name):
        if folder.is_dir():
            return folder
    raise HonkError(f"The example {name} is missing from this installation: install Honk again.")


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def missing_android_tools() -> list[str]:
    """What this machine lacks to pack the example into an Android app."""
    missing = [name for name in ("aapt", "zipalign", "apksigner", "java") if not shutil.which(name)]
    if not (shutil.which("smali") or _SMALI.exists()):
        missing.append("smali")
    return missing + ([] if _ANDROID_FRAMEWORK.exists() else ["android-framework-res"])


def lay_out_repository(folder: Path, production_port: int) -> None:
    """A git repository with the example in it, whose health page is on that port, and whose app is built where the
    tools for it are."""
    shutil.copytree(example_folder("encore"), folder, ignore=shutil.ignore_patterns("dist", "out", "__pycache__"))
    file = folder / "honk.yaml"
    text = file.read_text().replace("127.0.0.1:4670", f"127.0.0.1:{production_port}")
    if not missing_android_tools():
        text = text.replace(_WEB_BUILD, f"{_WEB_BUILD}{_ANDROID_BUILD}")
    file.write_text(text)
    git("init", "-q", directory=folder)
    git("add", "-A", directory=folder)
    git("commit", "-qm", "Encore, a music player for the phone", directory=folder)


def first_release(repository: Path, production: Path) -> None:
    """Put the example's first version into production, the way its team did before Honk."""
    sha = git("rev-parse", "HEAD", directory=repository)
    environment = os.environ | {
        "HONK_SHA": sha,
        "HONK_DEPLOY_DIR": str(production),
        "HONK_ARTIFACT_WEB": str(repository / "dist"),
    }
    for command in ([sys.executable, "build.py"], ["sh", "./deploy.sh"]):
        done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HonkError(f"The example's first release failed: {(done.stderr or done.stdout).strip()[-300:]}")
    shutil.rmtree(repository / "dist")


@contextmanager
def production_server(root: Path, port: int) -> Iterator[None]:
    """The example's own server over its releases, as its team would run it: no part of Honk."""
    program = example_folder("encore") / "serve.py"
    process = subprocess.Popen(
        [sys.executable, str(program), "--root", str(root), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False, verify=trusted())
                break
            except httpx.HTTPError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise HonkError("The example's production server did not start.") from None
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(5)


def _settings(home: Path, port: int, model_url: str | None) -> Settings:
    """The person's settings, but for everything that would lead out of the demo's own folder."""
    own: dict[str, object] = {
        "home": home,
        "listen": f"127.0.0.1:{port}",
        "public_url": None,
        "database_url": None,
        "preview_host": None,
        "preview_domain": None,
        "artifacts_url": None,
    }
    if model_url:
        own |= {"anthropic_base_url": model_url, "anthropic_api_key": SecretStr(PLAYED_KEY), "model": None}
        own |= {"judge_model": "played", "models": []}
    return read_settings().model_copy(update=own)


@contextmanager
def set_up(home: Path, *, model_url: str | None) -> Iterator[Stage]:
    """Everything running. With `model_url` the model is played there; without, the settings' own model is asked."""
    with ExitStack() as stack:
        production_port, port = free_port(), free_port()
        settings = _settings(home, port, model_url)
        installation = assemble(settings)
        repository = home / "encore"
        lay_out_repository(repository, production_port)
        production = home / "production" / "encore"
        production.mkdir(parents=True)
        first_release(repository, production)
        stack.enter_context(production_server(production, production_port))
        installation.forges.local.create("encore", repository)
        installation.work(serve_previews=True)
        stack.callback(installation.close)
        token = access_token(home)
        stack.enter_context(_web(installation, settings, token))
        yield Stage(installation, settings.url, token, f"http://127.0.0.1:{production_port}/")


@contextmanager
def _web(installation: Installation, settings: Settings, token: str) -> Iterator[None]:
    import uvicorn

    from honk.surfaces.web import create_app

    application = create_app(
        installation.store,
        installation.inbox,
        settings,
        token,
        screenshot=installation.screenshots.path,
        comparison=installation.screenshots.comparison,
        folder=installation.artifacts.path,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            installation.with_previews(application),
            host=settings.host,
            port=settings.port,
            log_level="error",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, name="web", daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        if time.monotonic() > deadline:
            raise HonkError("Honk's own server did not start.")
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(5)
