"""The `honk` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Errors a person can act on are one sentence and an exit code, never a traceback."""
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    from honk.cli.commands import app
    from honk.model import HonkError
    from honk.surfaces.terminal import say_error

    try:
        app()
    except HonkError as error:
        say_error(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno != 28:
            raise
        say_error(
            HonkError("The disk is full: free some space for Honk's home and try again."), as_json="--json" in sys.argv
        )
        sys.exit(1)
