"""What the gateway lets go to the model: whose requests, for which models, and for how much."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from honk.model import Budget, HonkError, LimitReached
from honk.settings import Settings, read_settings
from honk.workspace.gateway import ModelGateway
from honk.workspace.model_usage import UsageReader
from honk.workspace.prices import cost

SONNET = "claude-sonnet-4-5"
USAGE = {"input_tokens": 1_000, "output_tokens": 2_000}


def streamed(**last: int) -> list[bytes]:
    """An answer of the Messages API in pieces, as servers send it."""
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": SONNET, "usage": {"input_tokens": 1_000, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 600}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2_000} | last},
        {"type": "message_stop"},
    ]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


class Model:
    """The model's server, which answers as a test says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.answer = json.dumps({"type": "message", "model": SONNET, "usage": USAGE}).encode()
        self.pieces: list[bytes] = []
        self.at_once = 0
        self.most_at_once = 0
        self.go_on = threading.Event()
        self.go_on.set()
        model, counting = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                model.asked.append(f"GET {self.path}")
                self._send(b"{}")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                with counting:
                    model.asked.append(f"POST {self.path} {self.headers['accept-encoding']}")
                    model.at_once += 1
                    model.most_at_once = max(model.most_at_once, model.at_once)
                try:
                    if model.pieces:
                        self._stream()
                    else:
                        model.go_on.wait(30)
                        self._send(model.answer)
                finally:
                    with counting:
                        model.at_once -= 1

            def _send(self, body: bytes) -> None:
                self.send_response(model.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _stream(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                for piece in model.pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
                model.go_on.wait(30)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def settings(self, **given: Any) -> Settings:
        return read_settings(
            anthropic_base_url=f"http://127.0.0.1:{self.server.server_port}", anthropic_api_key="sk-real", **given
        )


@pytest.fixture
def model(home: object) -> Iterator[Model]:
    played = Model()
    threading.Thread(target=played.server.serve_forever, args=(0.01,), daemon=True).start()
    yield played
    played.go_on.set()
    played.server.shutdown()
    played.server.server_close()


def ask(gateway: ModelGateway, path: str = "/v1/messages", method: str = "POST", **given: Any) -> httpx.Response:
    """One request as a process in the sandbox sends it."""
    request = {"model": SONNET, "max_tokens": 4_000, "messages": [{"role": "user", "content": "hi"}]} | given
    content = json.dumps(request).encode() if method == "POST" else None
    return raw(gateway, content, path, method)


def raw(
    gateway: ModelGateway, content: bytes | None, path: str = "/v1/messages", method: str = "POST"
) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(gateway.socket)), base_url="http://model") as client:
        headers = {"x-api-key": gateway.token, "accept-encoding": "gzip, br"}
        return client.request(method, path, content=content, headers=headers, timeout=30)


def reckoned(gateway: ModelGateway, requests: int) -> float:
    """What was spent, as soon as so many requests are in it: an answer is reckoned when its last byte has gone."""
    deadline = time.monotonic() + 10
    while gateway.spent.requests < requests:
        assert time.monotonic() < deadline, gateway.spent
        time.sleep(0.005)
    assert gateway.spent.requests == requests
    return gateway.spent.cost_usd


def refused(answer: httpx.Response) -> str:
    """The sentence of a refusal that is shaped as the Messages API's own."""
    told = answer.json()
    assert told["type"] == "error"
    assert told["error"]["type"] == "permission_error"
    assert answer.status_code == 403
    return str(told["error"]["message"])


def test_a_spent_budget_ends_the_session_whoever_spent_it(model: Model) -> None:
    with ModelGateway(model.settings(), budget=Budget(0.05, 100)) as gateway:
        assert ask(gateway).json()["usage"] == USAGE
        assert reckoned(gateway, 1) == pytest.approx(0.033)
        assert gateway.refusal is None
        assert ask(gateway).status_code == 200
        sentence = refused(ask(gateway))
        assert sentence == (
            "The budget is spent: requests to the model cost $0.07 of $0.05 that were left to this turn; Continue "
            "allows more."
        )
        assert isinstance(gateway.refusal, LimitReached)
        assert str(gateway.refusal) == sentence
        assert ask(gateway, "/v1/messages/count_tokens").status_code == 200
    assert model.asked == ["POST /v1/messages identity"] * 2 + ["POST /v1/messages/count_tokens identity"]


