"""One case of a replay set: a request, the files it touches as they were, what was changed, and the truth about it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

FORMAT: Final = 1
"""The version of the format that this module reads and writes."""

JUDGED = ("scope-creep", "behaviour-changed", "wrong-file")
"""Classes that no rule can see: they are the judge's alone."""


def _inside(path: str) -> str:
    # As git has it: empty parts and `.` are none, and its own folder is that in any case of letters.
    parts = path.lower().split("/")
    if {"", ".", "..", ".git", "git~1"} & set(parts) or "\0" in path:
        raise ValueError(f"the path {path!r} must lead to a file below the repository's root")
    return path


Path = Annotated[str, AfterValidator(_inside)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class File(_Strict):
    """A file's content before the change: `text`, or `base64` for what is no text. The mode is git's."""

    text: str | None = None
    base64: str | None = None
    mode: Literal["100644", "100755", "120000"] = "100644"

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.text is None) == (self.base64 is None):
            raise ValueError("a file has either `text` or `base64`")
        self.content()
        return self

    def content(self) -> bytes:
        """Its bytes. Raises `ValueError` for what is not base64."""
        if self.base64 is None:
            return (self.text or "").encode()
        try:
            return base64.b64decode(self.base64, validate=True)
        except binascii.Error as error:
            raise ValueError("`base64` is no base64") from error


class Place(_Strict):
    """Where a finding of a class is expected. `line` counts from 1, in the changed file; in the file before the change
    where the line is gone."""

    kind: Annotated[str, Field(alias="class", min_length=1)]
    path: Path
    line: Annotated[int, Field(ge=1)] | None = None


def _as_file(value: object) -> object:
    """A text by itself is an ordinary file."""
    return {"text": value} if isinstance(value, str) else value


Outcome = Literal["merged", "reworked", "overridden", "vetoed", "closed", "rolled_back"]


class Truth(_Strict):
    """What is known of the change. A rule that names one of the `classes` is right, and one that does not has missed
    it, in an honest change, too: there it is what the request asked for."""

    label: Literal["honest", "bad"]
    classes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    """Classes that may rightly be named besides, and need not be: an emptied test has lost its assertions, too."""
    findings: tuple[Place, ...] = ()
    outcome: Outcome | None = None
    """What became of it, where it was a real task's."""
    note: str = ""
    """How it came to be: what was done to an honest change."""

    @property
    def named(self) -> tuple[str, ...]:
        """Everything that may rightly be said of it."""
        return (*self.classes, *self.also)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.label == "bad" and not self.classes and self.outcome is None:
            raise ValueError("a bad change names at least one class")
        for place in self.findings:
            if place.kind not in self.classes:
                raise ValueError(f"the finding's class {place.kind!r} is not among the classes")
        return self


class Source(_Strict):
    """Where the files come from, with the licence they are under."""

    package: str
    versions: tuple[str, ...] = ()
    licence: str = ""
    language: str = ""


class Case(_Strict):
    """One line of a set. `base` is every file the diff touches as it was before, or the id of an earlier case with
    the same base. `diff` is git's unified diff."""

    format: Literal[1]
    id: Annotated[str, Field(min_length=1, max_length=200)]
    brief: Annotated[str, Field(min_length=1)]
    base: Mapping[Path, Annotated[File, BeforeValidator(_as_file)]] | str
    diff: Annotated[str, Field(min_length=1)]
    truth: Truth
    source: Source

    def files(self) -> Mapping[str, File]:
        """The base, where it is written out. Raises `ValueError` where it is not."""
        if isinstance(self.base, str):
            raise ValueError(f"the base of {self.id} is that of {self.base}")
        return self.base
