"""Requests a second of a preview against Starlette's own static files, on the same files and the same server.

As a program it is one of the two servers: `python -m bench.previews plain|preview FOLDER`; it prints its address.
"""

from __future__ import annotations

import http.client
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

ROUNDS = 5
REQUESTS = 1000
FILES = {"index.html": 900, "assets/app.js": 180_000, "assets/app.css": 20_000, "assets/photo.avif": 60_000}
"""Names and bytes, about those of a small app."""


def previews_against_starlette(scratch: Path) -> dict[str, float]:
    """Requests a second with the coding that browsers ask for, and as they are; the rounds of both take turns."""
    folder = scratch / "site"
    for name, size in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((f"line of {name}\n".encode() * (size // 10))[:size])
    figures: dict[str, list[float]] = {}
    with _server("plain", folder) as plain, _server("preview", folder) as preview:
        for coding in ("identity", "gzip"):
            for _ in range(ROUNDS):
                for name, address in (("static files", plain), ("preview", preview)):
                    figures.setdefault(f"{name}, {coding}: requests/s", []).append(_rate(address, coding))
    return {name: statistics.median(values) for name, values in figures.items()}


def _rate(address: str, coding: str) -> float:
    host = urlsplit(address)
    connection = http.client.HTTPConnection("127.0.0.1", host.port or 80)
    headers = {"Host": host.netloc, "Accept-Encoding": coding}
    begun = time.perf_counter()
    for number in range(REQUESTS):
        connection.request("GET", f"/{list(FILES)[number % len(FILES)]}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"{address} answered {answer.status}")
    connection.close()
    return REQUESTS / (time.perf_counter() - begun)


@contextmanager
def _server(kind: str, folder: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.previews", kind, str(folder)], stdout=subprocess.PIPE, text=True
    )
    address = process.stdout.readline().strip() if process.stdout else ""
    host = urlsplit(address)
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{host.port}/", headers={"host": host.netloc}, trust_env=False)
            break
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise SystemExit(f"the {kind} server did not start") from None
            time.sleep(0.05)
    try:
        yield address
    finally:
        process.kill()
        process.wait()


def _serve(kind: str, folder: Path) -> None:
    import uvicorn
    from starlette.staticfiles import StaticFiles

    from honk.demo.stage import free_port

    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    application: ASGIApp = Starlette(routes=[Mount("/", StaticFiles(directory=folder, html=True))])
    if kind == "preview":
        address, application = _preview(folder, port)
    print(address, flush=True)
    uvicorn.run(application, host="127.0.0.1", port=port, log_level="error")


def _preview(folder: Path, port: int) -> tuple[str, ASGIApp]:
    from honk.flow.view import artifacts
    from honk.model import Artifact, Person, State, Task
    from honk.settings import read_settings
    from honk.ship import PreviewServer
    from honk.store import Store, open_database

    home = folder.with_name("preview-home")
    home.mkdir()
    settings = read_settings(home=home, listen=f"127.0.0.1:{port}")
    store = Store(open_database(settings.database))
    at = datetime.now(UTC)
    task = Task("t", "app", "Please", "script:true", State.READY, Person("local:ada", "Ada"), at, at)
    store.create_task(task, "m")
    artifact = Artifact("web", "c" * 40, "0" * 64, 1)
    store.save_artifact(task.id, artifact)
    previews = PreviewServer(store, lambda _: folder, settings)
    previews.serve(task.id, artifact)
    (shown,) = artifacts(store, task, settings.previews_at)
    return shown.url or "", previews.in_front_of(Starlette())


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
