"""Output that is meant for machines: JSON as a whole or by the line, SARIF among it, and TAP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from honk.verify.distil.cleaning import clean
from honk.verify.distil.difference import difference
from honk.verify.distil.fault import Distilled, Fault, Printed, Report
from honk.verify.distil.native import go_test

_LONGEST = 8_000_000
"""Characters of one JSON text that are read; a longer one is left to the other distillers."""
_ALL = 24_000_000
"""Characters of all of them."""
_WALKED = 200_000
"""Values that are looked at."""
_DEPTH = 40

_PATHS = ("file", "filename", "filePath", "file_path", "path", "source", "uri", "Filename")
_MESSAGES = ("message", "text", "issue_text", "description", "Text", "desc")
_CODES = (
    "rule",
    "ruleId",
    "code",
    "test_id",
    "messageId",
    "message-id",
    "symbol",
    "category",
    "check_name",
    "FromLinter",
    "rule_id",
)
_GRAVE = ("severity", "level", "type", "issue_severity")
_MILD = ("warning", "note", "info", "information", "hint", "style", "convention", "refactor", "help", "failure-note")


def structured(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Every JSON text in the output, by what it holds."""
    faults: list[Fault] = []
    said: dict[tuple[str, str], list[str]] = {}
    read = 0
    for at, until, length, value in _values(printed.raw):
        read += length
        if isinstance(value, dict) and isinstance(value.get("Output"), str) and "Action" in value:
            key = (str(value.get("Package") or value.get("ImportPath")), str(value.get("Test", "")).partition("/")[0])
            said.setdefault(key, []).append(value["Output"])
        else:
            faults += (replace(fault, at=at, until=until) for fault in of_json(value))
    if said:
        faults += _go_events(said)
    if not faults:
        return None
    grave = [fault for fault in faults if fault.sure] or faults
    if read * 2 < len(printed.raw):
        # A log, perhaps, of something else that failed.
        grave = [replace(fault, sure=False) for fault in grave]
    return Distilled(grave)


def _values(raw: str) -> Iterator[tuple[int, int, int, Any]]:
    """The JSON texts that begin at the beginning of a line, with the lines they are on and their length."""
    decoder = json.JSONDecoder()
    at = line = read = 0
    begins = re.compile(r"^[ \t]{0,8}(?=[\[{])", re.MULTILINE)
    while found := begins.search(raw, at):
        line += raw.count("\n", at, found.end())
        end_of_line = raw.find("\n", found.end())
        end_of_line = len(raw) if end_of_line < 0 else end_of_line
        closes = raw[end_of_line - 1 : end_of_line] in ("}", "]", ",", "\r")
        whole = raw[found.end() : end_of_line] if closes else raw[found.end() : found.end() + _LONGEST]
        value, length = _decoded(decoder, whole) if len(whole) <= _LONGEST else (None, 0)
        if not length and closes and raw[found.end() : found.end() + 2].strip() in ("{", "[", "[{", ""):
            whole = raw[found.end() : found.end() + _LONGEST]
            value, length = _decoded(decoder, whole)
        read += len(whole)
        if read > _ALL:
            return
        if not length:
            at = end_of_line
            continue
        at = found.end() + length
        until = line + whole.count("\n", 0, length) + 1
        yield line, until, length, value
        line = until - 1


def _decoded(decoder: json.JSONDecoder, text: str) -> tuple[Any, int]:
    try:
        value, length = decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return None, 0
    return (value, length) if isinstance(value, (dict, list)) and value else (None, 0)


def _go_events(said: Mapping[tuple[str, str], list[str]]) -> list[Fault]:
    """`go test -json` puts every piece of output into an event; test by test it is as without -json."""
    text = "".join("".join(pieces) for pieces in said.values() if any(
        word in "".join(pieces) for word in ("--- FAIL", "panic:", "FAIL\t", ".go:")
    ))  # fmt: skip
    lines = clean(text)
    printed = Printed(text, lines, "\n".join(lines))
    found = go_test(printed, ())
    built = [Fault(n, n + 1, line) for n, line in enumerate(lines) if re.match(r"^(?:\./)?\S+\.go:\d+:\d+: ", line)]
    return [*(found.faults if found else ()), *built]


