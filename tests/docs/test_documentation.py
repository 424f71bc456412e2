"""What the documentation says is there, is there."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from honk.cli.commands import app
from honk.evals import Case, Truth, missed, read_cases, replay, untrue
from honk.repository_file import parse_repository_file
from honk.settings import Settings, read_settings
from honk.verify.tamper import guard_each

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_picture_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", text)
    missing = [
        link for pair in links for link in pair if link and "://" not in link and not (page.parent / link).exists()
    ]
    assert missing == []


def test_every_setting_is_described_and_every_description_is_a_setting() -> None:
    described = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))
    known = {"HONK_" + name.upper() for name in Settings.model_fields} - {
        "HONK_ANTHROPIC_API_KEY", "HONK_ANTHROPIC_BASE_URL",
    } | {"ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"}  # fmt: skip
    assert described == known


def test_the_example_of_honk_toml_is_read(home: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/settings.md").read_text(), re.DOTALL)
    home.mkdir(exist_ok=True)
    (home / "honk.toml").write_text(example)
    settings = read_settings()
    for name, value in tomllib.loads(example).items():
        assert getattr(settings, name) == value


def test_the_examples_about_installing_are_read_and_its_obstacles_are_those_that_are_told() -> None:
    text = (ROOT / "docs/installing.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    builds, merge = map(parse_repository_file, examples)
    assert builds.builds and set(builds.builds) == {"android", "ios"}
    assert merge.merge.require_trial
    (settings,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert set(tomllib.loads(settings)) <= set(Settings.model_fields)
    told = "".join(path.read_text() for path in (ROOT / "src/honk/ship/packages").glob("*obstacles.py"))
    for words in ("bundletool build-apks --mode=universal", "-sdk iphoneos", "assembleDebug"):
        assert words in text and words in told


def test_the_example_of_a_case_is_read_and_every_field_of_one_is_described(tmp_path: Path) -> None:
    text = (ROOT / "docs/evals.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (tmp_path / "case.json").write_text(example)
    (case,) = read_cases(tmp_path)
    (seen,) = replay([case], guard_each)
    assert missed(seen) == [] and untrue(seen) == []
    described = {name.removeprefix("truth.") for name in re.findall(r"^\| `([a-z.]+)` \|", text, re.MULTILINE)}
    assert described == (set(Case.model_fields) | set(Truth.model_fields)) - {"truth"}


@pytest.mark.parametrize(
    "page", ["README.md", "docs/setup-slack.md", "docs/setup-github.md", "docs/provenance.md", "docs/evals.md"]
)
def test_every_command_of_a_page_exists(page: str) -> None:
    lines = re.findall(r"^    (?:\w+=\S+ )*(?:\.venv/bin/)?honk (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        words = shlex.split(line.partition("  #")[0].partition(" < ")[0])
        command = words[:2] if words[0] in ("task", "setup", "provenance") else words[:1]
        shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert shown.exit_code == 0, line
        for option in [word for word in words if word.startswith("--")]:
            assert option in shown.output, f"{option} in: {line}"
