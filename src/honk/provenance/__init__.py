"""Signed statements about what was made and merged, and whether one holds: in-toto statements in DSSE envelopes."""

from honk.provenance.keys import (
    Believed,
    Identity,
    PublicKey,
    Sigstore,
    make_signing_key,
    public_key,
    read_public_key,
)
from honk.provenance.statements import (
    ARTIFACT,
    CHANGE,
    DEPLOYMENT,
    TREE,
    artifact_statement,
    change_statement,
    deployment_statement,
    subjects_of,
)
from honk.provenance.verification import Finding, opened, read_bundle, sign, tell

__all__ = [
    "ARTIFACT",
    "CHANGE",
    "DEPLOYMENT",
    "TREE",
    "Believed",
    "Finding",
    "Identity",
    "PublicKey",
    "Sigstore",
    "artifact_statement",
    "change_statement",
    "deployment_statement",
    "make_signing_key",
    "opened",
    "public_key",
    "read_bundle",
    "read_public_key",
    "sign",
    "subjects_of",
    "tell",
]