def of_json(value: Any) -> Iterator[Fault]:
    """The faults that a JSON value tells of."""
    if isinstance(value, dict):
        special = (_sarif, _cargo, _jest, _mocha, _pytest, _biome, _npm)
        for reader in special:
            if (faults := reader(value)) is not None:
                yield from faults
                return
    yield from _records(value)


def _records(value: Any) -> Iterator[Fault]:
    """Whatever has a place and a message, at any depth; a place is handed down to what is inside."""
    waiting: list[tuple[Any, str, int]] = [(value, "", 0)]
    walked = 0
    while waiting and walked < _WALKED:
        one, path, depth = waiting.pop()
        walked += 1
        if isinstance(one, dict):
            path = _path(one) or path
            message = next((one[key] for key in _MESSAGES if isinstance(one.get(key), str)), "")
            line = _line(one)
            if message and path and line:
                yield _record(one, path, line, message)
                continue
            inside: Iterable[Any] = one.values()
        elif isinstance(one, list):
            inside = one
        else:
            continue
        if depth < _DEPTH:
            waiting += [(item, path, depth + 1) for item in reversed(list(inside)) if isinstance(item, (dict, list))]


def _record(one: Mapping[str, Any], path: str, line: str, message: str) -> Fault:
    code = next((one[key] for key in _CODES if isinstance(one.get(key), (str, int)) and one[key]), "")
    grave = next((one[key] for key in _GRAVE if key in one), "error")
    # eslint counts: 1 is a warning, 2 an error.
    mild = grave == 1 or (isinstance(grave, str) and grave.lower() in _MILD)
    first, *more = clean(message)
    return Fault(0, 1, f"{path}:{line}: {first}{f' ({code})' if code else ''}", more[:6], sure=not mild)


def _path(one: Mapping[str, Any]) -> str:
    found = next((one[key] for key in _PATHS if isinstance(one.get(key), str)), "")
    for key in ("location", "Pos", "path"):
        inner = one.get(key)
        if not found and isinstance(inner, dict):
            found = _path(inner)
    return clean(found)[0] if found and len(found) < 1_000 and "\n" not in found else ""


def _line(one: Mapping[str, Any]) -> str:
    for key in ("line", "row", "line_number", "lineno", "Line", "startLine", "begin"):
        if isinstance(one.get(key), int):
            column = next(
                (one[name] for name in ("column", "col", "character", "Column") if isinstance(one.get(name), int)), None
            )
            return f"{one[key]}:{column}" if column is not None else str(one[key])
    for key in ("location", "range", "start", "Pos", "lines", "span"):
        if isinstance(inner := one.get(key), dict) and (line := _line(inner)):
            if key == "range":
                # As the Language Server Protocol counts: from 0.
                row, _, column = line.partition(":")
                return f"{int(row) + 1}:{int(column or 0) + 1}"
            return line
    return ""


def _sarif(value: Mapping[str, Any]) -> Iterator[Fault] | None:
    runs = value.get("runs")
    if not isinstance(runs, list):
        return None
    return (
        _sarif_result(result)
        for run in runs if isinstance(run, dict)
        for result in run.get("results") or () if isinstance(result, dict)
    )  # fmt: skip


def _sarif_result(result: Mapping[str, Any]) -> Fault:
    """SARIF 2.1.0, 3.27."""
    place = ""
    for location in result.get("locations") or ():
        physical = _inner(_inner(location).get("physicalLocation"))
        uri = _inner(physical.get("artifactLocation")).get("uri", "")
        region = _inner(physical.get("region"))
        place = ":".join(str(part) for part in (uri, region.get("startLine"), region.get("startColumn")) if part)
        break
    message = str(_inner(result.get("message")).get("text", ""))
    rule = result.get("ruleId") or ""
    mild = result.get("level") in ("note", "none", "warning")
    headline = ": ".join(part for part in (place, f"{message}{f' ({rule})' if rule else ''}") if part)
    return _fault(headline, sure=not mild)


