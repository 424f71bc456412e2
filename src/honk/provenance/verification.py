"""Envelopes: made, opened, and told about in words. Needs no network."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honk.model import UsageError
from honk.provenance.keys import Believed, Sigstore, public_key, signing_key
from honk.provenance.statements import ARTIFACT, CHANGE, DEPLOYMENT, STATEMENT, TREE

PAYLOAD = "application/vnd.in-toto+json"
_MOST_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Finding:
    """What came of looking at one envelope. `statement` is what it says, believable only where `fault` is None."""

    statement: Mapping[str, Any]
    signed_by: str | None
    """What people call them."""
    fault: str | None = None


def sign(statement: Mapping[str, Any], home: Path, sigstore: Sigstore | None = None) -> dict[str, Any]:
    """The statement in an envelope with the installation's signature, and one by sigstore where that is wanted. Raises
    as `signing_key` and `sign_by_sigstore`."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner, SSlibKey

    key = signing_key(home)
    public = SSlibKey.from_crypto(key.public_key(), keyid=public_key(home).name)
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    envelope = Envelope(payload, PAYLOAD, {})
    envelope.sign(CryptoSigner(key, public))
    if sigstore:
        from honk.provenance.keyless import sign_by_sigstore

        sign_by_sigstore(envelope, sigstore)
    made: dict[str, Any] = envelope.to_dict()
    return made


def opened(envelope: Mapping[str, Any], keys: Sequence[Believed]) -> Finding:
    """What the envelope says, and whether one of these said it."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import FormatError, UnverifiedSignatureError, VerificationError

    try:
        # Reading it changes it.
        found = Envelope.from_dict(copy.deepcopy(dict(envelope)))
        statement = json.loads(found.payload)
        well = (
            found.payload_type == PAYLOAD and statement["_type"] == STATEMENT and isinstance(statement["subject"], list)
        )
    except (KeyError, TypeError, ValueError, FormatError, AttributeError):
        return Finding({}, None, "it is no in-toto statement in a DSSE envelope")
    if not well:
        return Finding({}, None, "it is no in-toto statement in a DSSE envelope")
    known = [(one.verifier(), one) for one in keys]
    try:
        accepted = found.verify([verifier for verifier, _ in known], 1)
    except (VerificationError, UnverifiedSignatureError, ValueError):
        names = {one.name for one in keys}
        if names & set(found.signatures):
            return Finding(statement, None, "its signature does not fit: what it says was changed after it was signed")
        return Finding(statement, None, "it was signed with a key that is not trusted here: give that one by --key")
    return Finding(statement, next(one.shown for verifier, one in known if verifier in accepted.values()))


def read_bundle(text: str) -> list[dict[str, Any]]:
    """Envelopes, one a line or one alone, as in-toto bundles have them. Raises `UsageError` for anything else."""
    if len(text) > _MOST_BYTES:
        raise UsageError(f"A bundle of more than {_MOST_BYTES // 1024**2} MB is not read.")
    try:
        whole = json.loads(text)
        found = whole.get("statements", [whole]) if isinstance(whole, dict) else whole
    except ValueError:
        found = _lines(text)
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) and "payload" in one for one in found):
        raise UsageError("This is no bundle of statements: make one with `honk provenance export TASK`.")
    return found


def _lines(text: str) -> list[Any] | None:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        return None


def tell(statement: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a statement says, as pairs of a word and a sentence. Passes over what is not there."""
    predicate = statement.get("predicate") or {}
    kind = statement.get("predicateType")
    if kind == ARTIFACT:
        definition = predicate.get("buildDefinition") or {}
        asked = definition.get("externalParameters") or {}
        yield "built", f"{asked.get('kind')} from {str(asked.get('commit'))[:12]} by `{asked.get('command')}`"
        yield from _change(predicate.get("honk_change") or {})
    elif kind == CHANGE:
        yield from _change(predicate)
    elif kind == DEPLOYMENT:
        yield "production", f"{predicate.get('status')} at {predicate.get('at')}"
        if predicate.get("reason"):
            yield "why", str(predicate["reason"])


def _change(change: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    asked = change.get("request") or {}
    if asked:
        where = f", in {asked['origin']}" if asked.get("origin") else ""
        yield "request", f"{asked['person']['name']} at {asked['at']}{where} (words: sha256 {asked['sha256'][:16]}…)"
    agent = change.get("agent") or {}
    if agent:
        by = ", ".join([str(agent.get("harness")), *map(str, agent.get("models") or ())])
        yield "agent", f"{by}, ${agent.get('cost_usd', 0):.2f}"
    yield "commits", f"{str(change.get('base'))[:12]} → {str(change.get('head'))[:12]}"
    checks = change.get("checks") or []
    if checks:
        yield "checks", ", ".join(f"{check['name']} {check['status']}" for check in checks)
    if verdict := change.get("verdict"):
        yield "verdict", f"{verdict['decision']} ({verdict['score']:.2f}) by {verdict['model']}: {verdict['summary']}"
    if findings := change.get("findings"):
        yield "tamper guard", "; ".join(f"{one['kind']} in {one['path']}" for one in findings[:10])
    if override := change.get("override"):
        yield "overridden", f"{override['person']} at {override['at']}"
    for trial in change.get("trials") or []:
        yield "tried", f"{trial['kind']} on {trial['device']} at {trial['at']}"
    for approval in change.get("approvals") or []:
        yield "approved", f"{approval['person']} at {approval['at']}"
    for artifact in change.get("artifacts") or []:
        yield "artifact", f"{artifact['kind']} {artifact['digest'][TREE][:16]}…"
    if merge := change.get("merge"):
        yield "merged", f"by {merge['person']} at {merge['at']} as {merge['sha'][:12]} on {merge['branch']}"
