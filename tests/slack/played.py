"""A Slack on loopback: Web API and Socket Mode for one workspace with one app, as strict as the real one.

It refuses wrong tokens, unknown and archived channels, blocks that break Slack's published rules and texts that are
too long, and keeps what people would see. `fault` makes it slow, busy or broken for the next calls of a method.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from tests.slack.limits import WHOLE_MESSAGE, Invalid, check_message, check_view, length

BOT, BOT_ID, TEAM = "U0HONK", "B0HONK", "T0TEAM"
BOT_TOKEN, APP_TOKEN = "xoxb-" + "played", "xapp-" + "played"
SIGNING_SECRET = "played-signing-secret"

Message = dict[str, Any]
Answer = dict[str, Any]


class Refusal(Exception):
    """The error a method answers with."""


@dataclass
class Fault:
    """What happens to one call: `status` with `retry_after`, an `error`, or silence; `after` it took effect."""

    status: int = 200
    retry_after: int | None = None
    error: str | None = None
    silent: bool = False
    after: bool = False


@dataclass
class Channel:
    id: str
    messages: list[Message] = field(default_factory=list)
    members: set[str] = field(default_factory=set)
    archived: bool = False
    direct: bool = False


class PlayedSlack:
    """One workspace, as its people see it and as the app's calls meet it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.calls: list[tuple[str, dict[str, Any], float]] = []
        self.refusals: list[tuple[str, str, str]] = []
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.channels: dict[str, Channel] = {}
        self.users: dict[str, dict[str, Any]] = {}
        self.whispers: list[dict[str, Any]] = []
        self.reactions: list[tuple[str, str, str]] = []
        self.homes: dict[str, Any] = {}
        self.modals: list[dict[str, Any]] = []
        self.unfurls: list[dict[str, Any]] = []
        self.statuses: list[str] = []
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.fetched_with: list[str] = []
        self.bot_token = BOT_TOKEN
        self.assistant = False
        self.down = False
        self.acked: dict[str, Any] = {}
        self.http: Callable[[bytes, dict[str, str]], Any] | None = None
        """Where events go if the app has no socket: what takes a body and headers, and answers with a status."""
        self._sockets: list[ServerConnection] = []
        self._count = itertools.count(1)
        self._clock = time.time()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._websockets: Server = serve(self._socket, "127.0.0.1", 0)
        self.socket_port = self._websockets.socket.getsockname()[1]
        for run in (lambda: self._server.serve_forever(poll_interval=0.02), self._websockets.serve_forever):
            threading.Thread(target=run, daemon=True).start()
        for user, name in ((BOT, "honk"), ("UADA", "Ada"), ("UBOB", "Bob"), ("UEVE", "Eve")):
            self.add_user(user, name)
        self.users[BOT]["is_bot"] = True
        self.add_channel("CDEV", "UADA", "UBOB", "UEVE", BOT)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.cut()
        self._websockets.shutdown()

    @property
    def api_url(self) -> str:
        return f"{self.address}/api/"

    # -- the workspace -----------------------------------------------------------------------------------------------

    def add_user(self, user: str, name: str, **more: Any) -> None:
        profile = {"display_name": name, "real_name": name, "email": f"{name.lower()}@example.com"}
        self.users[user] = {"id": user, "team_id": TEAM, "name": name.lower(), "profile": profile, **more}

    def add_channel(self, channel: str, *members: str, direct: bool = False) -> Channel:
        self.channels[channel] = Channel(channel, members=set(members), direct=direct)
        return self.channels[channel]

    def ts(self) -> str:
        with self.lock:
            self._clock = max(time.time(), self._clock + 0.000_010)
            return f"{self._clock:.6f}"

    def add_file(self, name: str, data: bytes, mimetype: str) -> dict[str, Any]:
        number = f"F{next(self._count)}"
        self.contents[number] = data
        return {
            "id": number, "name": name, "mimetype": mimetype, "size": len(data), "mode": "hosted",
            "url_private_download": f"{self.address}/files/{number}/{name}",
        }  # fmt: skip

    def fault(self, method: str, *faults: Fault) -> None:
        """What happens to the next calls of a method."""
        self.faults[method] += faults

    # -- what people see ---------------------------------------------------------------------------------------------

    def thread(self, channel: str, ts: str) -> list[Message]:
        """What is in a thread, its first message included."""
        with self.lock:
            kept = self.channels[channel].messages
            return [dict(each) for each in kept if ts in (each["ts"], each.get("thread_ts"))]

    def cards(self, channel: str = "CDEV") -> list[Message]:
        with self.lock:
            kept = self.channels[channel].messages
            return [dict(each) for each in kept if each.get("metadata", {}).get("event_type") == "honk_task"]

    def said(self, channel: str = "CDEV") -> list[str]:
        """What Honk said besides its cards."""
        with self.lock:
            kept = self.channels[channel].messages
            return [
                each["text"]
                for each in kept
                if each["user"] == BOT and each.get("metadata", {}).get("event_type") != "honk_task"
            ]

    def called(self, method: str) -> list[dict[str, Any]]:
        with self.lock:
            return [arguments for name, arguments, _ in self.calls if name == method]

    # -- what people do ----------------------------------------------------------------------------------------------

    def say(
        self, text: str, user: str = "UADA", channel: str = "CDEV", thread: str | None = None, *,
        deliver: bool = True, **more: Any,
    ) -> str:  # fmt: skip
        """Write a message; the app hears of it as Slack tells it. Returns its `ts`."""
        message = {"type": "message", "user": user, "text": text, "ts": self.ts(), "team": TEAM, **more}
        if message.get("files"):
            message["subtype"] = "file_share"
        if thread:
            message["thread_ts"] = thread
        with self.lock:
            self.channels[channel].messages.append(message)
        if deliver:
            self.tell(message, channel)
        return str(message["ts"])

    def tell(self, message: Message, channel: str) -> None:
        """Deliver the events of a message: in a channel that names the app there are two."""
        kind = "im" if self.channels[channel].direct else "channel"
        told = {name: value for name, value in message.items() if name != "metadata"}
        if f"<@{BOT}>" in message["text"] and kind != "im":
            mention = {name: value for name, value in told.items() if name != "subtype"}
            self.event({**mention, "type": "app_mention", "channel": channel})
        self.event({**told, "channel": channel, "channel_type": kind})

    def edit(self, ts: str, text: str, channel: str = "CDEV") -> None:
        with self.lock:
            message = next(each for each in self.channels[channel].messages if each["ts"] == ts)
            before = dict(message)
            message.update(text=text, edited={"user": message["user"], "ts": self.ts()})
        self.event(
            {
                "type": "message", "subtype": "message_changed", "channel": channel, "ts": self.ts(), "hidden": True,
                "message": dict(message), "previous_message": before,
            }
        )  # fmt: skip

    def delete(self, ts: str, channel: str = "CDEV") -> None:
        with self.lock:
            kept = self.channels[channel].messages
            before = next(each for each in kept if each["ts"] == ts)
            kept.remove(before)
        self.event(
            {
                "type": "message", "subtype": "message_deleted", "channel": channel, "ts": self.ts(), "hidden": True,
                "deleted_ts": ts, "previous_message": before,
            }
        )  # fmt: skip

    def tap(self, message: Message, action: str, user: str = "UADA", channel: str = "CDEV", **more: Any) -> None:
        """Tap a button (and confirm), or choose from a menu with `option`."""
        found = [
            (block, element)
            for block in message["blocks"]
            for element in [*block.get("elements", ()), *filter(None, [block.get("accessory")])]
            if element.get("action_id") == action
        ]
        assert found, f"there is no {action} to tap: {buttons(message)}"
        block, element = found[0]
        tapped = {"action_id": action, "block_id": block.get("block_id", "b"), "action_ts": self.ts()}
        tapped |= {"type": element["type"]}
        if "value" in element:
            tapped["value"] = element["value"]
        if option := more.pop("option", None):
            chosen = next(each for each in element["options"] if each["value"] == option)
            tapped["selected_option"] = chosen
        self.interact(
            {
                "type": "block_actions", "actions": [tapped], "channel": {"id": channel},
                "message": message,
                "container": {"type": "message", "message_ts": message["ts"], "channel_id": channel,
                              "thread_ts": message.get("thread_ts")},
            },
            user,
        )  # fmt: skip

    def interact(self, payload: dict[str, Any], user: str = "UADA") -> Any:
        who = {"id": user, "team_id": self.users[user].get("team_id", TEAM), "username": user.lower()}
        whole = {"team": {"id": TEAM}, "user": who, "trigger_id": f"trigger{next(self._count)}", "token": "old",
                 "api_app_id": "A0HONK", **payload}  # fmt: skip
        return self.deliver("interactive", whole)

    def command(self, text: str, user: str = "UADA", channel: str = "CDEV") -> Any:
        return self.deliver(
            "slash_commands",
            {
                "command": "/honk", "text": text, "user_id": user, "channel_id": channel, "team_id": TEAM,
                "trigger_id": f"trigger{next(self._count)}", "response_url": f"{self.address}/respond", "token": "old",
                "user_name": user.lower(), "api_app_id": "A0HONK",
            },
        )  # fmt: skip

    # -- delivering --------------------------------------------------------------------------------------------------

    def event(self, event: dict[str, Any], event_id: str | None = None) -> Any:
        body = {
            "type": "event_callback", "team_id": TEAM, "api_app_id": "A0HONK", "event": event, "token": "old",
            "event_id": event_id or f"Ev{next(self._count)}", "event_time": int(time.time()),
        }  # fmt: skip
        return self.deliver("events_api", body)

    def deliver(self, kind: str, payload: dict[str, Any]) -> Any:
        """Hand it to the app and wait for its acknowledgement, as Slack does; None if nobody takes it."""
        if self.http:
            return self._post(kind, payload)
        return self._send(kind, payload)

    def _post(self, kind: str, payload: dict[str, Any]) -> Any:
        assert self.http is not None
        if kind == "events_api":
            body, content = json.dumps(payload), "application/json"
        elif kind == "slash_commands":
            body, content = urlencode(payload), "application/x-www-form-urlencoded"
        else:
            body, content = urlencode({"payload": json.dumps(payload)}), "application/x-www-form-urlencoded"
        return self.http(body.encode(), {"content-type": content, **signed(body)})

    def _send(self, kind: str, payload: dict[str, Any]) -> Any:
        envelope = f"envelope{next(self._count)}"
        told = {"envelope_id": envelope, "type": kind, "payload": payload, "accepts_response_payload": True}
        with self.lock:
            sockets = list(self._sockets)
        if not sockets:
            return None
        try:
            sockets[-1].send(json.dumps(told))
        except ConnectionClosed:
            return None
        deadline = time.monotonic() + 5
        while envelope not in self.acked:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.002)
        return self.acked[envelope]

    @property
    def connected(self) -> bool:
        return bool(self._sockets)

    def cut(self) -> None:
        """Lose the socket."""
        with self.lock:
            sockets, self._sockets = self._sockets, []
        for socket in sockets:
            socket.close()

    def _socket(self, connection: ServerConnection) -> None:
        connection.send(json.dumps({"type": "hello", "num_connections": 1}))
        with self.lock:
            self._sockets.append(connection)
        try:
            for text in connection:
                told = json.loads(text) if isinstance(text, str) and text.startswith("{") else {}
                if "envelope_id" in told:
                    self.acked[told["envelope_id"]] = told.get("payload") or {}
        except ConnectionClosed:
            pass
        finally:
            with self.lock:
                if connection in self._sockets:
                    self._sockets.remove(connection)

    # -- the Web API -------------------------------------------------------------------------------------------------

    def answer(self, method: str, given: dict[str, Any], token: str) -> tuple[int, dict[str, str], Answer] | None:
        """Status, headers and JSON; None for silence."""
        with self.lock:
            self.calls.append((method, given, time.monotonic()))
            fault = self.faults[method].pop(0) if self.faults[method] else Fault()
        if self.down:
            fault = Fault(status=503)
        if fault.after or (fault == Fault()):
            told = self._answer(method, given, token)
        else:
            told = {"ok": False, "error": fault.error or "internal_error"}
        if fault.silent:
            return None
        if fault.status == 429:
            return 429, {"Retry-After": str(fault.retry_after or 1)}, {"ok": False, "error": "ratelimited"}
        if fault.error:
            told = {"ok": False, "error": fault.error}
        return fault.status, {}, told

    def _answer(self, method: str, given: dict[str, Any], token: str) -> Answer:
        wanted = APP_TOKEN if method == "apps.connections.open" else self.bot_token
        try:
            if token != wanted:
                raise Refusal("token_revoked" if token == BOT_TOKEN else "invalid_auth")
            handler = getattr(self, "_" + method.replace(".", "_"), None)
            if handler is None:
                raise Refusal("unknown_method")
            with self.lock:
                return {"ok": True, **(handler(given) or {})}
        except Refusal as refusal:
            with self.lock:
                self.refusals.append((method, str(refusal), str(refusal.__cause__ or "")))
            return {"ok": False, "error": str(refusal)}

    def _place(self, channel: Any, *, write: bool = False) -> Channel:
        found = self.channels.get(str(channel))
        if found is None:
            raise Refusal("channel_not_found")
        if found.archived and write:
            raise Refusal("is_archived")
        if BOT not in found.members:
            raise Refusal("not_in_channel" if write else "channel_not_found")
        return found

    def _checked(self, given: dict[str, Any], most: int = 40_000) -> None:
        if not given.get("text") and not given.get("blocks"):
            raise Refusal("no_text")
        if len(given.get("text") or "") > most:
            raise Refusal("msg_too_long")
        if given.get("blocks"):
            try:
                check_message(given["blocks"])
            except Invalid as invalid:
                raise Refusal("invalid_blocks") from invalid
            if length(given["blocks"]) > WHOLE_MESSAGE:
                raise Refusal("msg_blocks_too_long")

    def _auth_test(self, given: dict[str, Any]) -> Answer:
        return {"user_id": BOT, "bot_id": BOT_ID, "team_id": TEAM, "team": "Acme", "url": "https://acme.slack.com/"}

    def _apps_connections_open(self, given: dict[str, Any]) -> Answer:
        return {"url": f"ws://127.0.0.1:{self.socket_port}/link"}

    def _users_info(self, given: dict[str, Any]) -> Answer:
        if given.get("user") not in self.users:
            raise Refusal("user_not_found")
        return {"user": self.users[given["user"]]}

    def _chat_postMessage(self, given: dict[str, Any]) -> Answer:
        place = self._place(given.get("channel"), write=True)
        self._checked(given)
        thread = given.get("thread_ts")
        if thread and all(each["ts"] != thread for each in place.messages):
            raise Refusal("thread_not_found")
        message = {"type": "message", "user": BOT, "bot_id": BOT_ID, "text": given.get("text", ""), "ts": self.ts(),
                   "blocks": given.get("blocks") or []}  # fmt: skip
        message |= {name: given[name] for name in ("thread_ts", "metadata") if given.get(name)}
        place.messages.append(message)
        return {"ts": message["ts"], "channel": place.id, "message": message}

    def _chat_update(self, given: dict[str, Any]) -> Answer:
        place = self._place(given.get("channel"), write=True)
        message = next((each for each in place.messages if each["ts"] == given.get("ts")), None)
        if message is None:
            raise Refusal("message_not_found")
        if message["user"] != BOT:
            raise Refusal("cant_update_message")
        self._checked(given, 4000)
        message.update({name: given[name] for name in ("text", "blocks", "metadata") if name in given})
        return {"ts": message["ts"], "channel": place.id}

    def _chat_postEphemeral(self, given: dict[str, Any]) -> Answer:
        place = self._place(given.get("channel"), write=True)
        self._checked(given)
        if given.get("user") not in place.members:
            raise Refusal("user_not_in_channel")
        self.whispers.append({name: given.get(name) for name in ("channel", "user", "text", "blocks", "thread_ts")})
        return {"message_ts": self.ts()}

    def _chat_unfurl(self, given: dict[str, Any]) -> Answer:
        for unfurl in given["unfurls"].values():
            try:
                check_message(unfurl["blocks"])
            except Invalid as invalid:
                raise Refusal("cannot_unfurl_url") from invalid
        self.unfurls.append(given)
        return {}

    def _reactions_add(self, given: dict[str, Any]) -> Answer:
        place = self._place(given.get("channel"))
        if all(each["ts"] != given.get("timestamp") for each in place.messages):
            raise Refusal("message_not_found")
        added = (place.id, str(given["timestamp"]), str(given["name"]))
        if added in self.reactions:
            raise Refusal("already_reacted")
        self.reactions.append(added)
        return {}

    def _listed(self, given: dict[str, Any], messages: list[Message]) -> Answer:
        oldest, latest = given.get("oldest") or "0", given.get("latest") or "9" * 20
        inclusive = str(given.get("inclusive")).lower() in ("1", "true")
        shown = [
            {name: value for name, value in each.items() if name != "metadata" or _yes(given, "include_all_metadata")}
            for each in messages
            if oldest < each["ts"] < latest or (inclusive and each["ts"] in (oldest, latest))
        ]
        limit, start = int(given.get("limit") or 100), int(given.get("cursor") or 0)
        more = start + limit < len(shown)
        following = str(start + limit) if more else ""
        return {
            "messages": shown[start : start + limit], "has_more": more,
            "response_metadata": {"next_cursor": following},
        }  # fmt: skip

    def _conversations_replies(self, given: dict[str, Any]) -> Answer:
        place = self._place(given.get("channel"))
        thread = self.thread(place.id, str(given.get("ts")))
        if not thread:
            raise Refusal("thread_not_found")
        return self._listed(given, thread)

    def _conversations_history(self, given: dict[str, Any]) -> Answer:
        place = self._place(given.get("channel"))
        roots = [each for each in place.messages if each.get("thread_ts", each["ts"]) == each["ts"]]
        return self._listed(given, roots[::-1])

    def _conversations_info(self, given: dict[str, Any]) -> Answer:
        place = self.channels.get(str(given.get("channel")))
        if place is None:
            raise Refusal("channel_not_found")
        return {"channel": {"id": place.id, "is_member": BOT in place.members, "is_im": place.direct}}

    def _conversations_open(self, given: dict[str, Any]) -> Answer:
        user = str(given.get("users"))
        if user not in self.users:
            raise Refusal("user_not_found")
        name = f"D{user}"
        if name not in self.channels:
            self.add_channel(name, user, BOT, direct=True)
        return {"channel": {"id": name}}

    def _views_open(self, given: dict[str, Any]) -> Answer:
        try:
            check_view(given.get("view"))
        except Invalid as invalid:
            raise Refusal("invalid_arguments") from invalid
        if not str(given.get("trigger_id")).startswith("trigger"):
            raise Refusal("invalid_trigger_id")
        self.modals.append(given["view"])
        return {"view": {"id": "V1"}}

    def _views_publish(self, given: dict[str, Any]) -> Answer:
        try:
            check_view(given.get("view"))
        except Invalid as invalid:
            raise Refusal("invalid_arguments") from invalid
        self.homes[given["user_id"]] = given["view"]
        return {}

    def _assistant_threads_setStatus(self, given: dict[str, Any]) -> Answer:
        if not self.assistant:
            raise Refusal("feature_not_enabled")
        self.statuses.append(given["status"])
        return {}

    def _files_info(self, given: dict[str, Any]) -> Answer:
        if given.get("file") not in self.files:
            raise Refusal("file_not_found")
        return {"file": self.files[given["file"]]}

    def _files_getUploadURLExternal(self, given: dict[str, Any]) -> Answer:
        number = f"F{next(self._count)}"
        self.files[number] = {"id": number, "name": given["filename"], "length": int(given["length"])}
        return {"upload_url": f"{self.address}/upload/{number}", "file_id": number}

    def _files_completeUploadExternal(self, given: dict[str, Any]) -> Answer:
        place = self._place(given.get("channel_id"), write=True)
        files = given["files"] if isinstance(given["files"], list) else json.loads(given["files"])
        for file in files:
            kept = self.files[file["id"]]
            if len(self.contents.get(file["id"], b"")) != kept["length"]:
                raise Refusal("invalid_length")
        shared = [{"id": file["id"], "name": self.files[file["id"]]["name"]} for file in files]
        message = {"type": "message", "user": BOT, "bot_id": BOT_ID, "text": "", "ts": self.ts(), "files": shared}
        if given.get("thread_ts"):
            message["thread_ts"] = given["thread_ts"]
        place.messages.append(message)
        return {"files": shared}


