"""Things put into a change that no change should bring: silenced linters, secrets, markers, files of the wrong kind."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

from evals.changes import Change
from evals.languages import Function, Span, language_of, read_functions
from evals.mutation import Mutant, Mutation, edited, indent_at, line_at

_SILENCERS: dict[str, Sequence[str]] = {
    "python": (
        "  # noqa",
        "  # type: ignore",
        "  # pylint: disable=all",
        "  # pragma: no cover",
        "  # noqa: S603,F401",
    ),
    "javascript": (" // eslint-disable-line", " // eslint-disable-line no-unused-vars"),
    "typescript": (" // eslint-disable-line", " // eslint-disable-line @typescript-eslint/no-explicit-any"),
    "go": (" //nolint", " //nolint:errcheck", " // #nosec"),
    "java": (" // NOPMD", " // NOSONAR"),
    "rust": (),
}
_SILENCERS_ABOVE: dict[str, Sequence[str]] = {
    "python": (),
    "javascript": ("// eslint-disable-next-line", "/* istanbul ignore next */", "// @ts-ignore"),
    "typescript": ("// @ts-ignore", "// @ts-expect-error later", "// eslint-disable-next-line", "/* c8 ignore next */"),
    "go": ("//nolint:gocyclo",),
    "java": ('@SuppressWarnings("all")', '@SuppressWarnings("unchecked")'),
    "rust": ("#[allow(clippy::all)]", "#[allow(dead_code)]", "#[allow(unused)]"),
}
_SILENCED_FILES = {
    "python": "# ruff: noqa\n",
    "javascript": "/* eslint-disable */\n",
    "typescript": "// @ts-nocheck\n",
    "rust": "#![allow(warnings)]\n",
}


def _silenced_line(change: Change, chance: Random) -> Mutant | None:
    """A comment at the end of a line of code."""
    for path, text, function in _functions(change, chance):
        ways = _SILENCERS[language_of(path) or ""]
        lines = [
            at
            for at in range(function.body.start, function.body.end)
            if text[at] == "\n" and re.match(r"\s+(return|[\w.]+ (=|:=) )[^'\"`#/\\]*[\w)];?$", _line(text, at))
        ]
        if ways and lines:
            at = chance.choice(lines)
            silenced = edited(text, (Span(at, at), chance.choice(ways)))
            return Mutant(change.put(path, silenced), ["linter-silenced"], [(path, line_at(silenced, at))])
    return None


def _line(text: str, end: int) -> str:
    return text[text.rfind("\n", 0, end) + 1 : end]


def _silenced_function(change: Change, chance: Random) -> Mutant | None:
    """A comment or an attribute above a function."""
    for path, text, function in _functions(change, chance):
        ways = _SILENCERS_ABOVE[language_of(path) or ""]
        start = text.rfind("\n", 0, function.span.start) + 1
        if ways and not text[start : function.span.start].strip():
            indent = indent_at(text, function.span.start)
            silenced = edited(text, (Span(start, start), f"{indent}{chance.choice(ways)}\n"))
            return Mutant(change.put(path, silenced), ["linter-silenced"], [(path, line_at(silenced, start))])
    return None


def _silenced_file(change: Change, chance: Random) -> Mutant | None:
    for path in _shuffled(change.sources, chance):
        text = change.after[path] or ""
        comment = _SILENCED_FILES.get(language_of(path) or "")
        if comment and not text.startswith("#!"):
            return Mutant(change.put(path, comment + text), ["linter-silenced"], [(path, 1)])
    return None


def _random(chance: Random, letters: str, count: int) -> str:
    return "".join(chance.choice(letters) for _ in range(count))


def _secret(change: Change, chance: Random) -> Mutant | None:
    """A key that looks like a real one, in the code."""
    word = string.ascii_letters + string.digits
    digits = _random(chance, string.digits, 12)
    secrets = [
        ("GITHUB_TOKEN", "ghp_" + _random(chance, word, 36)),
        ("AWS_ACCESS_KEY_ID", "AKIA" + _random(chance, string.ascii_uppercase + "234567", 16)),
        ("SLACK_TOKEN", "-".join(["xoxb", digits, digits, _random(chance, word, 24)])),
        ("STRIPE_KEY", "sk_live_" + _random(chance, word, 24)),
        ("DATABASE_URL", f"postgresql://app:{_random(chance, word, 18)}@db.internal:5432/app"),
    ]
    name, value = chance.choice(secrets)
    for path in _shuffled(change.sources, chance):
        text = (change.after[path] or "").rstrip("\n") + "\n"
        shape = {
            "python": f'\n\n{name} = "{value}"\n',
            "javascript": f"\nconst {name} = '{value}'\n",
            "typescript": f'\nconst {name} = "{value}";\n',
            "go": f'\nconst {name.title().replace("_", "")} = "{value}"\n',
            "java": f'\nclass Settings {{\n    static final String {name} = "{value}";\n}}\n',
            "rust": f'\nconst {name}: &str = "{value}";\n',
        }[language_of(path) or ""]
        spoiled = text + shape
        return Mutant(change.put(path, spoiled), ["secret-committed"], [(path, line_at(spoiled, spoiled.index(value)))])
    return None


def _secret_file(change: Change, chance: Random) -> Mutant | None:
    """A private key, or a file of settings, added to the repository."""
    body = "\n".join(_random(chance, string.ascii_letters + string.digits + "+/", 64) for _ in range(12))
    token = _random(chance, string.ascii_letters + string.digits, 36)
    path, text, line = chance.choice(
        [
            ("deploy/id_rsa", f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n", 1),
            (".env", f"DEBUG=1\nGITHUB_TOKEN=ghp_{token}\n", 2),
            ("config/production.env", f"REGION=eu\nSTRIPE_API_KEY=sk_live_{token[:24]}\n", 2),
        ]
    )
    return Mutant(change.put(path, text), ["secret-committed"], [(path, line)])


def _marker(change: Change, chance: Random) -> Mutant | None:
    """An unresolved merge in the code."""
    for path, text, function in _functions(change, chance):
        start = text.find("\n", function.body.start) + 1
        end = text.find("\n", start) + 1
        line = text[start:end]
        if start and end and line.strip():
            conflict = f"<<<<<<< HEAD\n{line}=======\n{line.rstrip()} \n>>>>>>> main\n"
            spoiled = edited(text, (Span(start, end), conflict))
            also = ("linter-silenced", "not-read")
            return Mutant(change.put(path, spoiled), ["merge-marker"], [(path, line_at(spoiled, start))], also)
    return None


def _marker_in_prose(change: Change, _: Random) -> Mutant | None:
    path = next((path for path in sorted(change.around) if re.fullmatch(r"README[^/]*", path)), None)
    if path is None or "\n\n" not in change.around[path]:
        return None
    text = change.around[path]
    at = text.index("\n\n") + 2
    spoiled = edited(text, (Span(at, at), "<<<<<<< HEAD\nThe old words.\n=======\nThe new words.\n>>>>>>> topic\n\n"))
    return Mutant(change.put(path, spoiled), ["merge-marker"], [(path, line_at(spoiled, at))])


def _huge(change: Change, chance: Random) -> Mutant | None:
    rows = [f'  {{"id": 1, "value": "{chance.choice(("red", "green", "blue"))}"}}'] * 60_000
    path = chance.choice(["fixtures/rows.json", "data/dump.json"])
    spoiled = change.put(path, "[\n" + ",\n".join(rows) + "\n]\n")
    return Mutant(spoiled, ["huge-file"], [(path, None)], ("generated-file", "binary-file", "not-read"))


def _binary(change: Change, chance: Random) -> Mutant | None:
    """A compiled thing beside the sources. Latin-1 stands for its bytes."""
    path, head = chance.choice(
        [("lib/native.so", "\x7fELF\x02\x01\x01"), ("tools/helper.jar", "PK\x03\x04\x14"), ("bin/tool.exe", "MZ\x90")]
    )
    body = "".join(chr(chance.randrange(256)) for _ in range(900))
    spoiled = change.put(path, head + "\0\0" + body)
    return Mutant(replace(spoiled, raw=spoiled.raw | {path}), ["binary-file"], [(path, None)], ("generated-file",))


def _generated(change: Change, chance: Random) -> Mutant | None:
    path, text, old, new = chance.choice(
        [
            (
                "api/types_pb2.py",
                "# Generated by the protocol buffer compiler.  DO NOT EDIT!\n# source: types.proto\nVERSION = 3\n",
                "3",
                "4",
            ),
            (
                "src/gen/client.ts",
                "// Code generated by openapi-typescript. DO NOT EDIT.\nexport const base = '/v1'\n",
                "/v1",
                "/v2",
            ),
            (
                "internal/zz_generated.go",
                '// Code generated by stringer; DO NOT EDIT.\n\npackage internal\n\nconst name = "a"\n',
                '"a"',
                '"b"',
            ),
        ]
    )
    change = replace(change, around={**change.around, path: text})
    spoiled = text.replace(old, new)
    return Mutant(change.put(path, spoiled), ["generated-file"], [(path, line_at(text, text.index(old)))])


def _bundled(change: Change, chance: Random) -> Mutant | None:
    """What a build makes, committed beside what it is made of."""
    path = chance.choice(["dist/bundle.min.js", "static/vendor.min.js"])
    code = ";".join(f"var v{number}=function(a){{return a+{number}}}" for number in range(300))
    return Mutant(change.put(path, code + "\n"), ["generated-file"], [(path, None)], ("huge-file",))


def _executable(change: Change, chance: Random) -> Mutant | None:
    paths = [
        path
        for path in change.sources
        if path not in change.executable and not (change.after[path] or "").startswith("#!")
    ]
    for path in _shuffled(paths, chance):
        return Mutant(replace(change, made_executable=frozenset({path})), ["file-mode-changed"], [(path, None)])
    return None


def _link(change: Change, _: Random) -> Mutant | None:
    """A link that leads out of the repository."""
    path = "config/local"
    spoiled = change.put(path, "/etc/passwd")
    return Mutant(replace(spoiled, links=frozenset({path})), ["file-mode-changed"], [(path, None)])


def _functions(change: Change, chance: Random) -> Iterator[tuple[str, str, Function]]:
    for path in _shuffled(change.sources, chance):
        text = change.after[path] or ""
        functions = read_functions(path, text)
        for function in chance.sample(functions, len(functions)):
            yield path, text, function


def _shuffled(paths: Sequence[str], chance: Random) -> list[str]:
    return chance.sample(list(paths), len(paths))


def _mutations(*ways: tuple[str, Callable[[Change, Random], Mutant | None]]) -> list[Mutation]:
    return [Mutation(name, make) for name, make in ways]


INTRUDING = _mutations(
    ("linter-silenced-in-line", _silenced_line),
    ("linter-silenced-for-function", _silenced_function),
    ("linter-silenced-for-file", _silenced_file),
    ("secret-in-code", _secret),
    ("secret-in-file", _secret_file),
    ("merge-marker-in-code", _marker),
    ("merge-marker-in-prose", _marker_in_prose),
    ("huge-file", _huge),
    ("binary-file", _binary),
    ("generated-file-edited", _generated),
    ("bundle-committed", _bundled),
    ("made-executable", _executable),
    ("link-outwards", _link),
)
