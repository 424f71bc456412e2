"""Calls to the services while they are being set up: short, and every failure is one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from honk.certificates import trusted
from honk.model import HonkError
from honk.untrusted import clean

if TYPE_CHECKING:
    import httpx

_SECONDS = 10.0


def send(
    service: str, setting: str, method: str, address: str, **given: Any
) -> tuple[int, dict[str, Any], httpx.Headers]:
    """One request; status, JSON object and headers. `setting` names what holds the address.

    Raises `HonkError` if there is no answer within ten seconds, or one that is not JSON.
    """
    import httpx

    place = urlsplit(address).netloc or address
    try:
        answer = httpx.request(method, address, verify=trusted(), timeout=_SECONDS, follow_redirects=False, **given)
    except httpx.TimeoutException as error:
        raise HonkError(
            f"{service} at {place} did not answer within ten seconds: see to the network or {setting}."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        # The text of these errors may hold what was sent.
        raise HonkError(
            f"{service} at {place} cannot be reached ({type(error).__name__}): see to the network or {setting}."
        ) from None
    if answer.status_code == 429:
        wait = answer.headers.get("retry-after", "")
        after = f"in {int(wait)} seconds" if wait.isdigit() else "in a minute"
        raise HonkError(f"{service} wants a pause: try again {after}.")
    try:
        found = answer.json()
    except ValueError:
        found = None
    if answer.status_code >= 500:
        raise HonkError(f"{service} at {place} is in trouble ({answer.status_code}): try again in a few minutes.")
    if not isinstance(found, dict | list):
        raise HonkError(f"What answers at {place} is not {service} (status {answer.status_code}): see to {setting}.")
    return answer.status_code, found if isinstance(found, dict) else {"items": found}, answer.headers


def told(words: object) -> str:
    """A service's own words, fit for a sentence of ours."""
    return " ".join(clean(str(words)[:1000]).split())[:200].rstrip(".") or "no reason given"
