"""`python -m honk.rehearsal SCENES.yaml [--port N]`: serve a played model until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from honk.model import UsageError
from honk.rehearsal import Rehearsal, load_scenes


def main() -> int:
    """Serve, and say plainly that the model is played."""
    parser = argparse.ArgumentParser(prog="python -m honk.rehearsal", description=__doc__)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--pace", type=float, default=1.0)
    given = parser.parse_args()
    try:
        scenes = load_scenes(given.scenes)
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    with Rehearsal(scenes, pace=given.pace, port=given.port) as rehearsal:
        print(f"A played model, no real one, answers at {rehearsal.base_url}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
