"""`honk.yaml`: what a repository says about itself. Read from the base branch only; every key is optional."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from honk.findings import KINDS, Treatment
from honk.freeze import Window
from honk.model import UsageError

MAX_BYTES = 64 * 1024
"""A larger honk.yaml is refused."""
_MAX_NODES = 5_000
_MAX_SECONDS = 7 * 24 * 3600.0
_DURATION = re.compile(r"^(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|m|h)?$", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_NAME = re.compile(r"^[^\s\x00-\x1f]([^\r\n\t\x00-\x1f]{0,58}[^\s\x00-\x1f])?$")
_BUILD_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")
_ADDRESS = re.compile(r"^https?://[^\s/?#]+\S*$")
_HOST = re.compile(r"^((\*\.)?\w[\w-]*(\.\w[\w-]*)*\.?|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$")
_IMAGE = re.compile(r"^[a-z0-9][\w.:/@-]{0,254}$", re.ASCII)
_LISTEN = re.compile(r"^([0-9.]{7,15}|\[[0-9A-Fa-f:.]+\]):\d{1,5}$")


class RepositoryFileError(UsageError):
    """honk.yaml is wrong; the sentence names the line and the key."""


def _seconds(value: object) -> float:
    found = None
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        found = _DURATION.match(str(value).strip())
    if not found:
        raise ValueError("must be a duration such as 60s, 2m or 1h")
    seconds = float(found[1]) * _UNITS[found[2]]
    if not 0 < seconds <= _MAX_SECONDS:
        raise ValueError("must be longer than 0 and at most 168h")
    return seconds


def _shell_line(text: str) -> str:
    # A blank line ends with 0: a check that is always green.
    if not text.strip():
        raise ValueError("must be a shell line, not blank")
    if "\0" in text:
        raise ValueError("must be a shell line, and no shell takes the character `\\0`")
    return text


def _no_truth(value: object) -> object:
    # YAML's `true` is a number to Python.
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _below_root(path: str) -> str:
    pure = PurePosixPath(path)
    if not path.strip() or pure.is_absolute() or ".." in pure.parts:
        raise ValueError("must be a path below the repository's root, without `..`")
    return path


def _pattern(text: str) -> str:
    from pathspec import GitIgnoreSpec

    try:
        fits = bool(text.strip()) and bool(GitIgnoreSpec.from_lines([text]))
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"must be a pattern as in .gitignore, which {text!r} is not")
    return text


def _host(text: str) -> str:
    found = _HOST.fullmatch(text)
    if not found or not 0 < int((found[4] or ":443")[1:]) < 65_536:
        raise ValueError(
            f"must be `host`, `host:port` or `*.domain` without http:// or a path, which {text[:80]!r} is not"
        )
    return text


def _matching(pattern: re.Pattern[str], sentence: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(sentence)
        return text

    return AfterValidator(check)


def _finding(kind: str) -> str:
    if kind not in KINDS:
        near = get_close_matches(kind, KINDS, 1) or ["test-deleted"]
        raise ValueError(f"must be a kind of finding, such as `{near[0]}`: docs/tamper-guard.md has them all")
    return kind


def _text(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _DURATION.pattern},
                {"type": "number", "exclusiveMinimum": 0, "maximum": _MAX_SECONDS},
            ]
        }
    ),
]
"""Seconds; written as `60s`, `2m`, `1h` or a number of seconds."""

Moment = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, date) else value)]
"""YAML reads a date as one."""

Line = Annotated[str, AfterValidator(_shell_line), _text(r"\S")]
Below = Annotated[str, AfterValidator(_below_root), _text(r"^(?!\s*/)(?!(.*/)?\.\.(/|$)).*\S")]
Address = Annotated[
    str, _matching(_ADDRESS, "must begin with http:// or https:// and name a host"), _text(_ADDRESS.pattern)
]
Host = Annotated[str, AfterValidator(_host), _text(_HOST.pattern)]
Listen = Annotated[
    str,
    _matching(_LISTEN, "must be an address and a port such as `127.0.0.1:8080` or `[::]:8080`"),
    _text(_LISTEN.pattern),
]
Image = Annotated[
    str,
    _matching(_IMAGE, "must be the name of a container image such as `docker.io/library/python:3.12`"),
    _text(_IMAGE.pattern),
]
Pattern = Annotated[str, AfterValidator(_pattern), _text(r"\S")]
CheckName = Annotated[str, _matching(_NAME, "must be a name of one line and at most 60 characters"), _text(r"\S")]
FindingKind = Annotated[str, AfterValidator(_finding), WithJsonSchema({"type": "string", "enum": sorted(KINDS)})]
BuildName = Annotated[
    str,
    _matching(_BUILD_NAME, "must be a name of letters, digits, `_` and `-`, at most 40"),
    _text(_BUILD_NAME.pattern),
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class VerifyStep(_Part):
    """One check: a shell line that is green when it ends with 0."""

    run: Line
    timeout: Duration = 600.0
    directory: Below = "."
    after: list[CheckName] = Field(default_factory=list)
    """Checks above it whose files it needs, such as a build's."""


