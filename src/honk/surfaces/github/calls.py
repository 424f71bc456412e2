"""What this surface asks of GitHub, and of who may do what there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from honk.model import Access, Repository

NAME = "github"
"""Under which the surface remembers things."""


class Calls(Protocol):
    """See `GitHubApi`."""

    def app(self) -> dict[str, Any]: ...

    def call(
        self,
        method: str,
        path: str,
        place: Any,
        *,
        to: str,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        token: str | None = None,
        media_type: str = ...,
    ) -> Any: ...

    def pages(
        self, path: str, place: Any, *, to: str, inside: str | None = None, params: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]: ...


class Repositories(Protocol):
    """See `GitHubForge`."""

    def owns(self, git_url: str) -> bool: ...

    def place(self, repository: Repository) -> Any: ...

    def lookup(self, name: str) -> Repository | None: ...

    def access_of(self, place: Any, login: str) -> Access: ...

    def register_all(self) -> list[Repository]: ...