def _yes(given: dict[str, Any], name: str) -> bool:
    return str(given.get(name)).lower() in ("1", "true")


def signed(body: str, at: float | None = None, secret: str = SIGNING_SECRET) -> dict[str, str]:
    """The headers with which Slack signs a request."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={digest}"}


def texts(value: Any) -> str:
    """All that is to be read in a message's blocks."""
    if isinstance(value, dict):
        if "blocks" in value:
            return texts(value["blocks"])
        return "\n".join(
            inner if name == "text" and isinstance(inner, str) else texts(inner)
            for name, inner in value.items()
            if name in ("text", "elements", "fields", "accessory", "title", "label", "element") or name == "blocks"
        )
    return "\n".join(map(texts, value)) if isinstance(value, list) else ""


def buttons(message: Message) -> dict[str, dict[str, Any]]:
    """The buttons of a message by their labels."""
    return {
        element["text"]["text"]: element
        for block in message.get("blocks", ())
        for element in [*block.get("elements", ()), *filter(None, [block.get("accessory")])]
        if element.get("type") == "button"
    }


def _handler(slack: PlayedSlack) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            if address.path.startswith("/files/"):
                slack.fetched_with.append(token)
                number = address.path.split("/")[2]
                fine = token == slack.bot_token and number in slack.contents
                return self._give(200 if fine else 403, {}, slack.contents.get(number, b"") if fine else b"no")
            if address.path.startswith("/upload/"):
                slack.contents[address.path.split("/")[2]] = body
                return self._give(200, {}, b"OK")
            given: dict[str, Any] = dict(parse_qsl(address.query))
            if "json" in (self.headers.get("content-type") or ""):
                given |= json.loads(body or b"{}")
            else:
                given |= dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
            told = slack.answer(address.path.removeprefix("/api/"), given, token)
            if told is None:
                time.sleep(4)
                return None
            status, headers, answer = told
            return self._give(status, headers | {"content-type": "application/json"}, json.dumps(answer).encode())

        do_POST = do_GET

        def _give(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
