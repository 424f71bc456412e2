"""Whether a webhook comes from GitHub."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

MAX_BYTES = 5_000_000
"""Of a webhook. What is missed with a larger one is found when the pull request is looked at the next time."""


class Delivery(NamedTuple):
    """One webhook: its own id, the event's name, and what it says."""

    id: str
    event: str
    payload: dict[str, Any]


class BadDelivery(Exception):
    """Not to be believed or not to be read; `status` is what the sender is answered with."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def read_delivery(body: bytes, headers: Mapping[str, str], secret: str) -> Delivery:
    """Check the signature (in constant time, as GitHub's "Validating webhook deliveries" asks) and read the webhook.

    Raises `BadDelivery`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    if len(body) > MAX_BYTES:
        raise BadDelivery(413, "This webhook is larger than Honk reads.")
    wanted = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(given.get("x-hub-signature-256", "").encode(), wanted.encode()):
        raise BadDelivery(401, "The signature is wrong: set the app's webhook secret to HONK_GITHUB_WEBHOOK_SECRET.")
    identity, event = given.get("x-github-delivery", ""), given.get("x-github-event", "")
    if not (identity and event) or len(identity) > 100:
        raise BadDelivery(400, "X-GitHub-Delivery and X-GitHub-Event are missing.")
    try:
        payload = json.loads(body)
    except ValueError as error:
        raise BadDelivery(400, "The webhook is not JSON: set its content type to application/json.") from error
    if not isinstance(payload, dict):
        raise BadDelivery(400, "The webhook is not a JSON object.")
    return Delivery(identity, event, payload)
