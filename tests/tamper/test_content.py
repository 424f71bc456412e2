"""What a file is, and secrets in it."""

from __future__ import annotations

import pytest

from honk.model import ChangedFile
from honk.verify.tamper import guard, guard_each
from tests.tamper.table import changed, kinds

RANDOM = "q7Rk2ZpX9vLm4TnB8sWd"
# Put together here, so that no scanner takes this file for one with secrets.
SECRETS = {
    "an AWS key": "AWS_KEY = '" + "AKIA" + "Q3EGRZ7XK5M2WJTN'",
    "a GitHub token": "token: " + "ghp_" + "q7Rk2ZpX9vLm4TnB8sWd1yHc6uJe3oFa5gIq",
    "an Anthropic key": "ANTHROPIC_API_KEY=" + "sk-ant-" + "api03-" + RANDOM * 2,
    "a Slack token": "SLACK = '" + "xoxb-" + "2345678901-3456789012-" + RANDOM + "'",
    "a Stripe key": "stripe.api_key = '" + "sk_live_" + RANDOM + "Q1w2'",
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEAx7Rk2ZpX9vLm4TnB8sWd1yHc6uJe3oFa5gIqKtVz",
    "a password in an address": "DATABASE = 'postgres://app:" + "x9vLm4Tn@db/a'",
    "a password by its name": "password = 'kT9" + "!vLm4Tn#Qz'",
    "a token by its name": 'const apiToken = "' + RANDOM + '";',
    "a JSON web token": "jwt = '" + "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiJhZGEifQ." + RANDOM * 2 + "'",
}
HARMLESS = [
    "password = os.environ['PASSWORD']",
    "password = 'password'",
    "password = 'changeme'",
    "API_KEY=your-api-key-here",
    "token = get_token('billing-service')",
    "secret_name = 'projects/billing/secrets/database-password'",
    "PASSWORD: ${{ secrets.DATABASE_PASSWORD }}",
    "integrity sha512-" + RANDOM * 4 + "==",
    "commit = 'da39a3ee5e6b4b0d3255bfef95601890afd80709'",
    "token_type = 'Bearer'",
    "passwordField.placeholder = 'At least 12 characters'",
    "AWS_KEY = '" + "AKIA" + "IOSFODNN7EXAMPLE'",
    "const uuid = '123e4567-e89b-12d3-a456-426614174000'",
    "url = 'https://user:password@example.com/'",
]


def test_secrets_are_found_and_never_told():
    findings = guard_each([[changed("src/settings.py", "a = 1\n", f"a = 1\n{text}\n")] for text in SECRETS.values()])

    for (name, text), found in zip(SECRETS.items(), findings, strict=True):
        assert [one.kind for one in found if one.severity == "serious"] == ["secret-committed"], name
        assert found[0].line == 2, name
        secret = (
            "x9vLm4Tn"
            if "://" in text
            else max(text.replace("'", " ").replace('"', " ").replace("@", " ").replace(":", " ").split(), key=len)
        )
        assert secret not in found[0].evidence + found[0].message, name


def test_what_only_looks_like_a_secret_is_none():
    findings = guard_each([[changed("src/settings.py", "a = 1\n", f"a = 1\n{text}\n")] for text in HARMLESS])

    assert {text: kinds(found) for text, found in zip(HARMLESS, findings, strict=True) if kinds(found)} == {}


def test_a_secret_that_was_there_before_is_not_committed_again():
    line = SECRETS["a GitHub token"] + "\n"

    assert kinds(guard([changed("src/settings.py", line, "a = 1\n" + line)])) == set()


def test_a_secret_in_a_test_is_told_more_softly():
    (finding,) = guard([changed("tests/test_login.py", None, SECRETS["a GitHub token"] + "\n")])

    assert (finding.kind, finding.severity) == ("secret-committed", "warning")


