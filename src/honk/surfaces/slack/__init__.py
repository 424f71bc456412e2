"""Slack: mentions, threads, taps and commands in; one card a task and a few messages out."""

from honk.surfaces.slack.surface import SlackSurface

__all__ = ["SlackSurface"]
