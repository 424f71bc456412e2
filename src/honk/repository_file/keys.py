"""The keys of honk.yaml. Every one is optional."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from honk.findings import KINDS, Treatment
from honk.freeze import Window
from honk.repository_file.values import (
    BUILD_NAME,
    Address,
    Below,
    BuildName,
    CheckName,
    Duration,
    FindingKind,
    Host,
    Image,
    Line,
    Listen,
    Moment,
    Pattern,
    no_truth,
)


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
    threshold: Annotated[float, Field(ge=0, le=1), BeforeValidator(no_truth)] = 0.5
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
    builds: dict[BuildName, Build] | None = Field(default=None, json_schema_extra=_named(BUILD_NAME))
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