CONTENT: dict[str, tuple[ChangedFile, set[str]]] = {
    "a merge marker": (
        changed("a.py", "a = 1\n", "<<<<<<< HEAD\na = 1\n=======\na = 2\n>>>>>>> main\n"),
        {"merge-marker"},
    ),
    "a heading": (changed("README.rst", "", "Honk\n=======\n\nText\n"), set()),
    "a huge file": (changed("data.csv", None, "1,2,3\n" * 400_000), {"huge-file"}),
    "a program": (changed("tool", None, b"\x7fELF\x02\x01\x01" + b"\0" * 50), {"binary-file"}),
    "an archive": (changed("lib.zip", None, b"PK\x03\x04" + b"\0" * 50), {"binary-file"}),
    "a picture": (changed("logo.png", None, b"\x89PNG\r\n\x1a\n" + b"\0" * 50), set()),
    "something unknown": (changed("blob.dat", None, b"\1\2\0\3" * 50), {"binary-file"}),
    "compiled Python": (
        changed("src/__pycache__/a.pyc", None, b"\xa7\r\r\n" + b"\0" * 50),
        {"binary-file", "generated-file"},
    ),
    "a package of Node": (
        changed("node_modules/left-pad/index.js", None, "x\n"),
        {"generated-file", "checks-changed"},
    ),
    "a package of Node that tests read": (
        changed("tests/fixtures/node_modules/a/index.js", None, "x\n"),
        {"generated-file"},
    ),
    "a test runner of one's own": (changed("pytest.py", None, "print('1 passed')\n"), {"checks-changed"}),
    "a test runner by a link": (ChangedFile("unittest", None, b"lib/runner", None, "120000"), {"checks-changed"}),
    "a test runner by another name": (changed("mypy/__main__.py", "a = 1\n", "a = 1\n", "a.py"), {"checks-changed"}),
    "a module of Python's own": (changed("argparse.py", None, "a = 1\n"), {"checks-changed"}),
    "a folder of unit tests": (changed("tests/unittest/__init__.py", None, ""), set()),
    "a module within a package": (changed("src/app/types.py", None, "a = 1\n"), set()),
    "a wrapper that wraps nothing": (
        changed("gradlew", "#!/bin/sh\nexec java -jar gradle/wrapper/gradle-wrapper.jar\n", "#!/bin/sh\nexit 0\n"),
        {"checks-changed"},
    ),
    "a shell for scripts": (changed(".npmrc", "a=1\n", "a=1\nscript-shell=./quiet.sh\n"), {"checks-changed"}),
    "a runner of cargo's": (
        changed(".cargo/config.toml", None, "[target.'cfg(all())']\nrunner = 'true'\n"),
        {"checks-changed"},
    ),
    "another linker": (changed(".cargo/config.toml", None, "[target.x]\nlinker = 'lld'\n"), set()),
    "a Go test that runs none": (
        changed("main_test.go", None, "package a\n\nfunc TestMain(m *testing.M) {\n\tos.Exit(0)\n}\n"),
        {"checks-changed"},
    ),
    "a Go test that runs all but in a child": (
        changed(
            "main_test.go",
            None,
            "package a\n\nfunc TestMain(m *testing.M) {\n\tif child() {\n\t\tos.Exit(0)\n\t}\n\tos.Exit(m.Run())\n}\n",
        ),
        set(),
    ),
    "a registry for packages": (changed(".npmrc", None, "registry=https://npm.example.com/\n"), {"checks-changed"}),
    "a minified script": (changed("static/app.min.js", None, "var a=1\n"), {"generated-file"}),
    "a lock file": (changed("package-lock.json", None, '{"a": 1}\n' * 200_000), set()),
    "generated code, by hand": (
        changed("api.pb.go", *(f"// Code generated by protoc. DO NOT EDIT.\npackage a\nvar A = {n}\n" for n in (1, 2))),
        {"generated-file"},
    ),
    "executable text": (ChangedFile("notes.txt", b"a", b"a", "100644", "100755"), {"file-mode-changed"}),
    "an executable script": (ChangedFile("run.sh", b"#!/bin/sh\n", b"#!/bin/sh\n", "100644", "100755"), set()),
    "a script that is executable no longer": (
        ChangedFile("run.sh", b"#!/bin/sh\n", b"#!/bin/sh\n", "100755", "100644"),
        {"file-mode-changed"},
    ),
    "a link within": (ChangedFile("docs/latest", None, b"v2/guide", None, "120000"), set()),
    "a link to the outside": (ChangedFile("docs/x", None, b"../../../etc", None, "120000"), {"file-mode-changed"}),
}


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    looked = guard_each([[file] for file, _ in CONTENT.values()])
    return {name: kinds(findings) for name, findings in zip(CONTENT, looked, strict=True)}


@pytest.mark.parametrize("name", CONTENT)
def test_the_guard_sees_what_a_file_is(name, found):
    assert found[name] == CONTENT[name][1]
