"""Runs inside a sandbox as git's file system monitor (githooks(5), fsmonitor-watchman, version 2).

Tells git which paths may differ from the read-only layers of a tree: those in its upper layer, which is all that a
process in the sandbox can have written. So git looks at these instead of at every file there is. Always tells all of
them, whatever git knows already. Uses the standard library only and little of it, because git waits for it.
"""

import os
import sys

UPPER = b"/honk/upper"


def opaque(folder: bytes) -> bool:
    """Whether what the layers below have in this folder is hidden, as after it was deleted and made anew."""
    try:
        return os.getxattr(folder, b"user.overlay.opaque") == b"y"
    except OSError:
        return False


def written(upper: bytes) -> list[bytes]:
    """Every path below `upper` at which something was written or deleted, with a slash where all below may differ."""
    found: list[bytes] = []
    waiting = [b""]
    while waiting:
        place = waiting.pop()
        try:
            entries = list(os.scandir(upper + place))
        except OSError:
            continue
        for entry in entries:
            path = (place + b"/" + entry.name).lstrip(b"/")
            if path == b".git":
                continue
            if not entry.is_dir(follow_symlinks=False):
                # A deletion, or a file where a folder was, changes all that was below it.
                found += (path, path + b"/")
                continue
            waiting.append(b"/" + path)
            if opaque(entry.path):
                found += (path, path + b"/")
    return found


if __name__ == "__main__":
    sys.stdout.buffer.write(b"\0".join([b"honk", *written(UPPER), b""]))
