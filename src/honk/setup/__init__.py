"""Connecting Honk with Slack and GitHub."""
