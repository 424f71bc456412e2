"""GitHub, through a GitHub App."""

from honk.forges.github.accounts import GitHubAccounts
from honk.forges.github.api import GitHubApi, GitHubError, Place
from honk.forges.github.forge import GitHubForge

__all__ = ["GitHubAccounts", "GitHubApi", "GitHubError", "GitHubForge", "Place"]
