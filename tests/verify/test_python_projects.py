"""What is run for Python projects, told from what lies in them, without running anything."""

from __future__ import annotations

import pytest

from tests.verify.checkouts import commands, left_out, plan_of

TEST = {"tests/test_sum.py": "def test_sum():\n    assert 1 + 1 == 2\n"}
PYTEST = "python3 -m pytest -q --junitxml=.honk/pytest.xml"


def test_tools_that_are_configured_run_and_others_do_not() -> None:
    pyproject = "[tool.ruff.format]\n[tool.mypy]\n[tool.pyright]\n[tool.pytest.ini_options]\n"
    assert commands(plan_of({"pyproject.toml": pyproject})) == {
        "ruff format": "ruff format --check .",
        "ruff": "ruff check --output-format=concise .",
        "mypy": "python3 -m mypy --no-color-output .",
        "pyright": "pyright",
        "pytest": PYTEST,
    }
    assert commands(plan_of(TEST)) == {"pytest": PYTEST}


@pytest.mark.parametrize(
    "pyproject",
    [
        '[dependency-groups]\ndev = ["black", "ruff>=0.5"]\n',
        '[project]\nname = "a"\n[project.optional-dependencies]\ndev = ["black==24.1", "ruff"]\n',
        '[tool.poetry.group.dev.dependencies]\nblack = "*"\nruff = "^0.5"\n',
        '[tool.uv]\ndev-dependencies = ["ruff", "black"]\n',
    ],
)
def test_tools_that_are_among_the_development_tools_run(pyproject: str) -> None:
    plan = plan_of({"pyproject.toml": pyproject})
    assert list(commands(plan)) == ["black", "ruff"]
    assert plan.verifiers[0].why == "black is among the development tools"


def test_of_two_formatters_that_would_disagree_one_runs() -> None:
    plan = plan_of({"pyproject.toml": "[tool.black]\n[tool.ruff.format]\n"})
    assert list(commands(plan)) == ["ruff format", "ruff"]
    assert left_out(plan) == {"black": "ruff format is configured, and two formatters would disagree"}


def test_mypy_checks_what_its_configuration_names() -> None:
    for files in ({"mypy.ini": "[mypy]\nfiles = a\n"}, {"setup.cfg": "[mypy]\npackages = a\n[flake8]\n"}):
        assert commands(plan_of({"setup.py": "", **files})) == {"mypy": "python3 -m mypy --no-color-output"}
    assert commands(plan_of({"setup.py": "", "setup.cfg": "[flake8]\nfiles = a\n"})) == {}


def test_an_environment_is_made_from_the_lock_file_of_uv() -> None:
    files = {
        "pyproject.toml": '[project]\nname = "a"\n[dependency-groups]\ndev = []\ntest = []\n',
        "uv.lock": "",
        **TEST,
    }
    plan = plan_of(files)
    (step,) = plan.set_up
    assert step.command == (
        "UV_PROJECT_ENVIRONMENT=$HOME/.honk-env UV_PYTHON_DOWNLOADS=never uv sync --frozen --quiet "
        "--group dev --group test && uv pip install --quiet --python $HOME/.honk-env/bin/python pytest"
    )
    assert step.path == "$HOME/.honk-env/bin"
    locked = plan_of(files | {"uv.lock": '[[package]]\nname = "pytest"\n'})
    assert "pip install" not in locked.set_up[0].command
    assert (
        "pip install -q --disable-pip-version-check --retries 1 uv"
        in plan_of(files, programs=["python3"]).set_up[0].command
    )


def test_an_environment_is_made_from_the_lock_file_of_poetry() -> None:
    pyproject = '[tool.poetry]\nname = "a"\n[tool.poetry.group.test]\noptional = true\n'
    (step,) = plan_of({"pyproject.toml": pyproject, "poetry.lock": 'name = "pytest"\n', **TEST}).set_up
    assert step.command == (
        "python3 -m venv $HOME/.honk-env && VIRTUAL_ENV=$HOME/.honk-env PATH=$HOME/.honk-env/bin:$PATH "
        "poetry install --no-interaction --with test"
    )


def test_extras_and_groups_that_name_a_tool_are_installed_for_its_version() -> None:
    pyproject = (
        '[project]\nname = "a"\n[project.optional-dependencies]\nlint = ["ruff==0.6"]\ndocs = ["sphinx"]\n'
        '[dependency-groups]\ntypes = ["mypy==1.1"]\nrelease = ["twine"]\n[tool.mypy]\n'
    )
    (step,) = plan_of({"pyproject.toml": pyproject}, programs=["python3", "ruff", "mypy"]).set_up
    assert step.command.endswith("--retries 1 -e '.[lint]' --group types")
    (step,) = plan_of({"pyproject.toml": pyproject, "uv.lock": 'name = "ruff"\nname = "mypy"\n'}).set_up
    assert step.command.endswith("uv sync --frozen --quiet --extra lint --group types")


