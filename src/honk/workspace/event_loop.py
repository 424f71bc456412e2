"""The one event loop on which this process's gateways serve, in a thread that is started once and goes on."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")

_RESOLVING = 32
"""Names that are looked up, and questions that are asked of the store, at the same time."""

_starting = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def event_loop() -> asyncio.AbstractEventLoop:
    """The loop, started if it does not run yet."""
    global _loop  # noqa: PLW0603  it is the process's
    with _starting:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            _loop.set_default_executor(ThreadPoolExecutor(_RESOLVING, thread_name_prefix="honk-gateway"))
            threading.Thread(target=_loop.run_forever, name="honk-gateway", daemon=True).start()
        return _loop


def wait_for(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run on the loop from another thread, and return or raise what comes of it."""
    return asyncio.run_coroutine_threadsafe(coroutine, event_loop()).result()


def _forget() -> None:
    """A forked process has the loop but not its thread."""
    global _loop, _starting
    _loop, _starting = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
