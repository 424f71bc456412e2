"""Honk: say it in chat, try it on your phone, tap merge."""

__version__ = "0.1.0"
