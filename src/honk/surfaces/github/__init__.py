"""GitHub as a place where people talk: comments, reviews, issues, pushes and checks."""

from honk.surfaces.github.surface import GitHubSurface

__all__ = ["GitHubSurface"]
