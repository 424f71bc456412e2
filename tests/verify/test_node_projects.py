"""What is run for Node packages, told from what lies in them, without running anything."""

from __future__ import annotations

import pytest

from tests.verify.checkouts import commands, left_out, plan_of


def test_scripts_run_by_their_usual_names() -> None:
    scripts = {
        "prettier": "prettier --check .",
        "lint": "eslint .",
        "typecheck": "tsc --noEmit",
        "build": "vite build",
        "test": "vitest",
        "start": "node .",
    }
    plan = plan_of({"package.json": {"scripts": scripts}, "package-lock.json": ""})
    assert commands(plan) == {
        "npm format": "npm run prettier",
        "npm lint": "npm run lint",
        "npm types": "npm run typecheck",
        "npm build": "npm run build",
        "npm test": "npm run test",
    }
    assert plan.set_up == []
    assert {one.name: one.after for one in plan.verifiers}["npm test"] == ("npm build",)


def test_scripts_that_change_files_or_wait_for_changes_are_no_checks() -> None:
    scripts = {"format": "prettier --write .", "test": "jest --watch", "lint": "eslint . --watch"}
    assert commands(plan_of({"package.json": {"scripts": scripts}})) == {}
    once = {"test": "jest --watch", "test:ci": "jest --watchAll=false"}
    assert commands(plan_of({"package.json": {"scripts": once}})) == {"npm test": "npm run test:ci"}


def test_tools_that_are_configured_run_where_there_is_no_script_for_it() -> None:
    tools = {"eslint": "9", "prettier": "3", "typescript": "5", "vitest": "2", "jest": "29"}
    files = {
        "package.json": {"devDependencies": tools},
        "package-lock.json": "",
        "eslint.config.mjs": "",
        ".prettierrc": "",
        "tsconfig.json": "{}",
    }
    plan = plan_of(files)
    assert commands(plan) == {
        "prettier": "npx --no -- prettier --check .",
        "eslint": "npx --no -- eslint .",
        "tsc": "npx --no -- tsc --noEmit --pretty false",
        "vitest": "npx --no -- vitest run",
    }
    assert plan.set_up[0].command == "npm ci --no-audit --no-fund"
    without = {key: text for key, text in files.items() if key not in ("eslint.config.mjs", ".prettierrc")}
    assert list(commands(plan_of(without))) == ["tsc", "vitest"]
    several = files | {"tsconfig.json": '{"files": [], "references": [ {"path": "./app"}]}'}
    assert commands(plan_of(several))["tsc"] == "npx --no -- tsc --build --pretty false"
    inside = {"package.json": {"devDependencies": tools, "eslintConfig": {}, "prettier": {}}}
    assert list(commands(plan_of(inside))) == ["prettier", "eslint", "vitest"]
    biome = {"package.json": {"devDependencies": {"@biomejs/biome": "1", "jest": "29"}}, "biome.json": "{}"}
    assert commands(plan_of(biome)) == {
        "biome": "npx --no -- biome ci --colors=off .",
        "jest": "npx --no -- jest --ci",
    }


def test_types_are_not_checked_twice_where_the_build_does_it() -> None:
    files = {
        "package.json": {"scripts": {"build": "tsc -b && vite build"}, "devDependencies": {"typescript": "5"}},
        "tsconfig.json": "{}",
    }
    plan = plan_of(files)
    assert list(commands(plan)) == ["npm build"]
    assert left_out(plan) == {"tsc": "the script 'build' runs it"}


@pytest.mark.parametrize(
    ("files", "install", "run"),
    [
        ({"pnpm-lock.yaml": ""}, "pnpm install --frozen-lockfile", "pnpm run test"),
        ({"yarn.lock": ""}, "yarn install --frozen-lockfile", "yarn run test"),
        ({"yarn.lock": "", ".yarnrc.yml": ""}, "yarn install --immutable", "yarn run test"),
        ({"bun.lock": ""}, "bun install --frozen-lockfile", "bun run test"),
        ({"npm-shrinkwrap.json": ""}, "npm ci --no-audit --no-fund", "npm run test"),
        ({}, "npm install --no-audit --no-fund --no-package-lock", "npm run test"),
    ],
)
def test_the_lock_file_names_the_package_manager(files: dict[str, str], install: str, run: str) -> None:
    package = {"scripts": {"test": "x"}, "dependencies": {"a": "1"}}
    plan = plan_of({"package.json": package, **files}, programs=["node", "npm", "pnpm", "yarn", "bun"])
    assert [step.command for step in plan.set_up] == [install]
    assert commands(plan) == {"npm test": run}


def test_a_package_manager_that_the_machine_does_not_have_comes_in_the_version_that_is_asked_for() -> None:
    package = {"scripts": {"test": "x"}, "dependencies": {"a": "1"}, "packageManager": "pnpm@9.1.0+sha512.abc"}
    (step,) = plan_of({"package.json": package, "pnpm-lock.yaml": ""}, programs=["node", "npm"]).set_up
    assert step.command == (
        "npm install --global --no-audit --no-fund --prefix $HOME/.honk-node pnpm@9.1.0"
        ' && export PATH="$HOME/.honk-node/bin:$PATH" && pnpm install --frozen-lockfile'
    )
    assert (step.path, step.brings) == ("$HOME/.honk-node/bin", ("pnpm",))
    berry = {**package, "packageManager": "yarn@4.1.0"}
    (step,) = plan_of({"package.json": berry, "yarn.lock": ""}, programs=["node", "npm"]).set_up
    assert " @yarnpkg/cli-dist@4.1.0 && " in step.command
    assert step.command.endswith("yarn install --immutable")