class Build(_Part):
    """One artifact: a shell line, and where it puts what it makes (a file, a folder or a glob)."""

    run: Line
    output: Below
    on: str | None = None
    """The label of the worker that can do it, such as `macos`; `github-actions`: `run` is a workflow's file name."""
    inputs: list[Pattern] | None = None
    """The files it reads. It is not made again while these, and its own lines, stay the same. None: all but tests and
    prose."""
    timeout: Duration = 1800.0


SERVICE = "service"
"""What a preview that runs is called among the builds."""


class Service(_Part):
    """A program that listens."""

    run: Line
    port: Annotated[int, Field(ge=1024, le=65535)]
    """Where it listens, on 127.0.0.1; told to it as `PORT`."""
    directory: Below = "."
    ready: Duration = 60.0
    """How soon it has to listen."""


class Preview(Service):
    """A service that is started when somebody looks at a version, and stopped when nobody does."""

    idle: Duration = 600.0
    """How long it runs on without a visitor."""

    @property
    def build(self) -> Build:
        """The build that tries whether it starts."""
        return Build(run=self.run, output=f"{self.directory}/127.0.0.1:{self.port}", timeout=self.ready)


class Metric(_Part):
    """A number that is asked for while a deployment is watched: an address that answers with one, or with what
    Prometheus answers to a query."""

    url: Address
    name: str | None = None
    below: float | None = None
    above: float | None = None
    times_before: Annotated[float, Field(gt=0)] | None = None
    """At most so many times what it was before the deploy."""

    @model_validator(mode="after")
    def _says_what_is_well(self) -> Metric:
        if self.below is None and self.above is None and self.times_before is None:
            raise ValueError("must say what is well: `below`, `above` or `times_before`")
        return self


class Health(_Part):
    """How a deployment is watched, every so often, for so long: an address that must answer with a 2xx status, numbers,
    a command that must end with 0."""

    url: Address | None = None
    run: Line | None = None
    metrics: list[Metric] = Field(default_factory=list)
    within: Duration = 5.0
    """How soon the address has to answer."""
    seconds: Duration = Field(default=60.0, alias="for")
    every: Duration = 1.0

    @model_validator(mode="after")
    def _asks_something(self) -> Health:
        if not (self.url or self.run or self.metrics):
            raise ValueError("must name what is watched: `url`, `metrics` or `run`")
        return self

    @property
    def named(self) -> str:
        """What is watched, in a few words."""
        numbers = [metric.name or metric.url for metric in self.metrics]
        return ", ".join([*([self.url] if self.url else []), *numbers, *([f"`{self.run}`"] if self.run else [])])


class Deploy(_Part):
    """What brings the default branch into production, and back: commands, GitHub's own deployments, or Honk itself."""

    run: Line | None = None
    rollback: Line | None = None
    environment: CheckName | None = None
    """The environment on GitHub that is asked for a deployment, instead of running a command."""
    site: BuildName | None = None
    """The build whose files Honk itself serves, instead of running a command."""
    service: Service | None = None
    """What Honk itself keeps running of the landed commit, instead of running a command."""
    listen: Listen | None = None
    """Where it serves the site or the service."""
    health: Health | None = None
    url: Address | None = None
    """Where people find the deployed version; the health address if left out."""
    timeout: Duration = 600.0
    revert: bool = True
    """Whether a change that was rolled back is also undone on the default branch, by a change that is offered."""

    @model_validator(mode="after")
    def _names_one_way(self) -> Deploy:
        if [self.run, self.environment, self.site, self.service].count(None) != 3:
            raise ValueError(
                "must name one of `run`, a command, `environment`, one of GitHub's, `site`, a build, and `service`, "
                "what Honk keeps running"
            )
        if (self.site is None and self.service is None) != (self.listen is None):
            raise ValueError(
                "must name `listen`, such as `127.0.0.1:8080`, with `site` or `service` and only with them"
            )
        return self

    @property
    def answers(self) -> str | None:
        """The path at which a service has to answer before it gets visitors: the health address's, where that is the
        service's own, by `listen` or by `url`."""
        if not (self.service and self.listen and self.health and self.health.url):
            return None
        asked, own = urlsplit(self.health.url), urlsplit(self.url or "")
        if asked.netloc != own.netloc and not asked.netloc.endswith(f":{self.listen.rpartition(':')[2]}"):
            return None
        return (asked.path or "/") + (f"?{asked.query}" if asked.query else "")

    @property
    def named(self) -> str:
        """What happens, in a few words."""
        if self.site:
            return f"serving `{self.site}` at {self.listen}"
        if self.service:
            return f"running `{self.service.run}` at {self.listen}"
        return f"`{self.run}`" if self.run else f"deployment to {self.environment} on GitHub"


