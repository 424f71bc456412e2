"""Connecting Honk with Slack and GitHub: what the apps need, what the live services say they have, what is missing."""

from honk.setup.github import github_rows
from honk.setup.slack import slack_rows

__all__ = ["github_rows", "slack_rows"]