def test_requests_are_counted_when_they_are_answered(model: Model) -> None:
    with ModelGateway(model.settings(), budget=Budget(5, 2)) as gateway:
        assert ask(gateway).status_code == 200
        model.status = 529
        assert ask(gateway).status_code == 529
        model.status = 200
        assert reckoned(gateway, 1) > 0
        assert ask(gateway).status_code == 200
        assert "limit is reached: 2 requests" in refused(ask(gateway))


def test_a_streamed_answer_passes_byte_for_byte_and_is_reckoned(model: Model) -> None:
    model.pieces = streamed(cache_read_input_tokens=10_000)
    with ModelGateway(model.settings(), budget=Budget(5, 9)) as gateway:
        answer = ask(gateway, stream=True)
        assert answer.content == b"".join(model.pieces)
        assert reckoned(gateway, 1) == pytest.approx(0.036)


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_usage_is_read_however_the_bytes_are_cut(size: int) -> None:
    whole = b"".join(streamed())
    reader = UsageReader(streamed=True)
    for start in range(0, len(whole), size):
        reader.read(whole[start : start + size])
    assert reader.whole
    assert reader.used() == USAGE


def test_who_hangs_up_before_the_end_pays_for_what_was_said(model: Model) -> None:
    model.pieces = streamed()[:3]
    model.go_on.clear()
    with ModelGateway(model.settings(), budget=Budget(5, 9)) as gateway:
        request = json.dumps({"model": SONNET, "max_tokens": 9, "stream": True, "messages": []}).encode()
        transport = httpx.HTTPTransport(uds=str(gateway.socket))
        with (
            httpx.Client(transport=transport, base_url="http://model", headers={"x-api-key": gateway.token}) as client,
            client.stream("POST", "/v1/messages", content=request, timeout=30) as answer,
        ):
            heard = b""
            for piece in answer.iter_raw():
                heard += piece
                if b"content_block_delta" in heard and heard.endswith(b"\n\n"):
                    break
        model.go_on.set()
        model.pieces = []
        assert ask(gateway).status_code == 200
        # 600 characters are at most 300 tokens; and the other answer.
        assert reckoned(gateway, 2) == pytest.approx(0.003 + 0.0045 + 0.033)


