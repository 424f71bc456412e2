"""Where repositories live, and changes are proposed and landed."""

from honk.forges.forges import Forges
from honk.forges.github import GitHubAccounts, GitHubApi, GitHubForge
from honk.forges.github.accounts import NoAccounts
from honk.forges.local import LocalForge

__all__ = ["Forges", "GitHubAccounts", "GitHubApi", "GitHubForge", "LocalForge", "NoAccounts"]
