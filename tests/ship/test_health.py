"""What is asked of a new version while it is watched."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from honk.model import HonkError
from honk.repository_file import Health, parse_repository_file
from honk.ship.health import measure, probes, watch


@dataclass
class Production:
    """A server whose answers a test chooses, one after the other; the last one stays."""

    url: str
    answers: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, str]:
        self.asked.append(path)
        given = self.answers.get(path, [(404, "nothing here")])
        return given.pop(0) if len(given) > 1 else given[0]


@pytest.fixture
def production() -> Iterator[Production]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = found.answer(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = Production(f"http://127.0.0.1:{server.server_address[1]}")
    yield found
    server.shutdown()


def _health(production: Production, **given: Any) -> Health:
    return Health.model_validate({"for": 0.05, "every": 0.01} | given)


def _watch(health: Health, before: dict[str, float] | None = None) -> None:
    watch(health, probes(health, before or {}, lambda line: None if line == "true" else f"`{line}` failed"))


def _prometheus(*values: float) -> str:
    series = [{"metric": {}, "value": [1, str(value)]} for value in values]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": series}})


def test_a_version_that_answers_well_for_the_window_is_healthy(production: Production) -> None:
    production.answers["/health"] = [(503, "starting"), (503, "starting"), (200, "ok")]
    _watch(_health(production, url=f"{production.url}/health", **{"for": 1}))


def test_three_bad_answers_in_a_row_are_the_evidence(production: Production) -> None:
    production.answers["/health"] = [(200, "ok"), (500, "once"), (500, "twice"), (200, "ok"), (500, "no database")]
    with pytest.raises(HonkError, match="answered 500: no database"):
        _watch(_health(production, url=f"{production.url}/health", **{"for": 60}))


@pytest.mark.parametrize(
    ("metric", "answer", "evidence"),
    [
        ({"below": 0.05}, "0.2", "errors is 0.2, not below 0.05"),
        ({"above": 10}, "3", "errors is 3, not above 10"),
        ({"below": 0.05}, _prometheus(0.01, 0.4), "errors is 0.4, not below 0.05"),
        ({"times_before": 2}, "9", "before the deploy it was 4"),
        ({"below": 1}, "NaN", "errors is nan"),
        ({"below": 1}, "<html>", "errors is no number: <html>"),
        ({"below": 1}, '{"status": "error"}', "errors is no number"),
    ],
)
def test_a_number_that_is_not_well_makes_it_ill(
    production: Production, metric: dict[str, float], answer: str, evidence: str
) -> None:
    production.answers["/errors"] = [(200, answer)]
    url = f"{production.url}/errors"
    with pytest.raises(HonkError, match=evidence):
        _watch(_health(production, metrics=[{"url": url, "name": "errors"} | metric]), {url: 4.0})


@pytest.mark.parametrize(
    ("metric", "answer"),
    [
        ({"below": 0.05}, "0.01"), ({"below": 0.05}, _prometheus()), ({"times_before": 2}, "8"),
        ({"above": 10}, '{"data": {"resultType": "scalar", "result": [1, "11"]}}'),
    ],
)  # fmt: skip
def test_a_number_that_is_well_keeps_it_healthy(production: Production, metric: dict[str, float], answer: str) -> None:
    production.answers["/errors"] = [(200, answer)]
    url = f"{production.url}/errors"
    _watch(_health(production, metrics=[{"url": url} | metric]), {url: 4.0})


def test_what_was_before_is_measured_for_the_numbers_that_are_compared(production: Production) -> None:
    production.answers |= {"/latency": [(200, "0.25")], "/errors": [(200, "1")], "/gone": [(500, "x")]}
    compared = [{"url": f"{production.url}/{name}", "times_before": 2} for name in ("latency", "gone")]
    metrics = [*compared, {"url": f"{production.url}/errors", "below": 2}]
    assert measure(_health(production, metrics=metrics)) == {f"{production.url}/latency": 0.25}


def test_a_command_watches_too(production: Production) -> None:
    _watch(_health(production, run="true"))
    with pytest.raises(HonkError, match=r"`\./look\.sh` failed"):
        _watch(_health(production, run="./look.sh"))


@pytest.mark.parametrize(
    ("health", "sentence"),
    [
        ("{for: 5s}", "`deploy.health` must name what is watched"),
        ("{metrics: [{url: 'http://x'}]}", "must say what is well"),
        ("{metrics: [{url: 'http://x', belwo: 1}]}", "did you mean `below`"),
    ],
)
def test_what_cannot_be_watched_is_said_with_its_key(health: str, sentence: str) -> None:
    with pytest.raises(HonkError, match=sentence):
        parse_repository_file(f"deploy: {{run: x, health: {health}}}\n")
