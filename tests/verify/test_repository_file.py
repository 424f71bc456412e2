"""honk.yaml: what it can say, and the sentence for what it cannot."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

import honk
from honk.repository_file import RepositoryFileError, json_schema, parse_repository_file

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/honk-yaml.md").read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("setpu: x", "line 1: the key `setpu` is not known; did you mean `setup`?"),
        ("builds:\n  web:\n    run: make\n    outptu: x\n", "line 4: the key `builds.web.outptu` is not known"),
        ("builds:\n  web: {run: make}\n", "line 2: the key `builds.web.output` is missing"),
        ("setup: [1]", "line 1: `setup` must be text"),
        ("verify:\n  test: 3\n", "line 2: `verify.test` must"),
        ("setup: a\nsetup: b\n", "line 2: the key `setup` is there twice"),
        ("a:\n\tb: 1\n", "line 2: this is not YAML"),
        ("- a\n", "line 1: must be keys and values"),
        ("deploy:\n  run: x\n  health: {url: here, for: 5s}\n", "line 3: `deploy.health.url` must begin with http"),
        ("deploy: {run: x, health: {url: 'http://x', for: soon}}", "must be a duration such as 60s, 2m or 1h"),
        ("merge:\n  method: octopus\n", "line 2: `merge.method` must be 'squash', 'merge' or 'rebase'"),
        ("merge:\n  approvals: -1\n", "line 2: `merge.approvals` must be greater than or equal to 0"),
        ("judge: strict", "line 1: `judge` must be 'off', 'advise' or 'veto'"),
        ("judge:\n  mode: veto\n  threshhold: 1\n", "line 3: the key `judge.threshhold` is not known; did you mean `"),
        ("judge: {threshold: 7}", "line 1: `judge.threshold` must be less than or equal to 1"),
        ("judge: {threshold: true}", "line 1: `judge.threshold` must be a number"),
        ('verify: {test: "echo \\0"}', "line 1: `verify.test` must be a shell line, and no shell takes"),
        ("judge: {rounds: many}", "line 1: `judge.rounds` must be a whole number"),
        ("tamper: protect", "line 1: `tamper` must be keys and values, such as `test-deleted: show`"),
        ("tamper:\n  test-deleted: never\n", "line 2: `tamper.test-deleted` must be 'protect', 'show' or 'allow'"),
        ("tamper: {Tests: show}", "line 1: `tamper.Tests` must be a kind of finding, such as `test-deleted`"),
        ("tamper: {lint-silenced: show}", "`tamper.lint-silenced` must be a kind of finding, such as `linter-s"),
        ("setup: ' '\n", "line 1: `setup` must be a shell line, not blank"),
        ("verify:\n  test:\n    run: ''\n", "line 3: `verify.test.run` must be a shell line, not blank"),
        ("verify: npm test\n", "line 1: `verify` must be keys and values, such as `test: npm test`"),
        ("builds:\n  web: npm run build\n", "line 2: `builds.web` must be keys and values"),
        ("verify:\n  a:\n    run: x\n    directory: ../..\n", "line 4: `verify.a.directory` must be a path below"),
        ("builds:\n  web: {run: x, output: /etc}\n", "line 2: `builds.web.output` must be a path below"),
        ("builds:\n  ../up: {run: x, output: y}\n", "line 2: `builds.../up` must be a name of letters"),
        ("verify: {\"a\\nb\": x}\n", "line 1: `verify.a\\nb` must be a name of one line"),
        ("verify:\n  a: {run: x, timeout: 0}\n", "line 2: `verify.a.timeout` must be longer than 0"),
        ("deploy: {run: x, health: {url: 'http://x', every: 0s}}", "`deploy.health.every` must be longer than 0"),
        ("deploy: {service: {run: x, port: 3000}}", "`deploy` must name `listen`, such as `127.0.0.1:8080`"),
        ("deploy: {service: npm start}", "`deploy.service` must be keys and values, such as `run: npm start`"),
        ("deploy: {service: {run: x, prot: 3000}}", "`deploy.service.prot` is not known; did you mean `port`?"),
        ("deploy: {run: x, url: 'javascript:alert(1)'}", "`deploy.url` must begin with http:// or https://"),
        ("sandbox: {imge: x}", "line 1: the key `sandbox.imge` is not known; did you mean `image`?"),
        ("egress:\n  - a.example\n  - https://b.example\n", "line 3: `egress.1` must be `host`, `host:port` or"),
        ("egress: ['a.example:99999']", "line 1: `egress.0` must be `host`, `host:port` or"),
        ("egress: a.example", "line 1: `egress` must be a list"),
        ("protect:\n  - '!'\n", "line 2: `protect.0` must be a pattern as in .gitignore"),
        ("max_cost_usd: .inf", "line 1: `max_cost_usd` must be a finite number"),
        ("setup: x\nfoo: 1\nmerge: {bar: 1}\n", "line 2: the key `foo` is not known; possible are setup"),
        ("setup: a\nverify:\n  lint: 'x\ufffd'\n", "line 3: is not UTF-8"),
        ("setup: a\nverify: {b: 'x\x07'}\n", "line 2: holds the control character U+0007"),
        ("builds:\n  web:\n    run: x\n   output: y\n", "line 4: this is not YAML; check the indentation"),
        ("setup: echo a: b\n", "line 1: this is not YAML; check the indentation, and quote"),
        ("setup: a\n---\nsetup: b\n", "line 2: this is not YAML; keep one document"),
        ("setup: " + "[" * 20_000, "nested too deep"),
        ("a: &a\n  b: *a\n", "the key `a` is not known"),
        ("x: " + "y" * 70_000, "larger than 64 kB"),
        ("a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
         "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n", "expands to more than it may"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_with_line_and_key(text: str, sentence: str) -> None:
    with pytest.raises(RepositoryFileError) as told:
        parse_repository_file(text)
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)


def test_an_empty_file_says_nothing() -> None:
    assert parse_repository_file("") == parse_repository_file("# only a comment\n")
    assert parse_repository_file("").verify is None


def test_the_short_form_of_judge_is_its_mode() -> None:
    file = parse_repository_file("judge: veto\ntamper: {linter-silenced: protect, test-deleted: allow}\n")
    assert (file.judging.mode, file.judging.threshold, file.judging.rounds) == ("veto", 0.5, 2)
    assert file.tamper == {"linter-silenced": "protect", "test-deleted": "allow"}
    assert parse_repository_file("judge: {threshold: 0.7}").judging.mode is None


def test_durations_are_seconds() -> None:
    for written, seconds in (("90s", 90), ("2m", 120), ("1h", 3600), ("15", 15), ("250ms", 0.25)):
        file = parse_repository_file(f"deploy: {{run: x, health: {{url: 'http://x', for: {written}}}}}")
        assert file.deploy is not None
        assert file.deploy.health is not None
        assert file.deploy.health.seconds == seconds


@pytest.mark.parametrize(
    ("watched", "path"),
    [
        ("health: {url: 'http://127.0.0.1:8080/up?deep=1'}", "/up?deep=1"),
        ("health: {url: 'http://127.0.0.1:8080'}", "/"),
        ("health: {url: 'https://a.example/up'}, url: 'https://a.example/shop/'", "/up"),
        ("health: {url: 'https://status.example/a'}, url: 'https://a.example/'", None),
        ("health: {run: ./smoke.sh}", None),
    ],
)
def test_a_service_has_to_answer_where_its_health_is_asked_if_that_is_its_own_address(
    watched: str, path: str | None
) -> None:
    file = parse_repository_file(f"deploy: {{service: {{run: x, port: 3000}}, listen: '0.0.0.0:8080', {watched}}}")
    assert file.deploy is not None
    assert file.deploy.answers == path


def test_the_published_schema_is_the_parsers_own() -> None:
    published = json.loads((Path(honk.__file__).parent / "honk.schema.json").read_text())
    assert published == json_schema()


@pytest.mark.parametrize(
    "text",
    [
        "setup: ' '", "verify: [a]", "verify: {a: {run: x, timeout: 0}}", "verify: {a: {run: x, directory: ../b}}",
        "builds: {web: {run: x, output: /etc}}", "builds: {../up: {run: x, output: y}}", "egress: ['https://a.example']",
        "deploy: {run: x, url: here}", "merge: {method: octopus}", "merge: {aprovals: 1}", "max_turns: 0", "protect: a",
        "judge: strict", "judge: {threshold: 2}", "judge: {mood: veto}", "tamper: {Tests: show}",
        "tamper: {test-deleted: no}",
    ],
)  # fmt: skip
def test_an_editor_with_the_schema_refuses_what_honk_refuses(text: str) -> None:
    with pytest.raises(RepositoryFileError):
        parse_repository_file(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(YAML(typ="safe").load(text), json_schema())


def test_what_is_meant_is_kept() -> None:
    file = parse_repository_file(
        "verify: {1: x, 'unit tests': {run: y, directory: a/b}}\n"
        "egress: ['*.example.com:8443', '[::1]:80', localhost]\nprotect: ['!kept', '/a/**']\n"
        "builds: {ios: {run: a, output: 'b/*.ipa', on: macos}}\n"
    )
    assert list(file.verify or {}) == ["1", "unit tests"]
    assert file.egress == ["*.example.com:8443", "[::1]:80", "localhost"]
    assert file.builds["ios"].on == "macos"
    assert parse_repository_file("verify: {}").verify == {}


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_of_the_documentation_is_read_and_fits_the_schema(text: str) -> None:
    parse_repository_file(text)
    jsonschema.validate(YAML(typ="safe").load(text), json_schema())


def test_the_examples_cover_every_key() -> None:
    assert all(re.search(rf"^{key}:", "\n".join(EXAMPLES), re.MULTILINE) for key in json_schema()["properties"])
