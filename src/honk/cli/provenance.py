"""`honk provenance`: whether a file or a commit is what its signed statements say, without any network."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.markup import escape

from honk.model import NotFound, UsageError
from honk.provenance import (
    Believed,
    Finding,
    Identity,
    PublicKey,
    opened,
    public_key,
    read_bundle,
    read_public_key,
    subjects_of,
    tell,
)
from honk.surfaces.terminal import print_json, progress, results

_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def verify(
    what: str, *, bundle: Path | None, key: Path | None, identity: str | None, issuer: str | None, as_json: bool
) -> int:
    """See `honk provenance verify`. Returns 1 unless every statement holds and there is one."""
    known = read_bundle(_text(bundle)) if bundle else None
    path, keys = Path(what), _believed(key, identity, issuer)
    given = _bundle_in(path) if known is None and path.is_file() else None
    if given is not None:
        about, findings = "the bundle", [opened(envelope, keys) for envelope in given]
    else:
        digest, about = _digest(what, path)
        envelopes = _about(digest, known) if known is not None else _stored(digest)
        findings = [_fitting(opened(envelope, keys), digest) for envelope in envelopes]
    trouble = None if findings else f"Nothing is known of {about}: it was not made here, or not like this."
    holds = bool(findings) and all(finding.fault is None for finding in findings)
    if as_json:
        told = [{"statement": one.statement, "signed_by": one.signed_by, "fault": one.fault} for one in findings]
        print_json({"holds": holds, "about": about, "trouble": trouble, "statements": told})
        return 0 if holds else 1
    for finding in findings:
        _print(finding)
    if trouble:
        results.print(f"[bold red]✗[/] {escape(trouble)}")
    elif holds:
        said = (
            "1 signed statement, which holds" if len(findings) == 1 else f"{len(findings)} signed statements, all hold"
        )
        results.print(f"[green]✓[/] {escape(about)}: {said}.")
    return 0 if holds else 1


def export(what: str, *, output: Path | None, as_json: bool) -> int:
    """See `honk provenance export`."""
    from honk.cli.run import open_installation

    store = open_installation().store
    try:
        envelopes = [row.envelope for row in store.statements(store.task(what).id)]
    except NotFound:
        envelopes = [row.envelope for row in store.statements_about(what)] if _COMMIT.fullmatch(what) else []
    if not envelopes:
        raise UsageError(f"There are no statements about {what}: give a task's id or the commit that landed.")
    lines = "".join(json.dumps(envelope, sort_keys=True) + "\n" for envelope in envelopes)
    if as_json:
        print_json({"statements": envelopes})
    elif output is None:
        results.print(lines, end="", markup=False, highlight=False, soft_wrap=True)
    else:
        try:
            output.write_text(lines)
        except OSError as error:
            raise UsageError(f"{output} cannot be written: {error.strerror}.") from error
        progress.print(f"[green]✓[/] {len(envelopes)} statements in {escape(str(output))}")
    return 0


def show_key(*, as_json: bool) -> int:
    """See `honk provenance key`."""
    found = _own_key()
    if as_json:
        print_json({"key": found.pem, "name": found.name})
    else:
        results.print(found.pem, end="", markup=False, highlight=False)
    return 0


def _print(finding: Finding) -> None:
    if finding.fault:
        results.print(f"[bold red]✗[/] {escape(finding.fault)}")
        return
    results.print(f"[green]✓[/] signed by {escape(finding.signed_by or '')}", soft_wrap=True)
    for word, sentence in tell(finding.statement):
        results.print(f"  [dim]{word:>10}[/]  {escape(sentence)}", soft_wrap=True)


def _digest(what: str, path: Path) -> tuple[str, str]:
    """What to look for, and what it is called."""
    if path.is_dir():
        return _tree(path), f"the folder {path}"
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), str(path)
    if _COMMIT.fullmatch(what.lower()):
        return what.lower(), f"commit {what[:12]}"
    raise UsageError(f"{what} is neither a file nor a commit (7 to 64 hexadecimal digits).")


def _tree(folder: Path) -> str:
    from honk.ship.artifacts import digest

    return digest(folder)[0]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def _bundle_in(path: Path) -> list[dict[str, Any]] | None:
    """The statements in a file, if that is what it is."""
    with path.open("rb") as file:
        if file.read(1) != b"{":
            return None
    try:
        return read_bundle(_text(path))
    except UsageError:
        return None


def _about(digest: str, envelopes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of a bundle that are about this. One that cannot be read is about anything."""
    found = []
    for envelope in envelopes:
        statement = opened(envelope, ()).statement
        if not statement or any(one.startswith(digest) for one in subjects_of(statement)):
            found.append(envelope)
    return found


def _fitting(finding: Finding, digest: str) -> Finding:
    """What is kept for a digest has to be about it: what finds statements is not signed, only they are."""
    if finding.fault or any(one.startswith(digest) for one in subjects_of(finding.statement)):
        return finding
    return replace(finding, fault="it is kept for this, but speaks of something else")


def _stored(digest: str) -> list[dict[str, Any]]:
    from honk.cli.run import open_installation

    return [row.envelope for row in open_installation().store.statements_about(digest)]


def _believed(key: Path | None, identity: str | None, issuer: str | None) -> list[Believed]:
    from honk.settings import read_settings

    if (identity is None) != (issuer is None):
        raise UsageError("--identity and --issuer belong together: an identity is somebody to whoever knows them.")
    given: list[Believed] = [read_public_key(key)] if key else []
    if identity and issuer:
        given.append(Identity(identity, issuer, read_settings().sigstore_trust))
    return given or [_own_key()]


def _own_key() -> PublicKey:
    from honk.settings import read_settings

    return public_key(read_settings().home)
