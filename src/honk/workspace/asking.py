"""Honk's own requests to the model: by the same gateway as an agent's, so with the same key, models and budget."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from honk.certificates import trusted
from honk.model import Budget, HonkError, LimitReached, ModelSession, Spent
from honk.settings import Settings

if TYPE_CHECKING:
    import httpx

    from honk.workspace.gateway import ModelGateway

USUAL_MODEL = "claude-sonnet-5"
"""Who is asked where nobody says otherwise."""

_VERSION = "2023-06-01"
"""Of the Messages API; its only one."""
_SECONDS = 300.0
_PAUSES = (0.5, 2.0)
"""Seconds before a request is sent again that the model's server had no time for."""
_BUSY = frozenset({408, 429, 500, 502, 503, 504, 529})


@contextmanager
def model_session(settings: Settings, model: str, budget: Budget) -> Iterator[ModelSession]:
    """A session with `model` for as long as the context lasts. Raises `UsageError` if no model is set up."""
    import httpx

    from honk.workspace.gateway import ModelGateway

    gateway = ModelGateway(settings, budget=budget)
    with gateway:
        transport = httpx.HTTPTransport(verify=trusted(), uds=str(gateway.socket))
        with httpx.Client(transport=transport, timeout=_SECONDS, trust_env=False) as client:
            yield _Session(gateway, client, model)


class _Session:
    """Implements `model.ModelSession`."""

    def __init__(self, gateway: ModelGateway, client: httpx.Client, model: str) -> None:
        self._gateway = gateway
        self._client = client
        self._model = model

    @property
    def spent(self) -> Spent:
        return self._gateway.spent

    def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `ModelSession.ask`."""
        import httpx

        body = {"model": self._model, **request}
        headers = {"x-api-key": self._gateway.token, "anthropic-version": _VERSION}
        for pause in (*_PAUSES, None):
            try:
                answer = self._client.post("http://gateway/v1/messages", json=body, headers=headers)
            except httpx.HTTPError as error:
                raise HonkError(f"the model did not answer ({type(error).__name__}).") from error
            self._gateway.settle()
            if pause is None or answer.status_code not in _BUSY:
                break
            time.sleep(pause)
        if answer.is_success:
            return _object(answer)
        if isinstance(refusal := self._gateway.refusal, LimitReached):
            raise refusal
        told = _object(answer).get("error")
        words = str(told.get("message") or "") if isinstance(told, dict) else ""
        raise HonkError(f"the model's server said {answer.status_code}: {' '.join(words.split())[:300] or 'nothing'}")


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        value = json.loads(answer.content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