WORKSPACE = {
    "package.json": {"private": True, "workspaces": ["packages/*", "!packages/old"], "devDependencies": {"x": "1"}},
    "package-lock.json": "",
    "packages/core/package.json": {"name": "@a/core", "scripts": {"build": "tsc", "test": "node --test"}},
    "packages/app/package.json": {
        "name": "@a/app",
        "dependencies": {"@a/core": "*"},
        "scripts": {"build": "vite build", "test": "node --test"},
    },
    "packages/site/package.json": {"name": "site", "scripts": {"test": "node --test"}},
    "packages/old/package.json": {"name": "old", "dependencies": {"core": "file:../core"}, "scripts": {"test": "x"}},
}


def test_the_packages_of_a_workspace_are_installed_once_and_built_in_the_order_in_which_they_are_used() -> None:
    plan = plan_of(WORKSPACE)
    assert [(step.directory, step.command) for step in plan.set_up] == [
        (".", "npm ci --no-audit --no-fund"),
        ("packages/old", "npm install --no-audit --no-fund --no-package-lock"),
    ]
    assert list(commands(plan)) == [
        "npm build (packages/core)",
        "npm test (packages/core)",
        "npm test (packages/site)",
        "npm build (packages/app)",
        "npm test (packages/app)",
        "npm test (packages/old)",
    ]
    after = {one.name: one.after for one in plan.verifiers}
    assert after["npm build (packages/app)"] == ("npm build (packages/core)",)
    assert set(after["npm test (packages/app)"]) == {"npm build (packages/core)", "npm build (packages/app)"}


def test_of_a_workspace_run_the_packages_that_are_touched_and_those_that_use_them() -> None:
    core = plan_of(WORKSPACE, changed=["packages/core/src/a.ts"])
    assert {one.directory for one in core.verifiers} == {"packages/core", "packages/app", "packages/old"}
    app = plan_of(WORKSPACE, changed=["packages/app/a.ts"])
    assert commands(app) == {
        "npm build (packages/core)": "packages/core$ npm run build",
        "npm build (packages/app)": "packages/app$ npm run build",
        "npm test (packages/app)": "packages/app$ npm run test",
    }
    assert app.verifiers[0].why == "packages/app uses packages/core"
    assert app.untouched == ["Node in packages/core", "Node in packages/site", "Node in packages/old"]
    assert len(plan_of(WORKSPACE, changed=["package-lock.json"]).verifiers) == 6


def test_a_script_of_the_root_that_runs_in_all_packages_does_so_unless_only_some_are_touched() -> None:
    root = {**WORKSPACE["package.json"], "scripts": {"test": "turbo run test", "lint": "eslint ."}}
    files = {**WORKSPACE, "package.json": root}
    plan = plan_of(files)
    tests = [name for name in commands(plan) if "test" in name]
    assert tests == ["npm test", "npm test (packages/old)"]
    assert left_out(plan)["npm test (packages/core)"] == "the root's script runs it"
    changed = plan_of(files, changed=["packages/site/a.ts"])
    assert list(commands(changed)) == ["npm test (packages/site)"]


def test_the_settings_that_packages_extend_are_no_project_of_the_compiler() -> None:
    root = {**WORKSPACE["package.json"], "devDependencies": {"typescript": "5"}}
    files = {**WORKSPACE, "package.json": root, "tsconfig.json": "{}"}
    assert "tsc" in left_out(plan_of(files))
    solution = {**files, "tsconfig.json": '{"references": [{"path": "packages/core"}]}'}
    assert commands(plan_of(solution))["tsc"] == "npx --no -- tsc --build --pretty false"


def test_pnpm_names_its_packages_in_a_file_of_its_own() -> None:
    files = {
        "package.json": {"private": True, "devDependencies": {"x": "1"}},
        "pnpm-lock.yaml": "",
        "pnpm-workspace.yaml": "packages:\n  - 'apps/**'\n  - '!**/old/**'\n",
        "apps/a/web/package.json": {"name": "web", "scripts": {"test": "x"}},
        "apps/old/web/package.json": {"name": "x", "scripts": {"test": "x"}},
    }
    plan = plan_of(files, programs=["node", "pnpm"])
    assert commands(plan)["npm test (apps/a/web)"] == "apps/a/web$ pnpm run test"
    assert commands(plan)["npm test (apps/old/web)"] == "apps/old/web$ npm run test"


def test_a_package_json_that_is_none_is_red() -> None:
    assert commands(plan_of({"package.json": "{,}"})) == {"package.json": "node -e \"require('./package.json')\""}


def test_bun_runs_its_own_tests() -> None:
    files = {"package.json": {"dependencies": {"a": "1"}}, "bun.lock": "", "src/a.test.ts": ""}
    assert commands(plan_of(files, programs=["node", "bun"])) == {"bun test": "bun test"}
