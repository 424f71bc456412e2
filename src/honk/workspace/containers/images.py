"""What a repository's containers are made of: what its base commit says, and never what a change says."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honk.git import committed_text, git
from honk.model import HonkError, UsageError
from honk.repository_file import parse_repository_file

_DEVCONTAINERS = (".devcontainer/devcontainer.json", ".devcontainer.json")
_JSONC = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[}\]])', re.DOTALL)
"""Strings, which stay, and what JSON with comments has besides JSON."""


@dataclass(frozen=True)
class Recipe:
    """An image that is built from a commit's files: a Dockerfile and its context, by their paths in the commit."""

    source: Path
    """The git directory."""
    commit: str
    dockerfile: str
    context: str = "."
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None

    @property
    def name(self) -> str:
        """The image's name, the same for the same files. Raises `HonkError` if they are not there."""
        context = "" if self.context == "." else self.context
        below = git("rev-parse", f"{self.commit}:{context}", directory=self.source)
        file = git("rev-parse", f"{self.commit}:{self.dockerfile}", directory=self.source)
        facts = json.dumps([below, file, self.dockerfile, sorted(self.arguments.items()), self.target])
        return f"localhost/honk-made:{hashlib.sha256(facts.encode()).hexdigest()[:24]}"


def image_of(source: Path, base: str) -> str | Recipe | None:
    """What the base commit in the git directory `source` wants: by `sandbox` in honk.yaml, else by devcontainer.json.

    None if neither names anything. Raises `UsageError` for what cannot be read.
    """
    base = git("rev-parse", f"{base}^{{commit}}", directory=source)  # a branch may move before the image is built
    wanted = parse_repository_file(committed_text(source, base, "honk.yaml") or "").sandbox
    if wanted.image:
        return wanted.image
    if wanted.dockerfile:
        return _checked(Recipe(source, base, posixpath.normpath(wanted.dockerfile)), "honk.yaml")
    for path in _DEVCONTAINERS:
        if (text := committed_text(source, base, path)) is not None:
            return _by_devcontainer(source, base, path, text)
    return None


def _by_devcontainer(source: Path, base: str, path: str, text: str) -> str | Recipe | None:
    """By the keys of containers.dev: `image`, or `build` with its older spellings. Compose files are not followed."""
    try:
        said = json.loads(_JSONC.sub(lambda found: found[0] if found[0][0] == '"' else " ", text))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is not JSON with comments (line {error.lineno}): correct it.") from error
    if not isinstance(said, dict):
        raise UsageError(f"{path} must be an object, such as {{}} with an `image`.")
    if isinstance(image := said.get("image"), str):
        return _plain(image, path)
    build: dict[str, Any] = said["build"] if isinstance(said.get("build"), dict) else {}
    dockerfile = build.get("dockerfile") or said.get("dockerFile")
    if not isinstance(dockerfile, str):
        return None
    folder = posixpath.dirname(path)
    context = build.get("context") or said.get("context") or "."
    given = build.get("args") if isinstance(build.get("args"), dict) else {}
    arguments = {str(name): _plain(str(value), path) for name, value in (given or {}).items()}
    target = build.get("target")
    recipe = Recipe(
        source,
        base,
        posixpath.normpath(posixpath.join(folder, dockerfile)),
        posixpath.normpath(posixpath.join(folder, str(context))),
        arguments,
        str(target) if target else None,
    )
    return _checked(recipe, path)


def _plain(text: str, path: str) -> str:
    if "${" in text or text.startswith("-") or not text.strip():
        raise UsageError(f"{path} says `{text[:80]}`, which depends on a machine: write it out, or set sandbox.image.")
    return text


def _checked(recipe: Recipe, path: str) -> Recipe:
    for name in (recipe.dockerfile, recipe.context):
        if name.startswith(("../", "/", "-")) or name == "..":
            raise UsageError(f"{path} names {name}, which is outside of the repository.")
    if committed_text(recipe.source, recipe.commit, recipe.dockerfile) is None:
        raise UsageError(f"{path} names the Dockerfile {recipe.dockerfile}, which is not in the base commit.")
    try:
        _ = recipe.name
    except HonkError as error:
        raise UsageError(f"{path} names the folder {recipe.context}, which is not in the base commit.") from error
    return recipe
