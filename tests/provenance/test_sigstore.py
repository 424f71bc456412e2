"""Statements that sigstore vouches for: signed with its real client at a played instance, checked without any."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from honk.model import HonkError, UsageError
from honk.provenance import Identity, Sigstore, make_signing_key, opened, public_key, sign
from tests.conftest import Honk, git
from tests.provenance.played import ISSUER, PlayedSigstore

WHO = "https://ci.example.com/honk"
STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"gitCommit": "00"}}],
             "predicateType": "urn:x", "predicate": {}}  # fmt: skip


@pytest.fixture
def sigstore() -> Iterator[PlayedSigstore]:
    with PlayedSigstore() as played:
        yield played


@pytest.fixture
def trust(sigstore: PlayedSigstore, tmp_path: Path) -> Path:
    return sigstore.trust(tmp_path / "trust.json")


@pytest.fixture
def signed(sigstore: PlayedSigstore, trust: Path, tmp_path: Path) -> dict[str, Any]:
    make_signing_key(tmp_path)
    return sign(STATEMENT, tmp_path, Sigstore(trust, sigstore.token(tmp_path / "token", WHO)))


def test_what_sigstore_vouches_for_is_believed_once_it_is_gone(
    signed: dict[str, Any], sigstore: PlayedSigstore, trust: Path, tmp_path: Path
) -> None:
    sigstore.__exit__()
    finding = opened(signed, [Identity(WHO, ISSUER, trust)])
    assert finding.fault is None
    assert finding.statement == STATEMENT
    assert finding.signed_by == f"{WHO} ({ISSUER})"
    assert opened(signed, [public_key(tmp_path)]).fault is None, "the installation's own key counts as before"


@pytest.mark.parametrize(("who", "issuer"), [("https://ci.example.com/else", ISSUER), (WHO, "https://elsewhere.test")])
def test_somebody_else_whom_sigstore_knows_is_not_believed(
    signed: dict[str, Any], trust: Path, who: str, issuer: str
) -> None:
    assert "does not fit" in (opened(signed, [Identity(who, issuer, trust)]).fault or "")


def test_what_was_altered_after_sigstore_signed_it_is_not_believed(signed: dict[str, Any], trust: Path) -> None:
    said = json.loads(base64.b64decode(signed["payload"])) | {"predicate": {"status": "green"}}
    altered = signed | {"payload": base64.b64encode(json.dumps(said).encode()).decode()}
    assert "does not fit" in (opened(altered, [Identity(WHO, ISSUER, trust)]).fault or "")
    for bundle in ({}, {"mediaType": "x"}, None):
        signatures = [one | {"bundle": bundle} if one["keyid"] == "sigstore" else one for one in signed["signatures"]]
        finding = opened(signed | {"signatures": signatures}, [Identity(WHO, ISSUER, trust)])
        assert "does not fit" in (finding.fault or "")


def test_another_sigstores_word_does_not_count(signed: dict[str, Any], tmp_path: Path) -> None:
    with PlayedSigstore() as other:
        elsewhere = Identity(WHO, ISSUER, other.trust(tmp_path / "other.json"))
    assert "does not fit" in (opened(signed, [elsewhere]).fault or "")


def test_what_only_the_key_signed_is_not_sigstores(trust: Path, tmp_path: Path) -> None:
    make_signing_key(tmp_path)
    assert "not trusted here" in (opened(sign(STATEMENT, tmp_path), [Identity(WHO, ISSUER, trust)]).fault or "")


def test_what_keeps_sigstore_from_signing_is_said(sigstore: PlayedSigstore, trust: Path, tmp_path: Path) -> None:
    make_signing_key(tmp_path)
    token = sigstore.token(tmp_path / "token", WHO)
    with pytest.raises(UsageError, match=r"identity token .* cannot be read"):
        sign(STATEMENT, tmp_path, Sigstore(trust, tmp_path / "none"))
    with pytest.raises(UsageError, match=r"trust configuration .* cannot be read"):
        sign(STATEMENT, tmp_path, Sigstore(tmp_path / "none", token))
    (tmp_path / "bad").write_text("{")
    with pytest.raises(UsageError, match=r"trust configuration .* is of no use"):
        sign(STATEMENT, tmp_path, Sigstore(tmp_path / "bad", token))
    with pytest.raises(HonkError, match="identity token for sigstore is of no use"):
        sign(STATEMENT, tmp_path, Sigstore(trust, tmp_path / "bad"))
    sigstore.__exit__()
    with pytest.raises(HonkError, match="sigstore did not sign it"):
        sign(STATEMENT, tmp_path, Sigstore(trust, token))


@pytest.mark.usefixtures("sandbox")
def test_a_merged_commit_is_checked_elsewhere_by_whom_sigstore_vouches_for(
    honk: Honk, sigstore: PlayedSigstore, trust: Path, tmp_path: Path, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"app.txt": "app\n", "honk.yaml": "verify: {}\n"})
    settings = {"HONK_SIGSTORE": "true", "HONK_SIGSTORE_TRUST": str(trust)}
    token = {"HONK_SIGSTORE_TOKEN": str(sigstore.token(tmp_path / "token", WHO))}
    script = ("--agent", "script:echo hello >> app.txt")
    done = honk("run", "Greet", "--repo", str(repo), *script, "--merge", "--json", check=0, **settings, **token)
    assert len(sigstore.entries) == 1, done.stderr
    bundle = tmp_path / "bundle.jsonl"
    honk("provenance", "export", json.loads(done.stdout)["id"], "-o", str(bundle), check=0)
    sigstore.__exit__()

    elsewhere = {"HONK_HOME": str(tmp_path / "elsewhere"), "HONK_SIGSTORE_TRUST": str(trust)}
    given = ("provenance", "verify", git(repo, "rev-parse", "main"), "--bundle", str(bundle))
    told = honk(*given, "--identity", WHO, "--issuer", ISSUER, check=0, **elsewhere).stdout
    assert f"signed by {WHO} ({ISSUER})" in told
    assert "1 signed statement, which holds" in told
    honk(*given, "--identity", "somebody@example.com", "--issuer", ISSUER, check=1, **elsewhere)
    assert "belong together" in honk(*given, "--identity", WHO, check=2, **elsewhere).stderr
