"""Pictures in the thread: the preview as a phone shows it, or the code that opens it there."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from honk.certificates import trusted
from honk.model import Task
from honk.store import Store
from honk.surfaces.slack.calls import Calls, SlackError, Unavailable
from honk.surfaces.slack.people import SURFACE

log = logging.getLogger("honk.slack")

Image = Callable[[str, Task], bytes | None]

_TITLES = {"screenshot": "The preview on a phone", "qr": "Opens it on a phone"}
_COMPARED = {"comparison": "Before and after"}
_TRIES = 6


class Pictures:
    """Makes and uploads pictures beside the cards, because making one takes seconds."""

    def __init__(self, store: Store, calls: Calls, image: Image) -> None:
        self._store = store
        self._calls = calls
        self._image = image
        self._line: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._over = threading.Event()

    def start(self) -> None:
        """Begin, with what an earlier life left."""
        for key in self._store.recall_all(SURFACE, "picture"):
            self._line.put(key)
        threading.Thread(target=self._run, name="slack-pictures", daemon=True).start()

    def close(self) -> None:
        """Stop; what is not uploaded yet is in the next life."""
        self._over.set()
        self._line.put(None)

    def want(self, task_id: str, head_sha: str, channel: str, thread: str, *, compared: bool = False) -> None:
        """Have a picture of that version put into the thread, unless a newer one replaces it before; with `compared`,
        one that shows it beside what was before."""
        key = f"{task_id}-{head_sha[:8]}{'-compared' if compared else ''}"
        wanted = {"task": task_id, "head": head_sha, "channel": channel, "thread": thread, "compared": compared}
        self._store.remember(SURFACE, "picture", key, wanted)
        self._line.put(key)

    def _run(self) -> None:
        while not self._over.is_set():
            key = self._line.get()
            wanted = self._store.recall(SURFACE, "picture", key) if key else None
            if key is None or wanted is None:
                continue
            try:
                self._bring(key, wanted)
            except Exception:
                log.exception("there is no picture for %s", key)
            if not self._over.is_set():
                self._store.forget(SURFACE, "picture", key)

    def _bring(self, key: str, wanted: dict[str, Any]) -> None:
        task = self._store.find_task(wanted["task"])
        if task is None or task.head_sha != wanted["head"]:
            return
        for kind, title in (_COMPARED if wanted.get("compared") else _TITLES).items():
            if data := self._image(kind, task):
                self._upload(f"honk-{key}-{kind}.png", title, data, wanted)
                return

    def _upload(self, name: str, title: str, data: bytes, wanted: dict[str, Any]) -> None:
        channel, thread = wanted["channel"], wanted["thread"]
        for attempt in range(_TRIES):
            try:
                if not (attempt and self._is_there(name, channel, thread)):
                    self._send(name, title, data, channel, thread)
                return
            except Unavailable as error:
                self._over.wait(max(error.wait, 0.5 * 2**attempt))
                if self._over.is_set():
                    return
            except SlackError as error:
                log.warning("the picture %s could not be uploaded: %s", name, error)
                return

    def _send(self, name: str, title: str, data: bytes, channel: str, thread: str) -> None:
        import httpx

        place = self._calls("files.getUploadURLExternal", filename=name, length=len(data), alt_txt=title)
        try:
            answer = httpx.post(str(place["upload_url"]), content=data, verify=trusted(), timeout=60)
        except httpx.HTTPError as error:
            raise Unavailable("upload", type(error).__name__) from None
        if answer.status_code != 200:
            raise Unavailable("upload", f"status {answer.status_code}")
        files = json.dumps([{"id": place["file_id"], "title": title}])
        self._calls("files.completeUploadExternal", files=files, channel_id=channel, thread_ts=thread)

    def _is_there(self, name: str, channel: str, thread: str) -> bool:
        replies = self._calls.pages("conversations.replies", "messages", channel=channel, ts=thread, limit=200)
        return any(file.get("name") == name for message in replies for file in message.get("files") or ())