def test_many_requests_at_once_cannot_outrun_the_budget(model: Model) -> None:
    answers: list[int] = []
    # Each may cost $0.06 by its `max_tokens`, so one has room beside another, and no third.
    with ModelGateway(model.settings(), budget=Budget(0.13, 100)) as gateway:
        threads = [threading.Thread(target=lambda: answers.append(ask(gateway).status_code)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert model.most_at_once <= 2
        assert gateway.spent.cost_usd < 0.13 + 0.033
    assert sorted(answers)[:4] == [200] * 4
    assert sorted(answers)[4:] == [403] * 8


def test_only_the_models_that_are_allowed_are_asked(model: Model) -> None:
    with ModelGateway(model.settings(models=["claude-sonnet-*", "claude-haiku-4-5"])) as gateway:
        assert ask(gateway).status_code == 200
        assert ask(gateway, model="claude-haiku-4-5").status_code == 200
        told = refused(ask(gateway, model="claude-opus-4-8"))
        assert told == (
            "The model 'claude-opus-4-8' is not among those that HONK_MODELS allows here: claude-sonnet-*, "
            "claude-haiku-4-5."
        )
        refused(ask(gateway, "/v1/messages/count_tokens", model="claude-opus-4-8"))
        twice = b'{"model": "claude-sonnet-4-5", "mod\\u0065l": "claude-opus-4-8", "messages": []}'
        assert raw(gateway, twice).status_code == 400
        assert type(gateway.refusal) is HonkError
    assert len(model.asked) == 2


def test_nothing_but_messages_their_count_and_the_list_of_models_is_let_through(model: Model) -> None:
    with ModelGateway(model.settings()) as gateway:
        assert ask(gateway, "/v1/models", "GET").status_code == 200
        assert ask(gateway, "/v1/models/claude-sonnet-4-5", "GET").status_code == 200
        for path, method in (
            ("/v1/messages/batches", "POST"), ("/v1/files", "POST"), ("/v1/files", "GET"), ("/v1/skills", "POST"),
            ("/v1/complete", "POST"), ("/v1/organizations/api_keys", "GET"), ("/v1/models/../files", "GET"),
            ("/v1/messages", "DELETE"), ("/v1//messages", "POST"), ("/", "GET"),
        ):  # fmt: skip
            answer = ask(gateway, path, method)
            assert answer.status_code == 404, path
            assert answer.json()["error"]["type"] == "not_found_error"
    assert model.asked == ["GET /v1/models", "GET /v1/models/claude-sonnet-4-5"]


def test_the_models_server_is_not_sent_out_in_the_sandboxs_place(model: Model) -> None:
    url = {"type": "url", "url": "https://evil.example/?secret"}
    deep = {"type": "tool_result", "content": [{"type": "document", "source": {"type": "content", "content": [
        {"type": "image", "source": url}]}}]}  # fmt: skip
    quoted = {"type": "tool_use", "id": "1", "name": "Write", "input": {"source": url}}
    with ModelGateway(model.settings()) as gateway:
        refused(ask(gateway, tools=[{"type": "web_fetch_20250910", "name": "web_fetch"}]))
        refused(ask(gateway, tools=[{"type": "web_search_20250305", "name": "web_search"}]))
        refused(ask(gateway, tools=[{"type": "code_execution_20250825", "name": "code_execution"}]))
        refused(ask(gateway, mcp_servers=[{"type": "url", "url": "https://evil.example/"}]))
        refused(ask(gateway, container={"skills": []}))
        refused(ask(gateway, messages=[{"role": "user", "content": [{"type": "image", "source": url}]}]))
        refused(ask(gateway, messages=[{"role": "user", "content": [deep]}]))
        assert model.asked == []
        tools = [{"name": "Bash", "input_schema": {}}, {"type": "custom", "name": "x"}, {"type": "bash_20250124"}]
        assert ask(gateway, tools=tools, messages=[{"role": "assistant", "content": [quoted]}]).status_code == 200


def test_a_request_is_bounded_and_has_to_make_sense(model: Model) -> None:
    with ModelGateway(model.settings()) as gateway:
        large = raw(gateway, b'{"model": "' + b"x" * (32 * 1024**2) + b'"}')
        assert large.status_code == 413
        assert large.json()["error"]["type"] == "request_too_large"
        for broken in (b"", b"[]", b"{}", b"\xff", b'{"model": 1}', b"[" * 100_000):
            assert raw(gateway, broken).status_code == 400
    assert model.asked == []


def test_an_answer_that_cannot_be_reckoned_counts_as_much_as_it_could_cost(model: Model) -> None:
    model.answer = b"no JSON at all"
    with ModelGateway(model.settings(), budget=Budget(5, 9)) as gateway:
        assert ask(gateway, max_tokens=100_000).content == b"no JSON at all"
        assert reckoned(gateway, 1) == pytest.approx(1.5, rel=0.01)


def test_models_are_reckoned_by_their_family_and_strangers_as_the_dearest() -> None:
    million = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}
    told = {
        "claude-haiku-4-5-20251001": 6, "claude-sonnet-4-5": 18, "claude-sonnet-5": 12, "claude-opus-4-8": 30,
        "claude-opus-4-1-20250805": 90, "claude-opus-4-20250514": 90, "claude-fable-5": 60, "unheard-of": 90,
    }  # fmt: skip
    assert {name: cost(name, million) for name in told} == pytest.approx(told)
    cached = {
        "cache_read_input_tokens": 1_000_000,
        "cache_creation_input_tokens": 2_000_000,
        "ephemeral_5m_input_tokens": 1_000_000,
        "ephemeral_1h_input_tokens": 1_000_000,
    }
    assert cost("claude-sonnet-4-5", cached) == pytest.approx(0.3 + 3.75 + 6)
