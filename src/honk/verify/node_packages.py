"""Node's package managers: which one a project uses, how it installs, and how it runs scripts and tools."""

from __future__ import annotations

import re
from dataclasses import dataclass

from honk.verify.plan import SetUp
from honk.verify.tree import Tree, join

_PLACE = "$HOME/.honk-node"
_ASKED = re.compile(r"(npm|pnpm|yarn|bun)@(\d+(?:\.\d+){0,2}[\w.-]*)")


@dataclass(frozen=True)
class Manager:
    """A package manager in the folder of its lock file."""

    program: str
    root: str
    install: str
    why: str
    package: str
    """What npm calls it."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The programs that its scripts need."""
        return ("bun",) if self.program == "bun" else ("node", self.program)

    def run_script(self, name: str) -> str:
        """The shell line that runs a script of package.json."""
        return f"{self.program} run {name}"

    def run_tool(self, words: str) -> str:
        """The shell line that runs a program that a dependency brings, and never fetches one."""
        runner = {"npm": "npx --no", "pnpm": "pnpm exec", "yarn": "yarn run", "bun": "bun run"}[self.program]
        return f"{runner} {words}" if self.program != "npm" else f"{runner} -- {words}"

    def set_up(self, tree: Tree) -> list[SetUp]:
        """Install what the lock file says, with the package manager itself where the machine does not have it."""
        if self.program == "npm" or tree.present([self.program]):
            return [SetUp(self.install, self.why, directory=self.root, needs=(self.program,))]
        bring = f"npm install --global --no-audit --no-fund --prefix {_PLACE} {self.package}"
        line = f'{bring} && export PATH="{_PLACE}/bin:$PATH" && {self.install}'
        return [SetUp(line, self.why, f"{_PLACE}/bin", directory=self.root, needs=("npm",), brings=(self.program,))]


def manager(tree: Tree, root: str) -> Manager:
    """The package manager of the project in this folder: by its lock file, else by what package.json asks for."""
    asked = _ASKED.match(str((tree.json(join(root, "package.json")) or {}).get("packageManager", "")))
    version = asked[2] if asked else ""
    lock = tree.first(
        root, "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb", "package-lock.json", "npm-shrinkwrap.json"
    )
    program = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun"}.get(
        lock.rpartition("/")[2] if lock else "", "npm" if lock or not asked else asked[1]
    )
    why = f"{lock} is there" if lock else f"{join(root, 'package.json')} has dependencies"
    newer = program == "yarn" and (version[:2] not in ("", "1.") or tree.first(root, ".yarnrc.yml") is not None)
    frozen = " --immutable" if newer else " --frozen-lockfile"
    if program == "npm":
        install = "npm ci --no-audit --no-fund" if lock else "npm install --no-audit --no-fund --no-package-lock"
    else:
        install = f"{program} install{frozen if lock else ''}"
    pinned = asked is not None and asked[1] == program
    package = ("@yarnpkg/cli-dist" if newer else program) + (f"@{version.partition('+')[0]}" if pinned else "")
    return Manager(program, root, install, why, package)