class Sandboxing(_Part):
    """What this repository's commands need of the sandbox besides what every one gets."""

    nested: bool = False
    """Whether they may make user namespaces of their own, for a sandbox in the sandbox."""
    image: Image | None = None
    """What containers are made of, where Honk's sandboxes are such; default: what devcontainer.json names."""
    dockerfile: Below | None = None
    """The Dockerfile that makes it, with the repository as context."""

    @model_validator(mode="after")
    def _is_made_of_one_thing(self) -> Sandboxing:
        if self.image and self.dockerfile:
            raise ValueError("must name an image or a dockerfile, not both")
        return self


JudgeMode = Literal["off", "advise", "veto"]


class Judge(_Part):
    """Whether a model looks at each change, and what follows from what it says."""

    mode: JudgeMode | None = None
    """`off`: it is not asked; `advise`: its verdict is shown; `veto`: a bad one also wants a person's tap before the
    change is merged. None: as the installation has it."""
    threshold: Annotated[float, Field(ge=0, le=1), BeforeValidator(_no_truth)] = 0.5
    """The score below which a verdict is bad."""
    rounds: Annotated[int, Field(ge=0, le=10)] = 2
    """How often the agent is sent back to work because of a veto or of a finding that wants a tap, in one turn."""
    model: str | None = None
    """Who judges; None: as the installation has it."""


def _kind_of_judge(value: object) -> str:
    return "rules" if isinstance(value, (dict, Judge)) else "mode"


JudgeEntry = Annotated[
    Annotated[JudgeMode, Tag("mode")] | Annotated[Judge, Tag("rules")], Discriminator(_kind_of_judge)
]


class Freeze(_Part):
    """A time in which nothing is merged: each week (`Fri 16:00`), or between two dates (`2026-12-20`)."""

    begin: Moment = Field(alias="from")
    end: Moment = Field(alias="to")
    zone: str = "UTC"

    @model_validator(mode="after")
    def _is_a_window(self) -> Freeze:
        Window(self.begin, self.end, self.zone)
        return self


class Merge(_Part):
    """How a change lands, and when none does."""

    method: Literal["squash", "merge", "rebase"] = "squash"
    approvals: Annotated[int, Field(ge=0, le=10)] = 0
    already_red: Literal["block", "allow"] = "block"
    """Whether a change may land although a check is red, if that fails in the same way on what it is made from."""
    require_trial: bool = False
    """Whether somebody has to open or install a version before it is merged."""
    freeze: list[Freeze] = Field(default_factory=list)

    @property
    def windows(self) -> list[Window]:
        """The times in which nothing is merged."""
        return [Window(one.begin, one.end, one.zone) for one in self.freeze]


def _named(names: re.Pattern[str] | Mapping[str, Any]) -> dict[str, Any]:
    """What pydantic leaves out of the schema: which keys a mapping may have."""
    return {"propertyNames": {"pattern": names.pattern} if isinstance(names, re.Pattern) else {"enum": sorted(names)}}


def _kind_of_step(value: object) -> str:
    return "step" if isinstance(value, (dict, VerifyStep)) else "line"


Step = Annotated[Annotated[Line, Tag("line")] | Annotated[VerifyStep, Tag("step")], Discriminator(_kind_of_step)]


