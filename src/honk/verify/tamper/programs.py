"""Settings by which another program does what the checks' tools are meant to do, or comes from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from honk.model import Finding, Severity
from honk.verify.tamper.facts import Mark
from honk.verify.tamper.flattening import Configured, NotFlat, Settings, changed_values, flat
from honk.verify.tamper.reporting import finding

_PLAIN_SHELL = re.compile(r"^(/usr)?(/bin/)?(env )?(ba|z|da|k)?sh$|^(pwsh|powershell|cmd)(\.exe)?$", re.IGNORECASE)
_PLAIN_OPTION = re.compile(r"^--(max-old-space-size|max-semi-space-size|stack-size|no-warnings|no-deprecation|trace-\w+"
                           r"|enable-source-maps|experimental-vm-modules|openssl-legacy-provider"
                           r"|dns-result-order|unhandled-rejections)(=.*)?$")  # fmt: skip
_USUAL_REGISTRY = re.compile(r"^https://registry\.(npmjs|yarnpkg)\.(org|com)/?$")
_SCOPES = {"@biomejs", "@eslint", "@jest", "@playwright", "@typescript-eslint", "@vitest"}
"""Under which tools of the checks are published."""
_CACHES = {"sccache", "cachepot", "ccache"}
_ELSEWHERE = re.compile(r"wasm|thumb|-none-|avr|xtensa|android|-ios|msp430|-uefi|-sgx")
"""Parts of the names of targets whose programs do not run on the machine that builds them."""
_OWN_COMMANDS = {"audit", "clippy", "deny", "fmt", "hack", "llvm-cov", "make", "nextest", "tarpaulin", "xtask"}
"""Commands of cargo's that come from other packages: an alias of that name runs in their place."""
_LETS_PASS = re.compile(r"^--cap-lints\b|^-A ?(warnings|clippy::all|unused)\b")
_JAVA = re.compile(
    r"^-javaagent|^-Xbootclasspath|^--patch-module|^-Dmaven\.ext\.class\.path|^-X?cp\b|^-agent(lib|path)"
)
_SKIPS = re.compile(
    r"^-D(maven\.test\.\w|skip\w*|surefire\.skip|failIfNoTests=false|excludedGroups|groups|test=|it\.test=)"
    r"|^(-fn|--fail-never|-pl|--projects|-rf|--resume-from)(?![\w-])"
)
_ARTIFACT = re.compile(r"<extension>\s*<groupId>([^<]+)</groupId>\s*<artifactId>([^<]+)</artifactId>")


def replaced(one: Configured) -> Iterator[Finding]:
    """Findings about a file of settings that says which program is run, or where it comes from."""
    if one.after is None:
        return
    for places, read in _READERS:
        if places.search(one.path):
            yield from read(one)


def _npm(one: Configured) -> Iterator[Finding]:
    old, new = _pairs(one.before or ""), _pairs(one.after or "")
    for name, (line, value) in new.items():
        if old.get(name, (0, None))[1] == value:
            continue
        where = Mark(line, f"{name}={value}")
        if name in {"script-shell", "shell", "scriptShell"} and not _PLAIN_SHELL.match(value):
            yield _other(one, where, "Another program runs the scripts of package.json.")
        elif name in {"node-options", "nodeOptions"} and not all(map(_PLAIN_OPTION.match, value.split())):
            yield _other(one, where, "Something is loaded by Node.js before each script of package.json.")
        elif name.rpartition(":")[2] in {"registry", "npmRegistryServer"} and not _USUAL_REGISTRY.match(value):
            whole = name in {"registry", "npmRegistryServer"} or name.partition(":")[0] in _SCOPES
            severity: Severity = "serious" if whole or name in old else "warning"
            message = "Packages, those of the checks' tools among them, come from another place than they did."
            yield finding("checks-changed", severity, one.path, where, message)


def _pairs(text: str) -> dict[str, tuple[int, str]]:
    """Names with the line and the value of each, in the forms of npm, yarn and pnpm."""
    found = {}
    for number, line in enumerate(text.split("\n"), 1):
        pair = re.match(r"^\s*[\"']?([@\w/.:-]*?\w)[\"']?\s*(?:=|:\s|\s(?=\"))\s*[\"']?([^\"'#]+)", line)
        if pair and not line.lstrip().startswith((";", "#", "//")):
            found[pair[1]] = (number, pair[2].strip())
    return found


def _yarn(one: Configured) -> Iterator[Finding]:
    yield from _npm(one)
    old, new = _pairs(one.before or ""), _pairs(one.after or "")
    for name in ("yarnPath", "yarn-path"):
        if name in new and old.get(name, (0, ""))[1] != new[name][1]:
            line, value = new[name]
            yield _other(one, Mark(line, f"{name}: {value}"), "Another program than before runs as yarn.")
    plugins = _plugins(one.before or "")
    for line, name in _plugins(one.after or "").values():
        if name not in plugins:
            message = "A plugin of yarn's is new: it takes part in every command, and may run scripts in its own way."
            yield _other(one, Mark(line, name), message)
            return


