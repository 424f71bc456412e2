"""Calls to GitHub's REST and GraphQL interfaces as a GitHub App, its installations, or a person who linked theirs."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from honk.certificates import trusted
from honk.model import HonkError, NotFound, UsageError
from honk.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from githubkit import GitHub
    from githubkit.exception import GitHubException
    from githubkit.retry import RetryOption

log = logging.getLogger("honk.github")

_TIMEOUT = 30.0
_TRIES = 3
_LONGEST_WAIT = 60.0
"""Seconds. A limit that lasts longer is told to the person instead of being waited for."""
_LARGEST = 4 << 30
_SPARE = timedelta(minutes=5)
_VERSION = "2022-11-28"
_APP = "the app itself"
"""Stands where a token does, for calls that the app signs with its own key."""


class Place(NamedTuple):
    """A repository on GitHub."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


class GitHubError(HonkError):
    """GitHub refused or did not answer. `status` is 0 when there was no answer; `told` is GitHub's own message."""

    def __init__(self, sentence: str, status: int, told: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.told = told
        self.passing = status in (0, 401, 429) or status >= 500


class GitHubApi:
    """One GitHub App's calls. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._making = threading.Lock()
        self._asking = threading.Lock()
        self._clients: dict[str, GitHub[Any]] = {}
        self._installations: dict[str, int] = {}
        self._tokens: dict[int, tuple[str, datetime]] = {}
        self._app: dict[str, Any] | None = None

    # -- who Honk is -------------------------------------------------------------------------------------------------

    def app(self) -> dict[str, Any]:
        """The app as GitHub describes it: `id`, `slug`, `client_id` …"""
        if self._app is None:
            self._app = self._send(_APP, "GET", "/app", "read its own app")
        return self._app

    def installations(self) -> list[dict[str, Any]]:
        """Where the app is installed."""
        return list(self._paged(_APP, "/app/installations", {}, None, "list its installations"))

    def repositories(self) -> Iterator[Place]:
        """Every repository the app is installed on and the settings allow."""
        for installation in self.installations():
            if installation.get("suspended_at"):
                continue
            try:
                token = self._token_of(int(installation["id"]))
                given = list(
                    self._paged(token, "/installation/repositories", {}, "repositories", "list its repositories")
                )
            except GitHubError as error:
                if error.passing:
                    raise
                log.warning("an installation of the app is left out: %s", error)
                continue
            for repository in given:
                place = Place(repository["owner"]["login"], repository["name"])
                if self.allowed(place):
                    yield place

    def allowed(self, place: Place) -> bool:
        """Whether the settings let Honk work on it."""
        organisations = [name.lower() for name in self._settings.github_organisations]
        names = [name.lower() for name in self._settings.github_repositories]
        if organisations and place.owner.lower() not in organisations:
            return False
        return not names or str(place).lower() in names

    def token(self, place: Place) -> str:
        """An installation token for the repository: worth an hour at most. Raises `NotFound` if it is not installed."""
        return self._token_of(self._installation(place))

    def _installation(self, place: Place) -> int:
        known = self._installations.get(str(place).lower())
        if known is not None:
            return known
        try:
            found = self._send(_APP, "GET", f"/repos/{place}/installation", f"find its installation on {place}")
        except GitHubError as error:
            if error.status == 404:
                raise NotFound(
                    f"Honk's GitHub App is not installed on {place}, or there is no such repository: install it there "
                    f"({self._settings.github_git_url}/apps/{self.app().get('slug', '')}/installations/new)."
                ) from error
            raise
        self._installations[str(place).lower()] = int(found["id"])
        return int(found["id"])

    def _token_of(self, installation: int) -> str:
        with self._asking:
            known = self._tokens.get(installation)
            if known and known[1] - datetime.now(UTC) > _SPARE:
                return known[0]
            made = self._send(
                _APP, "POST", f"/app/installations/{installation}/access_tokens", "get an installation token"
            )
            expires = datetime.fromisoformat(made["expires_at"].replace("Z", "+00:00"))
            self._tokens[installation] = (made["token"], expires)
            token: str = made["token"]
            return token

    # -- calls -------------------------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        place: Place,
        *,
        to: str,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        token: str | None = None,
        media_type: str = "application/vnd.github+json",
    ) -> Any:
        """Send a request to `/repos/OWNER/NAME` + `path` and return its JSON (its text for another media type).

        `to` says in words what for, as in "GitHub does not let Honk `to`". As the app unless a person's `token` is
        given. A token that has ended in the meantime is replaced once. Raises `GitHubError`.
        """
        own = token is None
        given = token or self.token(place)
        where = f"/repos/{place}{path}"
        try:
            return self._send(given, method, where, to, json=json, params=params, media_type=media_type)
        except GitHubError as error:
            if error.status != 401 or not own:
                raise
            self.renew(place)
            return self._send(self.token(place), method, where, to, json=json, params=params, media_type=media_type)

    def download(self, path: str, place: Place, target: Path, *, to: str) -> None:
        """Write what GitHub stores elsewhere to a file, piece by piece. Raises `GitHubError`."""
        import httpx

        where = f"{self._settings.github_api_url.rstrip('/')}/repos/{place}{path}"
        headers = {"authorization": f"Bearer {self.token(place)}", "x-github-api-version": _VERSION}
        try:
            found = httpx.get(where, headers=headers, verify=trusted(), timeout=_TIMEOUT)
            # The token is GitHub's alone: the store that it leads to has its own in the address.
            if "location" not in found.headers:
                raise GitHubError(f"GitHub does not let Honk {to}: status {found.status_code}.", found.status_code, "")
            with (
                httpx.stream("GET", found.headers["location"], verify=trusted(), timeout=_TIMEOUT) as answer,
                target.open("wb") as file,
            ):
                answer.raise_for_status()
                for chunk in answer.iter_bytes():
                    file.write(chunk)
                    if file.tell() > _LARGEST:
                        raise GitHubError(f"GitHub stores more than {_LARGEST >> 30} GB under one name.", 413, "")
        except httpx.HTTPError as error:
            raise GitHubError(f"GitHub could not be reached to {to}: try again.", 0, type(error).__name__) from error

    def pages(
        self, path: str, place: Place, *, to: str, inside: str | None = None, params: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The items of every page of a list; `inside` names the key that holds them, if one does."""
        page = 1
        while True:
            given = {**(params or {}), "per_page": 100, "page": page}
            answer = self.call("GET", path, place, to=to, params=given)
            items = answer[inside] if inside else answer
            yield from items
            if len(items) < 100:
                return
            page += 1

    def user(self, token: str) -> dict[str, Any]:
        """The person whose token this is."""
        found: dict[str, Any] = self._send(token, "GET", "/user", "learn who you are")
        return found

    def graphql(self, place: Place, query: str, variables: Mapping[str, Any], *, to: str) -> Any:
        """Send a GraphQL query as the app. Raises `GitHubError` for its errors too."""
        answer = self._send(
            self.token(place), "POST", "/graphql", to, json={"query": query, "variables": dict(variables)}
        )
        if answer.get("errors"):
            told = str(answer["errors"][0].get("message", ""))
            raise GitHubError(f"GitHub does not let Honk {to}: {told}.", 422, told)
        return answer["data"]

    def renew(self, place: Place) -> None:
        """Forget the token for a repository: GitHub does not accept it any more."""
        installation = self._installations.pop(str(place).lower(), None)
        with self._asking:
            if installation is not None:
                self._tokens.pop(installation, None)

    def _paged(
        self, token: str, path: str, params: Mapping[str, Any], inside: str | None, to: str
    ) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            answer = self._send(token, "GET", path, to, params={**params, "per_page": 100, "page": page})
            items = answer[inside] if inside else answer
            yield from items
            if len(items) < 100:
                return
            page += 1

    def _send(
        self,
        token: str,
        method: str,
        path: str,
        to: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        media_type: str = "application/vnd.github+json",
    ) -> Any:
        from githubkit.exception import GitHubException

        headers = {"accept": media_type, "x-github-api-version": _VERSION}
        body: dict[str, Any] = {} if json is None else {"json": dict(json)}
        try:
            answer = self._client(token).request(
                method, path, headers=headers, params=dict(params) if params else None, **body
            )
        except GitHubException as error:
            raise _explained(error, to) from error
        if "json" not in media_type:
            return answer.text
        return answer.json() if answer.content else None

    def _client(self, token: str) -> GitHub[Any]:
        from githubkit import AppAuthStrategy, GitHub, TokenAuthStrategy
        from githubkit.cache import MemCacheStrategy

        with self._making:
            known = self._clients.get(token)
            if known is None:
                if token == _APP:
                    secret = self._settings.github_private_key
                    if not (self._settings.github_app_id and secret):
                        raise UsageError("GitHub is not set up here: run `honk setup github`.")
                    key: Any = _loaded(private_key(secret.get_secret_value()))
                    strategy: Any = AppAuthStrategy(self._settings.github_app_id, key)
                else:
                    strategy = TokenAuthStrategy(token)
                known = GitHub(
                    strategy,
                    base_url=self._settings.github_api_url.rstrip("/") + "/",
                    timeout=_TIMEOUT,
                    ssl_verify=trusted(),
                    http_cache=False,
                    # The library's own is the process's, by the app's number alone: an exchanged key would not count.
                    cache_strategy=MemCacheStrategy(),
                    auto_retry=_retry,
                    user_agent="honk",
                )
                if len(self._clients) > 50:
                    self._clients = {name: client for name, client in self._clients.items() if name == _APP}
                self._clients[token] = known
            return known


def _loaded(pem: str) -> RSAPrivateKey | str:
    """The key, ready to sign with; what cannot be read is left to the library. That its numbers are prime is not looked
    into, which takes 40 ms of a processor: it is its owner's own, and GitHub refuses what a damaged one signs."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return pem
    return key if isinstance(key, RSAPrivateKey) else pem


def private_key(text: str) -> str:
    """The key as PEM text: as it is, from a file that is named instead, or with `\\n` written out."""
    text = text.strip()
    if text.startswith("-----"):
        return text.replace("\\n", "\n")
    try:
        return Path(text).expanduser().read_text()
    except OSError as error:
        raise UsageError(
            "HONK_GITHUB_PRIVATE_KEY is neither a key (it begins with -----BEGIN) nor a file that can be read."
        ) from error


def _retry(error: GitHubException, count: int) -> RetryOption:
    """What is safe to send again: reads that failed on the way, and anything that a limit turned away."""
    import httpx
    from githubkit.exception import RateLimitExceeded, RequestError, RequestFailed
    from githubkit.retry import RetryOption

    if count >= _TRIES - 1:
        return RetryOption(False)
    if isinstance(error, RateLimitExceeded):
        wait = error.retry_after.total_seconds()
        return RetryOption(wait <= _LONGEST_WAIT, error.retry_after)
    if isinstance(error, RequestFailed):
        passing = error.response.status_code >= 500 and error.request.method == "GET"
        return RetryOption(passing, timedelta(seconds=0.5 * 2**count))
    if not isinstance(error, RequestError):
        return RetryOption(False)
    lost = isinstance(error.exc, httpx.RequestError) and error.exc.request.method == "GET"
    return RetryOption(lost, timedelta(seconds=0.5 * 2**count))


def _explained(error: GitHubException, to: str) -> GitHubError:
    """GitHub's refusal as a sentence that says what to do."""
    from githubkit.exception import RateLimitExceeded, RequestFailed, RequestTimeout

    if isinstance(error, RateLimitExceeded):
        at = datetime.fromtimestamp(time.time() + error.retry_after.total_seconds(), UTC).astimezone()
        sentence = f"GitHub's limit on requests is used up until {at:%H:%M}: try again then; nothing is lost."
        return GitHubError(sentence, 429, "rate limit")
    if not isinstance(error, RequestFailed):
        how = "did not answer in time" if isinstance(error, RequestTimeout) else "cannot be reached"
        return GitHubError(f"GitHub {how} when Honk wanted to {to}: try again; nothing is lost.", 0, how)
    status = error.response.status_code
    told = _told(error)
    if status == 401:
        sentence = f"GitHub does not accept Honk's credentials ({told}): run `honk setup github`."
    elif status == 403:
        sentence = (
            f"GitHub does not let Honk {to} ({told}): `honk setup github --check` says which permission is missing."
        )
    elif status == 404:
        sentence = f"GitHub does not find what Honk needs to {to}: see that it is there and that the app may see it."
    elif status >= 500:
        sentence = f"GitHub answered {status} when Honk wanted to {to}: try again; nothing is lost."
    else:
        sentence = f"GitHub does not let Honk {to}: {told}."
    return GitHubError(sentence, status, told)


def _told(error: Any) -> str:
    try:
        answer = error.response.json()
        words = [str(answer.get("message", ""))]
        words += [str(one.get("message", one) if isinstance(one, dict) else one) for one in answer.get("errors") or ()]
        return re.sub(r"\s+", " ", "; ".join(word for word in words if word)).strip(" .")[:300]
    except (ValueError, AttributeError):
        return f"status {error.response.status_code}"