class RepositoryFile(_Part):
    """Everything honk.yaml can say."""

    setup: Line | None = None
    verify: dict[CheckName, Step] | None = None
    """None: found by what the repository contains. Empty: no checks."""
    judge: JudgeEntry | None = None
    tamper: dict[FindingKind, Treatment] = Field(default_factory=dict, json_schema_extra=_named(KINDS))
    """By kind. What is not named is as usual for its kind where it is serious, and `show` where it is not."""
    protect: list[Pattern] = Field(default_factory=list)
    builds: dict[BuildName, Build] | None = Field(default=None, json_schema_extra=_named(_BUILD_NAME))
    """None: found by what the repository contains. Empty: no builds."""
    preview: Preview | None = None
    deploy: Deploy | None = None
    merge: Merge = Merge()
    egress: list[Host] = Field(default_factory=list)
    sandbox: Sandboxing = Sandboxing()
    max_cost_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_turns: Annotated[int, Field(gt=0)] | None = None

    @property
    def judging(self) -> Judge:
        """What `judge` says, in its long form."""
        return self.judge if isinstance(self.judge, Judge) else Judge(mode=self.judge)

    @field_validator("verify")
    @classmethod
    def _comes_after_what_is_above(cls, verify: dict[str, Step] | None) -> dict[str, Step] | None:
        above: list[str] = []
        for name, step in (verify or {}).items():
            missing = [one for one in step.after if one not in above] if isinstance(step, VerifyStep) else []
            if missing:
                raise ValueError(f"must have the check `{missing[0]}` above `{name}`, which names it under `after`")
            above.append(name)
        return verify

    @field_validator("builds")
    @classmethod
    def _keeps_the_name_of_the_service(cls, builds: dict[str, Build] | None) -> dict[str, Build] | None:
        if builds and SERVICE in builds:
            raise ValueError(f"must not use the name `{SERVICE}`, which is what `preview` makes")
        return builds


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of honk.yaml."""
    schema = RepositoryFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "honk.yaml"} | {
        name: value for name, value in schema.items() if name != "title"
    }


def parse_repository_file(text: str) -> RepositoryFile:
    """Read honk.yaml's text (decoded with replacement); empty text is an empty file.

    Raises `RepositoryFileError` with one sentence that names the line and the key.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise RepositoryFileError(
            f"honk.yaml is larger than {MAX_BYTES // 1024} kB: keep long scripts in files of their own."
        )
    _refuse_odd_characters(text)
    document = _load(text)
    if document is None:
        return RepositoryFile()
    if not isinstance(document, dict):
        raise RepositoryFileError("honk.yaml, line 1: must be keys and values, such as `setup: npm ci`.")
    if _count(document) > _MAX_NODES:
        raise RepositoryFileError("honk.yaml expands to more than it may: do without the aliases (`*name`).")
    try:
        return RepositoryFile.model_validate(_plain(document))
    except ValidationError as error:
        raise RepositoryFileError(_sentence(document, error)) from error


_ODD = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffc\U00010000-\U0010ffff]")


def _refuse_odd_characters(text: str) -> None:
    if found := _ODD.search(text.removeprefix("\ufeff")):
        line = text.count("\n", 0, found.start()) + 1
        what = "is not UTF-8" if found[0] == "\ufffd" else f"holds the control character U+{ord(found[0]):04X}"
        raise RepositoryFileError(f"honk.yaml, line {line}: {what}; save the file as plain UTF-8 text.")


# What the YAML parser says, and what to do about it.
_REMEDIES = (
    ("that cannot start any token", "indent with spaces, not tabs, and quote a value that begins with a sign"),
    ("mapping values are not allowed", "check the indentation, and quote a value that holds `: `"),
    ("expected <block end>", "check the indentation: it differs from the lines above"),
    ("could not find expected ':'", "every line must be `key: value`"),
    ("undefined alias", "quote a value that begins with `*`"),
    ("another document", "keep one document, without `---` in between"),
)