def test_an_environment_is_made_with_pip_where_something_is_missing_or_declared() -> None:
    assert not plan_of(TEST).set_up
    (missing,) = plan_of(TEST, programs=["python3"]).set_up
    assert missing.command.endswith("--retries 1 pytest")
    (declared,) = plan_of({"requirements.txt": "flask\n", "dev-requirements.txt": "pytest\n", **TEST}).set_up
    assert declared.command.endswith("--retries 1 -r requirements.txt -r dev-requirements.txt")


def test_what_tox_installs_for_the_tests_is_there_for_pytest_which_runs_instead_of_it() -> None:
    needed = "pytest\n    responses>=0.2\n    py27: mock\n    -r{toxinidir}/x.txt"
    tox = f"[tox]\nenvlist = py311,py312\n[testenv]\ndeps =\n    {needed}\n"
    plan = plan_of({"setup.py": "", "tox.ini": tox, **TEST})
    assert commands(plan) == {"pytest": PYTEST}
    assert plan.set_up[0].command.endswith("-e . pytest 'responses>=0.2'")
    assert left_out(plan) == {"tox": "pytest runs the same tests, without an environment of its own"}


def test_tox_or_nox_run_the_tests_that_nothing_else_is_known_to_run() -> None:
    tox = {"setup.py": "", "tox.ini": "[testenv]\ncommands = python -m trial a\n"}
    assert commands(plan_of(tox)) == {"tox": "tox run -e py"}
    nox = "import nox\n@nox.session(name='unit')\ndef tests(session): ...\n@nox.session\ndef docs(session): ...\n"
    assert commands(plan_of({"noxfile.py": nox})) == {"nox": "nox --non-interactive --session unit"}
    both = plan_of({**tox, "noxfile.py": nox})
    assert (list(commands(both)), left_out(both)) == (["tox"], {"nox": "tox runs them"})


def test_djangos_tests_and_unittests() -> None:
    assert commands(plan_of({"manage.py": "import django"})) == {"django test": "python3 manage.py test"}
    plan = plan_of({"api/pyproject.toml": "", "api/tests/test_a.py": "from unittest import TestCase\n"})
    assert commands(plan) == {"unittest (api)": "api$ python3 -m unittest discover -s tests -p 'test*.py'"}


def test_members_of_a_uv_workspace_share_one_environment() -> None:
    files = {
        "pyproject.toml": '[project]\nname = "root"\n[tool.ruff]\n[tool.uv.workspace]\n'
        'members = ["packages/*"]\nexclude = ["packages/old"]\n',
        "uv.lock": 'name = "pytest"\nname = "ruff"\n',
        "packages/core/pyproject.toml": '[project]\nname = "my-core"\n[tool.pytest.ini_options]\n',
        "packages/app/pyproject.toml": '[project]\nname = "app"\n[tool.pytest.ini_options]\n'
        "[tool.uv.sources]\nmy-core = {workspace = true}\n",
        "packages/other/pyproject.toml": '[project]\nname = "other"\n[tool.pytest.ini_options]\n',
        "packages/old/pyproject.toml": '[project]\nname = "old"\n',
    }
    plan = plan_of(files)
    assert list(commands(plan)) == [
        "ruff",
        "pytest (packages/app)",
        "pytest (packages/core)",
        "pytest (packages/other)",
    ]
    assert len(plan.set_up) == 1
    assert "--all-packages" in plan.set_up[0].command
    changed = plan_of(files, changed=["packages/core/core.py"])
    assert list(commands(changed)) == ["ruff", "pytest (packages/app)", "pytest (packages/core)"]
    why = {one.name: one.why for one in changed.verifiers}
    assert why["pytest (packages/core)"].endswith(", and the change touches it")
    assert why["pytest (packages/app)"].endswith(", and it uses packages/core, which the change touches")


