"""`honk up`, which kills itself with SIGKILL once at each of the given points of the flow.

Usage: doomed.py FOLDER STEP:PHASE …   A file in FOLDER remembers each death, so that the next life gets past it.
With no points it only writes down, in FOLDER/trace, which steps it came by.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from honk.cli.serve import serve
from honk.flow import engine


def main() -> None:
    folder, points = Path(sys.argv[1]), set(sys.argv[2:])
    folder.mkdir(exist_ok=True)
    dying = threading.Lock()

    def watch(step: str, phase: str) -> None:
        with (folder / "trace").open("a") as trace:
            trace.write(f"{step}:{phase}\n")
        point = f"{step}:{phase}"
        # Two steps may come by their points at once, and one death must not be written down as two.
        with dying:
            if point in points and not (folder / f"died-{step}-{phase}").exists():
                (folder / f"died-{step}-{phase}").touch()
                os.kill(os.getpid(), signal.SIGKILL)

    launch = engine.Engine.launch
    # One process is both the server and the worker with the label that the server itself does not bear.
    engine.Engine.launch = lambda self, _, **given: launch(self, ["elsewhere"], **given)  # type: ignore[assignment]
    engine.observers.append(watch)
    serve("127.0.0.1:0")


main()
