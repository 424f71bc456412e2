"""Signed statements: what they say, and that nobody can change what they say."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from honk.provenance import make_signing_key, opened, public_key, read_bundle, sign
from tests.conftest import Honk, git

HONK_YAML = """\
verify: {test: "grep -q hello app.txt"}
builds: {web: {run: "mkdir dist; cp app.txt dist/index.html", output: dist}}
deploy: {run: "true", rollback: "true", health: {run: "true", for: 0.1s, every: 0.05s}}
"""
STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": "00"}}],
             "predicateType": "urn:x", "predicate": {}}  # fmt: skip


@pytest.mark.usefixtures("sandbox")
def test_a_built_file_and_a_merged_commit_can_be_followed_back_to_the_words_that_asked_for_them(
    honk: Honk, home: Path, tmp_path: Path, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"app.txt": "app\n", "honk.yaml": HONK_YAML})
    script = ("--agent", "script:echo hello >> app.txt")
    done = honk("run", "Please greet", "--repo", str(repo), *script, "--merge", "--json", check=0)
    task = json.loads(done.stdout)
    merged = git(repo, "rev-parse", "main")

    bundle = tmp_path / "bundle.jsonl"
    honk("provenance", "export", task["id"], "-o", str(bundle), check=0)
    key = tmp_path / "key.pem"
    key.write_text(honk("provenance", "key", check=0).stdout)
    load_pem_public_key(key.read_bytes())
    artifact, change, deployment = _said(bundle)

    assert change["subject"][0]["digest"] == {"gitCommit": merged}
    assert change["predicate"]["request"]["sha256"] == hashlib.sha256(b"Please greet").hexdigest()
    assert [(one["name"], one["status"]) for one in change["predicate"]["checks"]] == [("test", "passed")]
    assert change["predicate"]["head"] == task["head_sha"]
    assert change["predicate"]["merge"]["branch"] == "main"
    assert change["predicate"]["artifacts"][0]["digest"]["honkTree"] == task["artifacts"][0]["sha256"]
    assert artifact["predicateType"] == "https://slsa.dev/provenance/v1"
    assert (
        artifact["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"] == task["head_sha"]
    )
    assert deployment["predicate"]["status"] == "healthy"

    # Somewhere else, with nothing but the file, the bundle and the key.
    page = tmp_path / "page.html"
    page.write_bytes((home / "artifacts" / task["artifacts"][0]["sha256"] / "index.html").read_bytes())
    elsewhere = {"HONK_HOME": str(tmp_path / "elsewhere")}
    given = ("--bundle", str(bundle), "--key", str(key))
    checked = honk("provenance", "verify", str(page), *given, check=0, **elsewhere)
    assert checked.stderr == ""
    assert "web from" in checked.stdout
    assert "1 signed statement, which holds" in checked.stdout
    assert "2 signed statements, all hold" in honk("provenance", "verify", merged, *given, check=0, **elsewhere).stdout
    assert (
        "3 signed statements, all hold" in honk("provenance", "verify", str(bundle), "--key", str(key), check=0).stdout
    )
    page.write_text("something else")
    assert "Nothing is known of" in honk("provenance", "verify", str(page), *given, check=1, **elsewhere).stdout
    assert "Nothing is known of" in honk("provenance", "verify", "deadbeef", check=1).stdout
    assert "neither a file nor a commit" in honk("provenance", "verify", "nothing.apk", check=2).stderr
    assert "There are no statements about" in honk("provenance", "export", "zzzz", check=2).stderr


@pytest.mark.usefixtures("sandbox")
def test_a_home_that_was_altered_vouches_for_nothing(
    honk: Honk, home: Path, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"app.txt": "app\n", "honk.yaml": "verify: {}\n"})
    script = ("--agent", "script:echo hello >> app.txt")
    honk("run", "Please greet", "--repo", str(repo), *script, "--merge", check=0)
    merged, base = git(repo, "rev-parse", "main"), git(repo, "rev-parse", "main~1")
    assert "1 signed statement, which holds" in honk("provenance", "verify", merged, check=0).stdout
    with closing(sqlite3.connect(home / "honk.db")) as database, database:
        database.execute("INSERT INTO statement_subjects SELECT ?, key FROM statements", (base,))
    assert "speaks of something else" in honk("provenance", "verify", base, check=1).stdout
    with closing(sqlite3.connect(home / "honk.db")) as database, database:
        (told,) = database.execute("SELECT envelope FROM statements").fetchone()
        envelope = json.loads(told)
        said = base64.b64decode(envelope["payload"]).replace(b"passed", b"failed").replace(b"Ada", b"Eve")
        altered = json.dumps(envelope | {"payload": base64.b64encode(said).decode()})
        database.execute("UPDATE statements SET envelope = ?", (altered,))
    assert "changed after it was signed" in honk("provenance", "verify", merged, check=1).stdout


@pytest.mark.usefixtures("sandbox")
def test_a_key_that_cannot_be_read_is_told_and_keeps_nothing_from_production(
    honk: Honk, home: Path, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"app.txt": "app\n", "honk.yaml": HONK_YAML})
    home.mkdir(exist_ok=True)
    (home / "provenance.key").write_text("not a key")
    script = ("--agent", "script:echo hello >> app.txt")
    done = honk("run", "Please greet", "--repo", str(repo), *script, "--merge", "--json", check=0)
    assert json.loads(done.stdout)["state"] == "deployed"
    assert "No signed statement about the merge: The key at" in done.stderr
    assert "put it back from a backup" in honk("provenance", "key", check=2).stderr


def _said(bundle: Path) -> list[dict[str, Any]]:
    kinds = ["https://slsa.dev/provenance/v1", "urn:honk:change:v1", "urn:honk:deployment:v1"]
    said = [json.loads(base64.b64decode(one["payload"])) for one in read_bundle(bundle.read_text())]
    return sorted(said, key=lambda one: kinds.index(one["predicateType"]))


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    make_signing_key(tmp_path)
    first = public_key(tmp_path)
    make_signing_key(tmp_path)
    assert public_key(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "provenance.key").stat().st_mode) == 0o600


def test_the_same_statement_is_signed_the_same(tmp_path: Path) -> None:
    make_signing_key(tmp_path)
    assert sign(STATEMENT, tmp_path) == sign(dict(reversed(STATEMENT.items())), tmp_path)


@pytest.fixture
def signed(tmp_path: Path) -> dict[str, Any]:
    make_signing_key(tmp_path)
    return sign(STATEMENT, tmp_path)


def test_what_was_signed_is_believed(signed: dict[str, Any], tmp_path: Path) -> None:
    finding = opened(signed, [public_key(tmp_path)])
    assert finding.fault is None
    assert finding.statement == STATEMENT
    assert finding.signed_by == public_key(tmp_path).name


def _payload(envelope: dict[str, Any], **changes: object) -> dict[str, Any]:
    said = json.loads(base64.b64decode(envelope["payload"])) | changes
    return envelope | {"payload": base64.b64encode(json.dumps(said).encode()).decode()}


def _signature(envelope: dict[str, Any], **changes: object) -> dict[str, Any]:
    return envelope | {"signatures": [envelope["signatures"][0] | changes]}


ALTERED: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "another subject": (
        lambda one: _payload(one, subject=[{"digest": {"sha256": "11"}}]),
        "changed after it was signed",
    ),
    "another predicate": (lambda one: _payload(one, predicate={"status": "green"}), "changed after it was signed"),
    "no signature": (lambda one: one | {"signatures": []}, "a key that is not trusted"),
    "another signature": (lambda one: _signature(one, sig=base64.b64encode(b"0" * 64).decode()), "changed after"),
    "another key's name": (lambda one: _signature(one, keyid="f" * 64), "a key that is not trusted"),
    "another type": (lambda one: one | {"payloadType": "text/plain"}, "no in-toto statement"),
    "no JSON": (lambda one: one | {"payload": base64.b64encode(b"{").decode()}, "no in-toto statement"),
    "no payload": (lambda one: {"signatures": one["signatures"]}, "no in-toto statement"),
    "signatures that are none": (lambda one: one | {"signatures": [{"sig": 7}]}, "no in-toto statement"),
}


@pytest.mark.parametrize("how", ALTERED)
def test_what_was_altered_is_not_believed(signed: dict[str, Any], tmp_path: Path, how: str) -> None:
    alter, fault = ALTERED[how]
    assert fault in (opened(alter(signed), [public_key(tmp_path)]).fault or "")


def test_another_installations_word_counts_only_with_its_key(signed: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    make_signing_key(tmp_path / "other")
    other = public_key(tmp_path / "other")
    assert "not trusted" in (opened(signed, [other]).fault or "")
    assert opened(signed, [other, public_key(tmp_path)]).fault is None