def test_projects_of_their_own_have_environments_of_their_own_and_are_found_by_path() -> None:
    files = {
        "lib/pyproject.toml": '[project]\nname = "lib"\ndependencies = ["six"]\n[tool.pytest.ini_options]\n',
        "app/pyproject.toml": '[tool.poetry]\nname = "app"\n[tool.poetry.dependencies]\nlib = {path = "../lib"}\n'
        "[tool.pytest.ini_options]\n",
        "app/poetry.lock": "",
        "docs/requirements.txt": "sphinx\n",
    }
    plan = plan_of(files)
    assert {step.directory: step.path for step in plan.set_up} == {
        "app": "$HOME/.honk-env-app/bin",
        "lib": "$HOME/.honk-env-lib/bin",
    }
    assert list(commands(plan_of(files, changed=["lib/a.py"]))) == ["pytest (app)", "pytest (lib)"]
    only = plan_of(files, changed=["app/a.py"])
    assert list(commands(only)) == ["pytest (app)"]
    assert only.untouched == ["Python in lib"]


def test_a_project_around_others_leaves_their_tests_to_them() -> None:
    files = {
        "pyproject.toml": "[tool.pytest.ini_options]\n",
        "tools/gen/pyproject.toml": "[tool.pytest.ini_options]\n",
        "tools/gen/test_gen.py": "def test_gen(): ...\n",
        **TEST,
    }
    assert commands(plan_of(files))["pytest"] == f"{PYTEST} --ignore=tools/gen"
    named = files | {"pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["tests"]\n'}
    assert commands(plan_of(named))["pytest"] == PYTEST


def test_projects_in_examples_and_fixtures_are_not_checked() -> None:
    for place in ("examples/hello", "tests/fixtures/broken", "vendor/lib", "{{cookiecutter.name}}"):
        assert commands(plan_of({f"{place}/pyproject.toml": "[tool.ruff]\n[tool.pytest.ini_options]\n"})) == {}


def test_a_report_is_not_asked_for_where_it_is_switched_off() -> None:
    plan = plan_of({"pytest.ini": "[pytest]\naddopts = -p no:junitxml\n", **TEST})
    assert commands(plan) == {"pytest": "python3 -m pytest -q"}


HOOKS = """\
repos:
- repo: https://github.com/astral-sh/ruff-pre-commit
  rev: v0.6.9
  hooks: [{id: ruff}, {id: ruff-format}]
- repo: https://github.com/pre-commit/pre-commit-hooks
  rev: v4.6.0
  hooks: [{id: end-of-file-fixer}]
"""


def test_hooks_that_cannot_be_fetched_leave_their_tools_to_be_run_in_the_same_version() -> None:
    files = {".pre-commit-config.yaml": HOOKS, "pyproject.toml": "[tool.mypy]\n"}
    plan = plan_of(files, programs=["python3", "mypy"])
    assert list(commands(plan)) == ["ruff format", "ruff", "mypy"]
    assert plan.set_up[0].command.endswith("--retries 1 ruff==0.6.9")
    assert left_out(plan) == {
        "pre-commit": "its hooks come from github.com, which is not in `egress` of honk.yaml; "
        "ruff, ruff format, mypy run without it"
    }


def test_hooks_that_can_be_fetched_run_instead_of_the_tools_that_they_run() -> None:
    files = {".pre-commit-config.yaml": HOOKS, "pyproject.toml": "[tool.mypy]\n[tool.ruff]\n", **TEST}
    for plan in (
        plan_of(files, programs=["python3", "pre-commit", "mypy", "pytest"], egress=["github.com:443"]),
        plan_of({**files, "honk.yaml": "egress: ['github.com']"}, programs=["python3", "pre-commit", "mypy", "pytest"]),
    ):
        assert list(commands(plan)) == ["pre-commit", "mypy", "pytest"]
        assert "pre-commit run --all-files" in commands(plan)["pre-commit"]
        assert plan.set_up[-1].command == "pre-commit install-hooks"
        assert left_out(plan) == {"ruff": "pre-commit runs it", "ruff format": "pre-commit runs it"}


def test_hooks_that_come_with_the_repository_need_nothing_fetched() -> None:
    local = "repos: [{repo: local, hooks: [{id: ruff, name: ruff, entry: ruff check, language: system}]}]\n"
    plan = plan_of({".pre-commit-config.yaml": local}, programs=["pre-commit", "ruff"])
    assert (list(commands(plan)), plan.set_up) == (["pre-commit"], [])


def test_what_cannot_be_read_is_no_obstacle() -> None:
    files = {
        "pyproject.toml": "[tool",
        "package.json": "[" * 100_000,
        ".pre-commit-config.yaml": "{" * 2_000,
        "noxfile.py": "def",
        "tox.ini": "x",
        "pom.xml": "<project>&a;",
        "Cargo.toml": "= =",
        **TEST,
    }
    assert "pytest" in commands(plan_of(files))


MYPY = "python3 -m mypy --no-color-output"


@pytest.mark.parametrize(
    ("files", "name", "command", "where"),
    [
        ({"Makefile": "lint:\n\tuv run --group dev ruff check src/\n"}, "ruff", "src/", "Makefile"),
        ({"tox.ini": "[testenv:lint]\ncommands =\n    ruff check {posargs:src}\n"}, "ruff", "src", "tox.ini"),
        ({"scripts/check": 'export F="src tests"\nuv run ruff check --fix $F\n'}, "ruff", "src tests", "scripts/check"),
        (
            {".github/workflows/ci.yml": "jobs: {a: {steps: [{name: ruff, run: ruff check --fix src}]}}"},
            "ruff",
            "src",
            ".github/workflows/ci.yml",
        ),
        (
            {"noxfile.py": 'def lint(session):\n    session.run("mypy", "--strict", "src")\n'},
            "mypy",
            "--strict src",
            "noxfile.py",
        ),
        ({"tox.ini": "[testenv]\ncommands =\n    types: {envpython} -m mypy -p a\n"}, "mypy", "-p a", "tox.ini"),
    ],
)
def test_a_tool_checks_what_the_project_itself_checks_with_it(
    files: dict[str, str], name: str, command: str, where: str
) -> None:
    plan = plan_of({"pyproject.toml": "[tool.ruff]\n[tool.mypy]\n", "src/a.py": "", **TEST, **files})
    check = next(one for one in plan.verifiers if one.name == name)
    assert check.command == f"{'ruff check --output-format=concise' if name == 'ruff' else MYPY} {command}"
    assert check.why == f"{name} is configured, and {where} says on what"


def test_several_calls_of_a_tool_are_one_check() -> None:
    tasks = '[tool.hatch.envs.types.scripts]\ncheck = ["mypy src", "mypy {args:tests}"]\n'
    plan = plan_of({"pyproject.toml": f"[tool.mypy]\n{tasks}", "src/a.py": "", **TEST})
    assert commands(plan)["mypy"] == f"{MYPY} src && {MYPY} tests"


@pytest.mark.parametrize(
    "line",
    [
        "ruff check $(git diff --name-only)",
        "ruff check gone/",
        "ruff --version",
        "pip install ruff",
        "ruff check src > a",
    ],
)
def test_a_call_that_cannot_be_taken_over_is_not(line: str) -> None:
    plan = plan_of({"pyproject.toml": "[tool.ruff]\n", "src/a.py": "", "Makefile": f"lint:\n\t{line}\n"})
    assert commands(plan)["ruff"] == "ruff check --output-format=concise ."


def test_a_type_checker_that_is_only_configured_stands_back_for_one_that_is_used() -> None:
    tox = '[tool.tox.env.typing]\ncommands = [["mypy", "src"]]\n'
    plan = plan_of({"pyproject.toml": f"[tool.mypy]\n[tool.pyright]\n{tox}", "src/a.py": ""})
    assert "mypy" in commands(plan)
    assert left_out(plan)["pyright"] == "pyproject.toml runs mypy and not pyright"


def test_tools_check_the_files_that_pre_commit_gives_them() -> None:
    hooks = (
        "repos:\n- repo: https://github.com/pre-commit/mirrors-mypy\n  rev: v1.11.0\n  hooks:\n"
        "  - id: mypy\n    files: ^(src|testing)/\n    additional_dependencies: [types-PyYAML, './local']\n"
    )
    plan = plan_of(
        {"pyproject.toml": "[tool.mypy]\n", "src/a.py": "", ".pre-commit-config.yaml": hooks}, programs=["python3"]
    )
    line = commands(plan)["mypy"]
    assert line.startswith("git ls-files -z -- '*.py' '*.pyi' | grep -zP -- '^(src|testing)/' | xargs -0 -r ")
    assert line.endswith(f"{MYPY} --ignore-missing-imports --scripts-are-modules")
    assert plan.set_up[0].command.endswith(" mypy==1.11.0 types-PyYAML")


def test_a_tool_that_the_lock_file_names_for_another_group_is_installed_in_its_version() -> None:
    files = {
        "pyproject.toml": '[project]\nname = "a"\n[dependency-groups]\nplugins = ["mypy-plugins"]\n[tool.mypy]\n',
        "uv.lock": '[[package]]\nname = "mypy"\nversion = "1.11.0"\n',
    }
    (step,) = plan_of(files).set_up
    assert step.command.endswith("uv pip install --quiet --python $HOME/.honk-env/bin/python mypy==1.11.0")
