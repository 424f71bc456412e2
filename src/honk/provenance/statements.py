"""What is said: in-toto Statements v1, with SLSA provenance v1 for what was built.

Everything in a statement is taken from the record of what happened, so that saying it again says the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

STATEMENT = "https://in-toto.io/Statement/v1"
ARTIFACT = "https://slsa.dev/provenance/v1"
CHANGE = "urn:honk:change:v1"
DEPLOYMENT = "urn:honk:deployment:v1"
BUILD = "urn:honk:build:v1"

TREE = "honkTree"
"""A digest of a folder: the SHA-256 of a line `path NUL sha256-in-hex LF` for each file, sorted by path."""
_MOST_FILES = 5_000

Json = Mapping[str, Any]


def artifact_statement(
    *,
    repository: str,
    commit: str,
    base: str | None,
    kind: str,
    tree: str,
    files: Mapping[str, str],
    making: Json,
    change: Json,
    builder: Json,
) -> dict[str, Any]:
    """What was built: its files by their SHA-256, from which commit, by which command, on whose word.

    `change` is what is known of the change so far, as in a change statement. `builder` has `id` and `version`.
    """
    # Of a folder with more files than that, only the whole is named.
    named = sorted(files.items()) if len(files) <= _MOST_FILES else []
    sources = [{"uri": f"git+{repository}", "digest": {"gitCommit": commit}}]
    if base:
        sources.append({"uri": f"git+{repository}", "digest": {"gitCommit": base}, "name": "base"})
    return _statement(
        [{"name": kind, "digest": {TREE: tree}}, *({"name": path, "digest": {"sha256": one}} for path, one in named)],
        ARTIFACT,
        {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": {
                    "repository": repository,
                    "commit": commit,
                    "kind": kind,
                    "command": making.get("command"),
                },
                "internalParameters": {},
                "resolvedDependencies": sources,
            },
            "runDetails": {
                "builder": dict(builder),
                "metadata": {
                    "invocationId": f"{change['request']['task']}:{commit}:{kind}",
                    "startedOn": making.get("started"),
                    "finishedOn": making.get("finished"),
                },
            },
            # Names of additions to the predicate begin with whose they are.
            "honk_change": dict(change),
        },
    )


def change_statement(*, repository: str, branch: str, sha: str, change: Json) -> dict[str, Any]:
    """What landed, and all that spoke for it."""
    subject = {"name": f"git+{repository}@refs/heads/{branch}", "digest": {"gitCommit": sha}}
    return _statement([subject], CHANGE, change)


def deployment_statement(*, repository: str, sha: str, deployment: Json) -> dict[str, Any]:
    """What became of a commit in production."""
    return _statement([{"name": f"git+{repository}", "digest": {"gitCommit": sha}}], DEPLOYMENT, deployment)


def subjects_of(statement: Json) -> list[str]:
    """The digests a statement is about, whatever their kind."""
    return list(dict.fromkeys(str(one) for subject in statement["subject"] for one in subject["digest"].values()))


def _statement(subjects: Sequence[Json], kind: str, predicate: Json) -> dict[str, Any]:
    return {"_type": STATEMENT, "subject": list(subjects), "predicateType": kind, "predicate": dict(predicate)}