def _cargo(value: Mapping[str, Any]) -> Iterator[Fault] | None:
    told = value.get("message") if value.get("reason") == "compiler-message" else value
    if "reason" in value and value["reason"] != "compiler-message":
        return iter(())
    if not isinstance(told, dict) or "rendered" not in told or "spans" not in told:
        return None
    if not told["spans"] and told.get("level") != "error":
        return iter(())
    spans = [span for span in told["spans"] if isinstance(span, dict)]
    span = next((one for one in spans if one.get("is_primary")), spans[0] if spans else {})
    place = f"{span['file_name']}:{span.get('line_start')}:{span.get('column_start')}: " if "file_name" in span else ""
    code = _inner(told.get("code")).get("code")
    label = span.get("label") or ""
    source = [str(_inner(one).get("text", "")).strip() for one in span.get("text") or ()][:1]
    level = str(told.get("level", "error"))
    children = [f"{_inner(one).get('level')}: {_inner(one).get('message')}" for one in told.get("children") or ()]
    headline = f"{place}{level}{f'[{code}]' if code else ''}: {told.get('message', '')}{f' ({label})' if label else ''}"
    aborting = "aborting due to" in headline or "could not compile" in headline
    return iter(() if aborting else (_fault(headline, [*source, *children[:3]], sure=level == "error"),))


def _jest(value: Mapping[str, Any]) -> Iterator[Fault] | None:
    """jest --json, and vitest's reporter of that form."""
    suites = value.get("testResults")
    if not isinstance(suites, list):
        return None
    return _jest_suites([suite for suite in suites if isinstance(suite, dict)])


