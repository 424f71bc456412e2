"""The watch over a deployment: its address, numbers that are measured, a command of its own."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from honk.certificates import trusted
from honk.model import HonkError
from honk.repository_file import Health, Metric

_FAILURES_IN_A_ROW = 3
_MOST_BYTES = 1_000_000

Probe = Callable[[], str | None]
"""Looks once: None if all is well, or the evidence that it is not."""


def probes(health: Health, before: Mapping[str, float], run: Callable[[str], str | None]) -> list[Probe]:
    """What is asked each time. `before` are the metrics' values before the deploy, `run` carries out a command and
    gives what it said if that failed."""
    asked: list[Probe] = []
    if health.url:
        asked.append(lambda: ask(str(health.url), health.within))
    asked += [_metric_probe(metric, before.get(metric.url)) for metric in health.metrics]
    if line := health.run:
        asked.append(lambda: run(line))
    return asked


def watch(health: Health, asked: list[Probe]) -> None:
    """Ask until the window has passed well. The first good round starts it; three bad ones in a row, or none good
    before the window's length is over, end it. Raises `HonkError` with the evidence then."""
    begun: float | None = None
    deadline = time.monotonic() + health.seconds
    bad = 0
    while True:
        evidence = next((said for probe in asked if (said := probe())), None)
        now = time.monotonic()
        if evidence is None:
            bad = 0
            begun = begun or now
            if now - begun >= health.seconds:
                return
        else:
            bad += 1
            if (begun is not None and bad >= _FAILURES_IN_A_ROW) or (begun is None and now >= deadline):
                raise HonkError(evidence)
        time.sleep(health.every)


def measure(health: Health) -> dict[str, float]:
    """The metrics that are compared with what they were before, as they are now; those that cannot be had are left
    out."""
    found = {}
    for metric in health.metrics:
        if metric.times_before is not None:
            value = _value(metric)
            if isinstance(value, float):
                found[metric.url] = value
    return found


def ask(url: str, within: float, through: Path | None = None) -> str | None:
    """None if the address answers with a 2xx status in so many seconds, else the evidence that it does not. It is asked
    `through` a Unix socket, if one is given."""
    import httpx

    begun = time.monotonic()
    transport = httpx.HTTPTransport(verify=trusted(), uds=str(through)) if through else None
    try:
        with httpx.Client(transport=transport, verify=trusted(), timeout=within, trust_env=False) as client:
            answer = client.get(url)
    except httpx.TimeoutException:
        return f"{url} did not answer within {within:g} s"
    except httpx.HTTPError as error:
        return f"{url} did not answer ({error or type(error).__name__})"
    if not answer.is_success:
        return f"{url} answered {answer.status_code}: {answer.text[:300].strip()}"
    if (taken := time.monotonic() - begun) > within:
        return f"{url} took {taken:.1f} s to answer, longer than {within:g} s"
    return None


def _metric_probe(metric: Metric, before: float | None) -> Probe:
    name = metric.name or metric.url

    def probe() -> str | None:
        value = _value(metric)
        if isinstance(value, str):
            return value
        if metric.below is not None and value >= metric.below:
            return f"{name} is {value:g}, not below {metric.below:g}"
        if metric.above is not None and value <= metric.above:
            return f"{name} is {value:g}, not above {metric.above:g}"
        if metric.times_before is not None and before is not None and value > metric.times_before * before:
            allowed = f"at most {metric.times_before:g} times that is well"
            return f"{name} is {value:g}; before the deploy it was {before:g}, and {allowed}"
        return None

    return probe


def _value(metric: Metric) -> float | str:
    """The number, or why there is none. A query without a result counts as 0, as an error rate without errors does."""
    import httpx

    name = metric.name or metric.url
    try:
        answer = httpx.get(metric.url, verify=trusted(), timeout=10.0, trust_env=False)
    except httpx.HTTPError as error:
        return f"{name} cannot be measured ({error or type(error).__name__})"
    if not answer.is_success:
        return f"{name} cannot be measured: {answer.status_code} {answer.text[:200].strip()}"
    try:
        value = _number(answer.text[:_MOST_BYTES])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return f"{name} is no number: {answer.text[:200].strip()}"
    return value if math.isfinite(value) else f"{name} is {value}"


def _number(text: str) -> float:
    """A plain number, or what Prometheus answers to an instant query."""
    found = json.loads(text)
    if isinstance(found, dict):
        result = found["data"]["result"]
        if found["data"]["resultType"] == "scalar":
            return float(result[1])
        return max((float(series["value"][1]) for series in result), default=0.0)
    return float(found)
