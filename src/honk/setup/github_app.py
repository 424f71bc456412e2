"""The GitHub App that Honk needs, as data."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from honk.settings import Settings
from honk.setup.addresses import public_address

PERMISSIONS = {
    "contents": "write", "pull_requests": "write", "checks": "write", "statuses": "read", "issues": "write",
    "metadata": "read", "actions": "write", "deployments": "write", "members": "read",
}  # fmt: skip
EVENTS = (
    "pull_request", "pull_request_review", "pull_request_review_comment", "issue_comment", "issues",
    "check_run", "check_suite", "status", "push",
)  # fmt: skip
"""What is subscribed to. `installation` and `installation_repositories` come unasked; asking for them is an error."""

ORGANISATION_ONLY = frozenset({"members"})
"""Permissions that an installation on a person's own account does not have."""

_NAMES = {"contents": "Contents", "pull_requests": "Pull requests", "checks": "Checks", "statuses": "Commit statuses",
          "issues": "Issues", "metadata": "Metadata", "actions": "Actions", "deployments": "Deployments",
          "members": "Members (of the organization)"}  # fmt: skip
_ACCESS = {"read": "Read-only", "write": "Read and write"}
_RANKS = ("", "read", "write", "admin")


def manifest(settings: Settings, *, name: str | None, organisation: str | None, redirect_url: str) -> dict[str, Any]:
    """The app's manifest, as in GitHub's "Registering a GitHub App from a manifest".

    GitHub takes no address for webhooks that the internet cannot reach; without one Honk asks by itself every minute.
    """
    address = public_address(settings)
    return {
        "name": app_name(name, organisation),
        "url": address or settings.github_git_url,
        "description": "Say what should change, try it on your phone, tap merge.",
        "public": False,
        "redirect_url": redirect_url,
        "hook_attributes": {
            "url": f"{address or 'https://example.com'}/github/webhook",
            "active": bool(address),
        },
        "default_permissions": dict(PERMISSIONS),
        "default_events": list(EVENTS),
    }


def app_name(name: str | None, organisation: str | None) -> str:
    """At most the 34 characters that GitHub takes. Names are unique over all of GitHub, hence the random end."""
    return (name or f"Honk {organisation or secrets.token_hex(3)}")[:34].strip()


def lacking(granted: Mapping[str, str], *, personal: bool = False) -> dict[str, str]:
    """The permissions that are wanted and not, or not far enough, granted."""
    return {
        name: access
        for name, access in PERMISSIONS.items()
        if not (personal and name in ORGANISATION_ONLY) and _rank(granted.get(name, "")) < _rank(access)
    }


def _rank(access: str) -> int:
    return _RANKS.index(access) if access in _RANKS else 0


def in_words(permissions: Mapping[str, str]) -> list[str]:
    """The permissions as GitHub's page names them."""
    return [f"{_NAMES[name]}: {_ACCESS[access]}" for name, access in permissions.items()]


def settings_page(git_url: str, app: Mapping[str, Any]) -> str:
    """Where the app's owner changes it."""
    owner = app.get("owner") if isinstance(app.get("owner"), Mapping) else {}
    of = f"organizations/{owner.get('login')}/" if owner and owner.get("type") == "Organization" else ""
    return f"{git_url.rstrip('/')}/{of}settings/apps/{app.get('slug', '')}"


def installation_page(git_url: str, app: Mapping[str, Any]) -> str:
    """Where anybody who may installs it."""
    return f"{app.get('html_url') or git_url.rstrip('/') + '/apps/' + str(app.get('slug', ''))}/installations/new"


def accounts(installations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Whose repositories it is installed on."""
    return [str((each.get("account") or {}).get("login", "")) for each in installations]