def _plugins(text: str) -> dict[str, tuple[int, str]]:
    found, inside = {}, False
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r"^plugins\s*:", line):
            inside = True
        elif inside and line[:1].strip() and not line.startswith("-"):
            inside = False
        named = re.match(r"^\s*(?:-\s*)?(?:path:|spec:|-)\s*[\"']?([^\"'\s:]\S*?)[\"']?\s*$", line)
        if inside and named:
            found[named[1]] = (number, named[1])
    return found


def _cargo(one: Configured) -> Iterator[Finding]:
    try:
        old = flat("config.toml", one.before or "") or Settings()
        new = flat("config.toml", one.after or "") or Settings()
    except NotFlat as problem:
        yield finding("not-read", "warning", one.path, None, f"The configuration could not be read: {problem}.")
        return
    was, now = _all(old), _all(new)
    for path, words in now.items():
        if was.get(path) == words or not words:
            continue
        name, where = path.rpartition(".")[2], _line(one.after or "", path.rpartition(".")[2])
        if name in {"rustc", "rustc-wrapper", "rustc-workspace-wrapper", "rustdoc"} and words[0] not in _CACHES:
            yield _other(one, where, "Another program compiles the tests.")
        elif name == "runner":
            away = bool(_ELSEWHERE.search(path)) and "build.target" not in now
            yield finding("checks-changed", "note" if away else "serious", one.path, where,
                          "Another program runs the tests.")  # fmt: skip
        elif re.fullmatch(r"alias\.[\w-]+", path) and name in _OWN_COMMANDS - {"xtask"}:
            yield _other(one, where, f"`cargo {name}` is another command now.")
        elif name == "rustflags":
            fresh = " ".join(words).replace("-A ", "-A").split()
            known = " ".join(was.get(path, [])).replace("-A ", "-A").split()
            if any(_LETS_PASS.match(word) and word not in known for word in fresh):
                message = "What the compiler and its linters complain of is let pass."
                yield finding("rule-switched-off", "serious", one.path, where, message)


def _toolchain(one: Configured) -> Iterator[Finding]:
    found = re.search(r"^\s*path\s*=.*$", one.after or "", re.MULTILINE)
    if found and found[0] not in (one.before or ""):
        yield _other(one, Mark((one.after or "").count("\n", 0, found.start()) + 1, found[0]),
                     "The compiler and cargo are another program, out of a folder.")  # fmt: skip


def _all(settings: Settings) -> dict[str, list[str]]:
    return {path: value.split() for path, value in settings.values.items()} | settings.lists


def _line(text: str, name: str) -> Mark:
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(rf"^\s*[\"']?(\w+\.)*{re.escape(name)}[\"']?\s*=", line):
            return Mark(number, line.strip())
    return Mark(0, name)


def _java(one: Configured) -> Iterator[Finding]:
    """`.mvn/jvm.config` and `.mvn/maven.config`: words that Java and Maven are started with."""
    known = set((one.before or "").split())
    for number, line in enumerate((one.after or "").split("\n"), 1):
        plain = "" if line.lstrip().startswith("#") else line
        for word in plain.split():
            if word not in known and (_JAVA.match(word) or _SKIPS.match(word)):
                message = "Maven is started so that it leaves out some of what was checked, or with other code in it."
                yield _other(one, Mark(number, word), message)


def _maven_extensions(one: Configured) -> Iterator[Finding]:
    known = set(_ARTIFACT.findall(one.before or ""))
    for found in _ARTIFACT.finditer(one.after or ""):
        if found.groups() not in known:
            line = (one.after or "").count("\n", 0, found.start(2)) + 1
            message = "An extension of Maven's is new: it takes part in every build, and may change what is run in it."
            yield _other(one, Mark(line, ":".join(found.groups())), message)


def _bun(one: Configured) -> Iterator[Finding]:
    try:
        old, new = (flat("bunfig.toml", text or "") or Settings() for text in (one.before, one.after))
    except NotFlat:
        return
    for path, _, now in changed_values(old, new):
        if path in {"run.shell", "install.registry", "install.registry.url"} and now and not (
            now in {"bun", "system"} or _USUAL_REGISTRY.match(now)
        ):  # fmt: skip
            yield _other(one, _line(one.after or "", path.rpartition(".")[2]), f"`{path}` is another one than it was.")


def _other(one: Configured, where: Mark, message: str) -> Finding:
    return finding("checks-changed", "serious", one.path, where, message)


_READERS = tuple(
    (re.compile(places), read)
    for places, read in (
        (r"(^|/)\.npmrc$|(^|/)pnpm-workspace\.yaml$", _npm),
        (r"(^|/)\.yarnrc(\.yml)?$", _yarn),
        (r"(^|/)bunfig\.toml$", _bun),
        (r"(^|/)\.cargo/config(\.toml)?$", _cargo),
        (r"(^|/)rust-toolchain(\.toml)?$", _toolchain),
        (r"(^|/)\.mvn/(jvm|maven)\.config$", _java),
        (r"(^|/)\.mvn/extensions\.xml$", _maven_extensions),
    )
)
