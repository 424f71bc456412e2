"""A visit to a page with the browser of this machine, as somebody would make it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"


def found_browser() -> str | None:
    """Chromium or Chrome, if this machine has it."""
    return next((path for name in _BROWSERS if (path := shutil.which(name))), None)


def visit(browser: str, url: str) -> str:
    """The page as it stands once its scripts have run; nothing if the browser could not show it."""
    with tempfile.TemporaryDirectory(prefix="honk-browser-", ignore_cleanup_errors=True) as profile:
        arguments = [
            browser, "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-extensions", f"--user-data-dir={profile}", "--window-size=390,844", f"--user-agent={_AGENT}",
            # Browsers find `*.localhost` by themselves, but not every headless one does.
            "--host-resolver-rules=MAP *.localhost 127.0.0.1", "--virtual-time-budget=3000", "--dump-dom", url,
        ]  # fmt: skip
        if os.geteuid() == 0:
            # Chromium refuses to start as root with a sandbox of its own.
            arguments.insert(1, "--no-sandbox")
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
    return done.stdout
