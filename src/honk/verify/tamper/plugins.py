"""Code that a check's tool loads by itself: pytest's plugins by entry point, and what npm runs around other scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from honk.model import Finding, Severity
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.flattening import Configured, NotFlat, Settings, changed_values, flat
from honk.verify.tamper.reporting import finding

_POINT = re.compile(r"(?:^|\.)[\"']?(?:pytest11)[\"']?(?:\.|$)(?P<name>.*)")
_PAIR = re.compile(r"[\"']?([\w.-]+)\s*=\s*([\w.:-]+)[\"']?")
_AROUND = re.compile(
    r"^scripts\.(pre|post)(test|lint|check|typecheck|types|build|format|coverage|verify|ci|e2e|unit)\b"
)
_INSTALLING = re.compile(r"^scripts\.((pre|post)?install|(pre|post)?prepare|prepublish|preuninstall|dependencies)$")
_TESTS = (
    r"(?:\./)?(?:[\w.@-]+/)*"
    r"(?:tests?|specs?|__tests__|e2e|node_modules|\.bin|(?:jest|vitest|mocha|eslint)[\w.]*config\S*)"
)
_AWAY = re.compile(
    rf"\b(rm|rimraf|del(-cli)?|unlink|truncate|git (rm|checkout|restore|clean)|sed -i\S*|perl -p?i\S*|mv|move)\s.*?"
    rf"(?<![\w/.-]){_TESTS}(/(\*\S*|[\w.-]*\.\w+|[\w*.-]*(test|spec)[\w*.-]*))?[\"']?(\s|$)"
)
_INTO = re.compile(rf"\b(cp|ln|ncp|cpy|copyfiles|tee|install)\s.*\s[\"']?{_TESTS}(/\S*)?[\"']?\s*$|>\s*{_TESTS}(/\S*)?")
_INLINE = re.compile(
    r"\b(node|bun|deno|python3?|perl|ruby) (eval|-\w*[ec]\b|--eval|-p\b)"
    r".*(test|spec|node_modules|unlink|rmSync|writeFile)"
)
_LONGEST = 2_000
"""Characters of a command that is read; a longer one may do anything."""
_FETCHED = re.compile(r"\b(curl|wget)\b.*(\||&&|;).*\b(sh|bash|node|python3?|chmod)\b")
_USUAL = re.compile(
    r"^((npm|pnpm|yarn|bun)( run)? [\w:-]+|(npx |yarn |pnpm )?(husky|lefthook|simple-git-hooks|patch-package|is-ci|tsc"
    r"|tsup|only-allow|node-gyp|prebuild-install|prisma|playwright|electron-builder|nuxt|nuxi|svelte-kit|ngcc|turbo|lerna"
    r"|nx|rollup|vite|webpack|babel|esbuild|unbuild|wireit|tshy|rm -rf|rimraf|mkdir|echo))\b"
)


def plugged_in(one: Configured) -> Iterator[Finding]:
    """Findings about plugins of pytest's that the project brings, and scripts that npm runs around the checks'."""
    if one.after is None or one.before == one.after:
        return
    if one.path.endswith("package.json"):
        yield from _scripts(one)
    elif re.search(r"(^|/)(pyproject\.toml|setup\.cfg|setup\.py)$|\.(egg|dist)-info/entry_points\.txt$", one.path):
        old, new = _points(one.path, one.before or ""), _points(one.path, one.after)
        for name, target in new.items():
            if old.get(name) != target:
                severity: Severity = "warning" if name in old else "serious"
                message = f"pytest loads `{target}` by itself wherever this is installed: it may change what is tested."
                yield finding("checks-changed", severity, one.path, _line(one.after, name, target), message)
                return


def _points(path: str, text: str) -> Mapping[str, str]:
    if "pytest11" not in text:
        return {}
    if path.endswith(".toml"):
        try:
            settings = flat(path, text) or Settings()
        except NotFlat:
            return {}
        return {found["name"]: value for key, value in settings.values.items() if (found := _POINT.search(key))}
    # What follows the name, to the next section, bracket or key.
    found = re.search(r"pytest11[\"']?\]?\s*[:=]?\s*[\[({\"']*(?P<entries>[^\[\](){}]*)", text)
    return dict(_PAIR.findall(found["entries"])) if found else {}


def _scripts(one: Configured) -> Iterator[Finding]:
    try:
        old, new = flat(one.old_path, one.before or "{}"), flat(one.path, one.after or "{}")
    except NotFlat:
        return
    for path, was, now in changed_values(old or Settings(), new or Settings()):
        around, installing = _AROUND.search(path), _INSTALLING.search(path)
        if not now or not (around or installing):
            continue
        name, where = path.removeprefix("scripts."), _line(one.after or "", path.removeprefix("scripts."), "")
        if any(_reaches(command) for command in re.split(r"&&|\|\||;", now)) or _FETCHED.search(now):
            message = f"`{name}`, which runs by itself, changes tests or the tools that run them."
            yield finding("checks-changed", "serious", one.path, where, message)
        elif was is None:
            usual = around or all(_USUAL.match(command.strip()) for command in re.split(r"&&|\|\||;", now))
            message = f"`{name}` is new, and runs by itself."
            yield finding("checks-changed", "note" if usual else "warning", one.path, where, message)


def _reaches(command: str) -> bool:
    return len(command) > _LONGEST or any(shape.search(command) for shape in (_AWAY, _INTO, _INLINE))


def _line(text: str, name: str, value: str) -> Mark:
    for number, line in enumerate(text.split("\n"), 1):
        if name in line and value in line and (value or f'"{name}"' in line):
            return Mark(number, line.strip())
    return Mark(0, name)
