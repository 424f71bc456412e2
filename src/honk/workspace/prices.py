"""What models cost, for the budget that the gateway holds.

US dollars for a million tokens, from the table "Model pricing" at platform.claude.com/docs/en/about-claude/pricing,
read in November 2026. Of models with several prices the dearest is taken: a budget is rather held
too early than too late.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_MILLION = 1_000_000
# By what a model's name contains; the first that fits. Input and output.
_FAMILIES = (
    (re.compile("fable|mythos"), (10.0, 50.0)),
    (re.compile("opus-4-1|opus-4-0|opus-4-2|3-opus"), (15.0, 75.0)),
    (re.compile("opus"), (5.0, 25.0)),
    (re.compile("sonnet-5"), (2.0, 10.0)),
    (re.compile("sonnet"), (3.0, 15.0)),
    (re.compile("haiku"), (1.0, 5.0)),
)
_DEAREST = (15.0, 75.0)
_CACHE_WRITE, _CACHE_WRITE_HOUR, _CACHE_READ = 1.25, 2.0, 0.1
"""Of the price of input."""
_FAST = 6.0
"""The dearest factor for answers at higher speed (`speed: fast`)."""
_IN_ONE_COUNTRY = 1.1
"""For requests that say where the model has to run (`inference_geo`)."""


def factor(request: Mapping[str, Any]) -> float:
    """How much dearer what the request asks for makes it."""
    fast = _FAST if request.get("speed") not in (None, "standard") else 1.0
    return fast * (_IN_ONE_COUNTRY if request.get("inference_geo") not in (None, "global") else 1.0)


def cost(model: str, usage: Mapping[str, int], times: float = 1.0) -> float:
    """US dollars for tokens, by their names in the answers of the Messages API. What is written to the cache and not
    said for how long counts as for five minutes."""
    input_price, output_price = next((price for family, price in _FAMILIES if family.search(model.lower())), _DEAREST)
    hour = usage.get("ephemeral_1h_input_tokens", 0)
    written = max(usage.get("cache_creation_input_tokens", 0), hour + usage.get("ephemeral_5m_input_tokens", 0))
    read = usage.get("input_tokens", 0) + _CACHE_READ * usage.get("cache_read_input_tokens", 0)
    read += _CACHE_WRITE * (written - hour) + _CACHE_WRITE_HOUR * hour
    return times * (read * input_price + usage.get("output_tokens", 0) * output_price) / _MILLION
