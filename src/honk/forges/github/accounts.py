"""Who people are on GitHub: the device flow, and tokens sealed with a key of this installation.

The flow's addresses and answers are as GitHub describes them in "Authorizing OAuth apps: device flow".
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from honk.certificates import trusted
from honk.forges.github.api import GitHubApi
from honk.model import HonkError, LinkOffer, Person, Refused
from honk.settings import Settings
from honk.store import Store

_SURFACE, _KIND = "github", "link"
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Seal:
    """Encrypts what must not lie open in the database. The key is a file in Honk's home that its owner alone reads."""

    def __init__(self, home: Path) -> None:
        self._path = home / "seal.key"

    def close(self, text: str) -> str:
        """The text, sealed."""
        return str(self._fernet().encrypt(text.encode()).decode())

    def open(self, sealed: str) -> str | None:
        """The text again; None if it was sealed with another key."""
        from cryptography.fernet import InvalidToken

        try:
            return bytes(self._fernet().decrypt(sealed.encode())).decode()
        except InvalidToken:
            return None

    def _fernet(self) -> Any:
        from cryptography.fernet import Fernet

        if not self._path.exists():
            draft = self._path.with_name(f".seal-{os.getpid()}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(Fernet.generate_key())
            try:
                # Whoever comes first has made the key.
                os.link(draft, self._path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return Fernet(self._path.read_bytes())


class GitHubAccounts:
    """Implements the flow's `Accounts`. Nothing waits: the person says that they are done, and then it is asked."""

    def __init__(self, settings: Settings, store: Store, api: GitHubApi) -> None:
        self._settings = settings
        self._store = store
        self._api = api
        self._seal = Seal(settings.home)

    def link_offer(self, person: Person) -> LinkOffer:
        """See `Accounts.link_offer`. The same offer again while it lasts."""
        known = self._store.recall(_SURFACE, _KIND, person.id)
        if known and datetime.fromisoformat(known["expires_at"]) > datetime.now(UTC) + timedelta(minutes=1):
            return LinkOffer(known["code"], known["url"], datetime.fromisoformat(known["expires_at"]))
        answer = self._post("/login/device/code", {"client_id": self._client_id()})
        if "device_code" not in answer:
            told = answer.get("error_description") or answer.get("error") or "no code"
            raise HonkError(f"GitHub gives no code to link accounts with ({told}): enable the device flow of the app.")
        expires = datetime.now(UTC) + timedelta(seconds=int(answer.get("expires_in", 900)))
        offer = LinkOffer(answer["user_code"], answer["verification_uri"], expires)
        kept = {
            "device": self._seal.close(answer["device_code"]),
            "code": offer.code,
            "url": offer.url,
            "expires_at": expires.isoformat(),
        }
        self._store.remember(_SURFACE, _KIND, person.id, kept)
        return offer

    def finish_link(self, person: Person) -> str | None:
        """See `Accounts.finish_link`."""
        known = self._store.recall(_SURFACE, _KIND, person.id)
        if known is None:
            account = self._store.account(person.id)
            if account:
                return account.login
            raise Refused("There is nothing to confirm: begin with linking your GitHub account.")
        device = self._seal.open(known["device"]) or ""
        given = {"client_id": self._client_id(), "device_code": device, "grant_type": _GRANT}
        answer = self._post("/login/oauth/access_token", given)
        if "access_token" in answer:
            login: str = self._api.user(answer["access_token"])["login"]
            self._store.link_account(person.id, login, self._sealed(answer))
            self._store.forget(_SURFACE, _KIND, person.id)
            return login
        if answer.get("error") in ("authorization_pending", "slow_down"):
            return None
        self._store.forget(_SURFACE, _KIND, person.id)
        sentences = {
            "expired_token": "The code has expired: begin again.",
            "access_denied": "It was declined on GitHub, so nothing is linked.",
        }
        told = answer.get("error_description") or answer.get("error") or "no token"
        raise Refused(sentences.get(str(answer.get("error")), f"GitHub did not confirm it ({told}): begin again."))

    def token(self, person: Person) -> str | None:
        """A token with which Honk may act in the person's name, if they gave one and it still holds."""
        account = self._store.account(person.id)
        opened = self._seal.open(account.token) if account and account.token else None
        if not account or opened is None:
            return None
        kept = json.loads(opened)
        ends = kept.get("expires_at")
        if not ends or datetime.fromisoformat(ends) > datetime.now(UTC) + timedelta(minutes=5):
            return str(kept["token"])
        if not kept.get("refresh"):
            return None
        given = {"client_id": self._client_id(), "grant_type": "refresh_token", "refresh_token": kept["refresh"]}
        answer = self._post("/login/oauth/access_token", given)
        if "access_token" not in answer:
            self._store.renew_account(account.login, None)
            return None
        self._store.renew_account(account.login, self._sealed(answer))
        return str(answer["access_token"])

    def _sealed(self, answer: dict[str, Any]) -> str:
        kept: dict[str, Any] = {"token": answer["access_token"]}
        if answer.get("expires_in"):
            kept["expires_at"] = (datetime.now(UTC) + timedelta(seconds=int(answer["expires_in"]))).isoformat()
            kept["refresh"] = answer.get("refresh_token")
        return self._seal.close(json.dumps(kept))

    def _client_id(self) -> str:
        found = self._api.app().get("client_id")
        if not found:
            raise HonkError("GitHub does not tell the app's client id: see that the app is a GitHub App.")
        return str(found)

    def _post(self, path: str, given: dict[str, str]) -> dict[str, Any]:
        import httpx

        address = self._settings.github_git_url.rstrip("/") + path
        try:
            answer = httpx.post(
                address, data=given, headers={"accept": "application/json"}, verify=trusted(), timeout=30
            )
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise HonkError("GitHub cannot be reached to link accounts: try again in a moment.") from error
        return found


class NoAccounts:
    """Where there is no forge with accounts."""

    def link_offer(self, person: Person) -> LinkOffer:
        """See `Accounts.link_offer`."""
        raise Refused("There is no GitHub here to link with: run `honk setup github` first.")

    def finish_link(self, person: Person) -> str | None:
        """See `Accounts.finish_link`."""
        raise Refused("There is no GitHub here to link with: run `honk setup github` first.")