def _jest_suites(suites: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    for suite in suites:
        path = clean(str(suite.get("name", "")))[0]
        failed = [_inner(one) for one in suite.get("assertionResults") or () if _inner(one).get("status") == "failed"]
        for one in failed:
            yield _messages(
                f"{path}: {one.get('fullName', '')}", [str(text) for text in one.get("failureMessages") or ()]
            )
        if not failed and suite.get("status") == "failed" and suite.get("message"):
            yield _messages(path, [str(suite["message"])])


def _mocha(value: Mapping[str, Any]) -> Iterator[Fault] | None:
    failures = value.get("failures")
    if not (isinstance(failures, list) and "stats" in value):
        return None
    return (
        _messages(
            str(one.get("fullTitle", "")),
            [str(_inner(one.get("err")).get("stack") or _inner(one.get("err")).get("message"))],
        )
        for one in map(_inner, failures)
    )


def _pytest(value: Mapping[str, Any]) -> Iterator[Fault] | None:
    """pytest-reportlog by the line, and pytest-json-report."""
    if "$report_type" in value:
        return iter([_pytest_test(value)] if value.get("outcome") == "failed" else ())
    tests = value.get("tests")
    if not (isinstance(tests, list) and "summary" in value):
        return None
    failed = [test for test in map(_inner, tests) if test.get("outcome") in ("failed", "error")]
    stages = (
        next((_inner(test[s]) for s in ("setup", "call", "teardown") if _inner(test.get(s)).get("crash")), {})
        for test in failed
    )
    return (_pytest_test({**stage, "nodeid": test.get("nodeid")}) for test, stage in zip(failed, stages, strict=True))


def _pytest_test(value: Mapping[str, Any]) -> Fault:
    longrepr = value.get("longrepr")
    crash = _inner(_inner(longrepr).get("reprcrash")) or _inner(value.get("crash"))
    place = f"{crash['path']}:{crash.get('lineno')}: " if crash.get("path") else ""
    message = str(crash.get("message") or longrepr or "")
    return _messages(f"{place}{value.get('nodeid', '')}", [message])


def _biome(value: Mapping[str, Any]) -> Iterator[Fault] | None:
    told = value.get("diagnostics")
    if not (isinstance(told, list) and "summary" in value and "command" in value):
        return None
    return (_biome_diagnostic(one) for one in map(_inner, told))


def _biome_diagnostic(one: Mapping[str, Any]) -> Fault:
    location = _inner(one.get("location"))
    path = location.get("path")
    path = path if isinstance(path, str) else str(_inner(path).get("file", ""))
    line = _line(location)
    message = one.get("description") or one.get("message") or ""
    text = message if isinstance(message, str) else "".join(str(_inner(part).get("content", "")) for part in message)
    mild = str(one.get("severity", "error")) in _MILD
    return _fault(f"{path}{f':{line}' if line else ''}: {text} ({one.get('category', '')})", sure=not mild)


def _npm(value: Mapping[str, Any]) -> Iterator[Fault] | None:
    error = _inner(value.get("error"))
    if not {"code", "summary"} <= set(error):
        return None
    return iter([_messages(f"npm {error['code']}", [str(error["summary"])])])


def _inner(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _fault(headline: str, details: Sequence[str] = (), *, sure: bool = True) -> Fault:
    first, *more = clean(headline)
    return Fault(0, 1, first, [*more[:6], *(clean(text)[0] for text in details if text)], sure=sure)


def _messages(title: str, texts: Sequence[str]) -> Fault:
    lines = [line.strip() for text in texts for line in clean(text) if line.strip()]
    stack = [line for line in lines if line.startswith("at ")]
    own = [line for line in stack if "node_modules" not in line and "node:" not in line]
    own = [line for line in own if "<anonymous>" not in line or ":" in line]
    said = [line for line in lines if not line.startswith("at ")]
    first, rest = (said[0], difference(said[1:])) if said else ("", [])
    if rest and first.endswith(":"):
        first = f"{first} {rest.pop(0)}"
    return Fault(0, 1, f"{clean(title)[0]}: {first}", [*rest[:12], *own[:2]])


_NOT_OK = re.compile(r"^(?P<indent>\s*)not ok \d+(?: -)? ?(?P<title>(?:(?! # (?:TODO|SKIP)\b).)*)$", re.IGNORECASE)
_YAML = re.compile(r"^(?P<key>\w+|'[^']+'):(?: (?P<value>.*))?$")
_TAP_CLOSING = re.compile(r"^# (?:fail [1-9]|failed |Looks like)")
_SAYS = ("error", "message")
_HELPS = ("expected", "actual", "values", "details", "found", "wanted", "diff")


def tap(printed: Printed, _: Sequence[Report]) -> Distilled | None:
    """Test Anything Protocol: what is not ok, with what its YAML block or its comments say."""
    lines = printed.lines
    faults = []
    for at, line in enumerate(lines):
        if not (found := _NOT_OK.match(line)):
            continue
        until = at + 1
        while until < min(len(lines), at + 120) and _within_tap(lines[until], len(found["indent"])):
            until += 1
        body = [text.strip().removeprefix("# ") for text in lines[at + 1 : until] if text.strip()]
        keys = _keys(body)
        if "subtestsFailed" in " ".join(keys.get("failureType", ())):
            continue
        said = difference([text for key in _SAYS for text in keys.get(key, ())])
        said += [f"{key}: {' '.join(keys[key])}" for key in _HELPS if keys.get(key) and len(keys[key]) < 6]
        said = said or [text for text in body if not _YAML.match(text) and text.strip(".-")]
        place = " ".join(keys.get("location", keys.get("file", ()))).strip("'\"")
        if len(said) > 1 and said[0].endswith(":"):
            said[:2] = [" ".join(said[:2])]
        faults.append(
            Fault(at, until, ": ".join(part for part in (place, found["title"], *said[:1]) if part), said[1:12])
        )
    closing = next((line for line in reversed(lines[-60:]) if _TAP_CLOSING.match(line)), "")
    return Distilled(faults, closing) if faults else None


def _within_tap(line: str, indent: int) -> bool:
    if not line:
        return True
    ends = re.match(r"^\s*(?:ok|not ok)\b|^\s*\d+\.\.\d+", line)
    return not ends and (line.startswith(" " * (indent + 1)) or line.startswith("# "))


def _keys(body: Sequence[str]) -> dict[str, list[str]]:
    """A YAML block's keys with their lines; it is not read as YAML, because what tools print there often is none."""
    keys: dict[str, list[str]] = {}
    key = ""
    for text in body:
        if found := _YAML.match(text):
            # AVA puts a heading of its own below `details` or `values`.
            key = key if found["key"][0] == "'" and key in _HELPS else found["key"].strip("'")
            value = found["value"] or ""
            keys.setdefault(key, []).extend([] if value in ("|-", "|", ">-", ">", "") else [value.strip("'\"")])
        elif key and text not in ("---", "..."):
            keys[key].append(text)
    return keys