def _load(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = YAML(typ="rt")
    reader.allow_duplicate_keys = False
    try:
        return reader.load(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = str(error.problem or "").strip()
        if type(error).__name__ == "DuplicateKeyError":
            found = re.search(r'key "?([^"\s]+)"?', problem)
            raise RepositoryFileError(
                f"honk.yaml, line {line}: the key `{found[1] if found else '?'}` is there twice; keep one."
            ) from error
        remedy = next((remedy for said, remedy in _REMEDIES if said in problem), problem)
        raise RepositoryFileError(f"honk.yaml, line {line}: this is not YAML; {remedy}.") from error
    except RecursionError as error:
        raise RepositoryFileError("honk.yaml, line 1: this is nested too deep; keep it plain.") from error
    except (YAMLError, ValueError) as error:
        told = next(iter(str(error).strip().splitlines()), "it cannot be read")
        raise RepositoryFileError(f"honk.yaml, line 1: this is not YAML; {told}.") from error


def _count(node: Any) -> int:
    """Nodes after expansion, counted until it is clear that there are too many."""
    total, waiting = 0, [node]
    while waiting and total <= _MAX_NODES:
        total += 1
        here = waiting.pop()
        if isinstance(here, dict):
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)
    return total


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    if isinstance(node, bool):
        return bool(node)
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


_WORDS = {
    "string_type": "must be text",
    "list_type": 'must be a list, such as ["a", "b"]',
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}
_EXAMPLES = {
    "verify": "`test: npm test`",
    "builds": "`web: {run: npm run build, output: dist}`",
    "deploy": "`run: ./deploy.sh`",
    "deploy.service": "`run: npm start`",
    "deploy.health": '`url: "https://example.com/health"`',
    "merge": "`method: squash`",
    "tamper": "`test-deleted: show`",
}


def _sentence(document: Any, error: ValidationError) -> str:
    """The one sentence for what is wrong: unknown keys first, because they mostly cause the rest, then from the top."""
    found = [(fault, _place(document, fault["loc"], fault["type"])) for fault in error.errors()]
    fault, place = min(found, key=lambda one: (one[0]["type"] != "extra_forbidden", _line(document, one[1])))
    key = ".".join(str(part) for part in place)
    start = f"honk.yaml, line {_line(document, place)}:"
    if fault["type"] == "extra_forbidden":
        allowed = _allowed(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), allowed, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"possible are {', '.join(allowed)}."
        return f"{start} the key `{_short(key)}` is not known; {hint}"
    if fault["type"] == "missing":
        return f"{start} the key `{_short(key)}` is missing; add it."
    if fault["type"] in ("dict_type", "model_type", "model_attributes_type"):
        example = _EXAMPLES.get(key, "`run: npm run build`")
        return f"{start} `{_short(key)}` must be keys and values, such as {example}."
    told = fault["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should", "must").rstrip(".")
    return f"{start} `{_short(key)}` {_WORDS.get(fault['type'], told)}."


def _short(key: str) -> str:
    shown = key.encode("unicode_escape").decode() if any(sign in key for sign in "\r\n\t\0") else key
    return shown if len(shown) <= 80 else shown[:79] + "…"


def _place(document: Any, location: Iterable[int | str], kind: str) -> list[int | str]:
    """The keys that lead to a fault. What pydantic adds to them (the variants of a union) is no key of the document."""
    node, place = document, []
    parts = list(location)
    for part in parts:
        children = {str(key): value for key, value in node.items()} if isinstance(node, dict) else node
        if (isinstance(children, dict) and part in children) or (isinstance(children, list) and isinstance(part, int)):
            place.append(part)
            node = children[part]  # type: ignore[index]
    return [*place, parts[-1]] if kind == "missing" else place


def _line(document: Any, place: Iterable[int | str]) -> int:
    """The line (from 1) of the deepest part of `place` that is there."""
    node: Any = document
    line = 1
    for part in place:
        try:
            marks: Any = node.lc
            key = next(key for key in node if str(key) == part) if isinstance(node, dict) else part
            position = marks.key(key) if isinstance(node, dict) else marks.item(key)
            line, node = position[0] + 1, node[key]
        except (KeyError, IndexError, AttributeError, TypeError, StopIteration):
            break
    return line


def _allowed(place: Iterable[int | str]) -> list[str]:
    """The keys that may stand at a place."""
    parts = list(place)
    model: type[BaseModel] = RepositoryFile
    match parts:
        case ["builds", _]:
            model = Build
        case ["deploy"]:
            model = Deploy
        case ["deploy", "health"]:
            model = Health
        case ["deploy", "service"]:
            model = Service
        case ["preview"]:
            model = Preview
        case ["deploy", "health", "metrics", _]:
            model = Metric
        case ["judge"]:
            model = Judge
        case ["merge"]:
            model = Merge
        case ["merge", "freeze", _]:
            model = Freeze
        case ["verify", _]:
            model = VerifyStep
    return [field.alias or name for name, field in model.model_fields.items()]
