"""The `honk` command."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line. Errors a person can act on are one sentence and an exit code, never a traceback.

    Ends the process at once: what a worker's threads have begun is on record and is taken up by the next life, so
    nothing has to be waited for.
    """
    # Garbage in cycles is rare here, objects are many: looking for it whenever 700 more were made took a twentieth of a
    # server's time.
    gc.set_threshold(20_000, 20, 20)
    code = _run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run() -> int:
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # Its errors reach the person as the task's own sentence.
    logging.getLogger("claude_agent_sdk").setLevel(logging.CRITICAL)
    from honk.cli.commands import command
    from honk.masking import guard_output
    from honk.model import HonkError
    from honk.surfaces.terminal import say_error

    guard_output(_masked)
    as_json = "--json" in sys.argv
    try:
        command()()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except HonkError as error:
        say_error(_masked(str(error)), as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if getattr(error, "errno", None) != 28 and "disk is full" not in str(error):
            raise
        full = HonkError("The disk that holds Honk's home is full: free some space there and try again.")
        say_error(str(full), as_json=as_json)
        return full.exit_code
    return 0


def _masked(text: str) -> str:
    """What may be shown of it: without this installation's secrets, as far as its settings can be read."""
    from honk.masking import masker
    from honk.model import HonkError
    from honk.settings import read_settings

    try:
        known = read_settings().secrets
    except HonkError:
        known = []
    return masker(known)(text)
