"""The second net: what is known to be a secret, or has the shape of one, is masked wherever Honk says something."""

from __future__ import annotations

import base64
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from honk.masking import SHAPES, masked_value, masker
from tests.conftest import Honk

# In two parts, so that no scanner of this repository takes them for real ones.
EXAMPLES = {
    "Anthropic key": ("sk-ant-", "api03-" + "Ab3_-" * 12),
    "OpenAI key": ("sk-proj-", "Ab3_-" * 12),
    "OpenAI key, older": ("sk-", "a1B2c" * 4 + "T3BlbkFJ" + "a1B2c" * 4),
    "GitHub token": ("ghs_", "a1B2c3" * 6),
    "GitHub token, fine-grained": ("github_pat_", "11AAAAAAA0" * 8),
    "GitLab token": ("glpat-", "a1B2c3d4" * 3),
    "Slack token": ("xoxb-", "1234567890-1234567890-a1B2c3d4e5"),
    "Slack app token": ("xapp-", "1-A0123456789-1234567890-a1b2c3d4"),
    "Slack webhook": ("https://hooks.slack.com/", "services/T01234567/B01234567/a1B2c3d4e5f6"),
    "AWS access key": ("AKIA", "IOSFODNN7EXAMPLE"),
    "AWS secret key": ("aws_secret_access_key = ", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    "Google key": ("AIza", "a1B2c" * 7),
    "Stripe key": ("sk_live_", "a1B2c3" * 4),
    "SendGrid key": ("SG.", "a1B2c3d4e5f6a1B2c3d4e5." + "a" * 43),
    "npm token": ("npm_", "a1B2c3" * 6),
    "PyPI token": ("pypi-", "AgEIcHlwaS5vcmc" + "a1B2c" * 14),
    "Hugging Face token": ("hf_", "a1B2c3" * 6),
    "age key": ("AGE-SECRET-KEY-1", "A1B2C" * 12),
    "private key": ("-----BEGIN OPENSSH PRIVATE KEY-----", "\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB\n"),
    "JSON Web Token": ("eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlLW9mLWl0"),
    "password in an address": ("postgresql://honk:", "correct-horse"),
    "authorization header": ("Authorization: Bearer ", "a1B2c3d4e5f6a1B2c3d4e5f6"),
    "netrc": ("machine example.com login ada password ", "correct-horse"),
}
AFTER = {"password in an address": "@db/honk", "private key": "-----END OPENSSH PRIVATE KEY-----"}

SECRET = "model-key/with+odd=signs&more"
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7example" * 2 + "\n" + "Zm9v" * 16 + "\n-----END\n"


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_what_has_the_shape_is_masked_and_the_rest_is_left(shape: object) -> None:
    name = shape.name  # type: ignore[attr-defined]
    kept, hidden = EXAMPLES[name]
    after = AFTER.get(name, "")
    for before, behind in (("see ", " and more"), ('{"a": "', '"}'), ("line\\n", "\\nline"), ("", "")):
        told = masker()(f"{before}{kept}{hidden}{after}{behind}")
        assert told == f"{before}{_kept(name, kept)}•••{after}{behind}"


def _kept(name: str, kept: str) -> str:
    return {"OpenAI key": "sk-proj-"}.get(name, kept)


@pytest.mark.parametrize(
    "text",
    [
        "the commit 5934910c4f2f81ef045a91eeb728d9568a980cc41 of https://github.com/a/b/pull/1#issuecomment-12",
        "http://127.0.0.1:4665/?next=/tasks/a@b and http://[::1]:80/ and git@github.com:team/project.git",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 is empty",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "sk-learn, github_patience, xoxo-hugs, an authorization: none, the password is asked for, eyJust",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN PUBLIC KEY-----\nMIIB\n",
        "at 12:30:15 the tests (3 of 4) passed in 0.31s; ratio 1:2@3",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert masker(["correct-horse"])(text) == text


@pytest.mark.parametrize(
    ("how", "encoded"),
    [
        ("as it is", SECRET),
        ("backwards", SECRET[::-1]),
        ("in hexadecimal", SECRET.encode().hex()),
        ("in capital hexadecimal", SECRET.encode().hex().upper()),
        ("quoted for an address", quote(SECRET, safe="")),
        ("in base64", base64.b64encode(SECRET.encode()).decode()),
        ("in base64 of a longer text", base64.b64encode(f"x{SECRET}yz".encode()).decode()),
        ("in base64 of a text that is longer by one", base64.b64encode(f"xy{SECRET}z".encode()).decode()),
        ("in base64 for addresses", base64.urlsafe_b64encode(SECRET.encode()).decode()),
        ("a line of a key of many", PEM.splitlines()[1]),
        ("a key of many lines in quotes", PEM.replace("\n", "\\n")),
    ],
    ids=lambda value: value if " " in value and "\n" not in value and "BEGIN" not in value else "",
)
def test_a_known_secret_is_masked_however_it_was_encoded(how: str, encoded: str) -> None:
    told = masker([SECRET, PEM])(f"it says {encoded}, {how}")
    assert encoded[4:-4] not in told
    assert "•••" in told
    assert told.startswith("it says ")
    assert how in told


def test_every_text_in_a_value_is_masked() -> None:
    value = {"a": [SECRET, 1, None, {SECRET: (SECRET, True)}]}
    assert masked_value(masker([SECRET]), value) == {"a": ["•••", 1, None, {"•••": ["•••", True]}]}


def test_a_short_secret_takes_no_ordinary_words_with_it() -> None:
    assert masker(["", "a", "secret"])("a secret") == "a secret"


def test_the_database_password_and_a_key_of_many_lines_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    from honk.settings import read_settings

    monkeypatch.setenv("HONK_DATABASE_URL", "postgresql://honk:p%40ss-word-1@db/honk")
    monkeypatch.setenv("HONK_GITHUB_PRIVATE_KEY", PEM)
    known = read_settings().secrets
    assert {"p%40ss-word-1", "p@ss-word-1", PEM} <= set(known)


WHAT_IT_LOGS = """
import logging, threading
from honk.masking import guard_output, masker
logging.basicConfig(format="%(message)s")
guard_output(masker(["hunter2-hunter2"]))
other = logging.getLogger("other"); other.propagate = False; other.addHandler(logging.StreamHandler())
other.error("other says %s", "hunter2-hunter2")
logging.error("said %(key)s", {"key": "hunter2-hunter2"})
try: raise ValueError("wrong: hunter2-hunter2")
except ValueError: logging.exception("caught")
def die(): raise KeyError("hunter2-hunter2")
thread = threading.Thread(target=die); thread.start(); thread.join()
raise OSError("hunter2-hunter2")
"""


def test_what_a_process_logs_and_what_it_says_as_it_dies_is_masked() -> None:
    done = subprocess.run([sys.executable, "-c", WHAT_IT_LOGS], capture_output=True, text=True, check=False)
    assert "hunter2" not in done.stderr + done.stdout
    for told in ("other says •••", "said •••", "ValueError: wrong: •••", "KeyError: '•••'", "OSError: •••"):
        assert told in done.stderr
    assert done.stderr.count("Traceback") == 3


def test_an_error_at_the_shell_is_masked(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "honk",
            "run",
            "x",
            "--repo",
            "https://ada:hunter2-hunter2@127.0.0.1:9/x.git",
            "--agent",
            "script:true",
        ],
        env=os.environ | {"HONK_HOME": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "hunter2" not in done.stderr + done.stdout
    assert "ada:•••@127.0.0.1" in done.stderr


@pytest.mark.usefixtures("sandbox")
def test_a_token_that_a_failing_agent_prints_is_in_no_database(
    home: Path, make_repository: Callable[..., Path], honk: Honk
) -> None:
    repo = make_repository(
        {"fail.sh": "printf 'the token is ghp_%s\\n' 0123456789abcdefghijABCDEFGHIJ012345; exit 3\n"}
    )
    told = honk("run", "Fail", "--repo", str(repo), "--agent", "script:sh fail.sh", check=1)
    assert "the token is ghp_•••" in told.stderr
    kept = [cell for path in home.glob("*.db") for cell in _cells(path)]
    assert any(b"the token is ghp_" in cell for cell in kept)
    assert not [cell for cell in kept if b"ABCDEFGHIJ012345" in cell]


def _cells(path: Path) -> Iterator[bytes]:
    """Every text of a database, also what DBOS keeps in base64."""
    with sqlite3.connect(path) as database:
        tables = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        cells = [cell for table in tables for row in database.execute(f'select * from "{table}"') for cell in row]
    for cell in (cell for cell in cells if isinstance(cell, str)):
        yield cell.encode()
        with suppress(ValueError):
            yield base64.b64decode(cell, validate=True)
