"""Files that test runners write for machines: JUnit XML (pytest, surefire, Gradle, jest-junit …), TRX, SARIF."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from honk.verify.distil.cleaning import clean
from honk.verify.distil.fault import Distilled, Fault, Printed, Report
from honk.verify.distil.structured import of_json

_LONGEST = 8_000_000
_FRAME = re.compile(r"^\s*at .*?\(?(?P<place>[\w$./\\-]+\.\w+:\d+)(?::\d+)?\)?$")
_PYTHON_PLACE = re.compile(r"^(?P<place>\S+\.py:\d+): \w*")


def reported(_: Printed, reports: Sequence[Report]) -> Distilled | None:
    """The failures in the reports, whatever was printed besides."""
    faults = [fault for report in reports for fault in _faults(report) if len(report.text) <= _LONGEST]
    return Distilled(faults) if faults else None


def _faults(report: Report) -> Iterator[Fault]:
    if report.text.lstrip("\ufeff \r\n\t")[:1] == "{":
        try:
            yield from of_json(json.loads(report.text))
        except (ValueError, RecursionError):
            return
        return
    for element in elements(report):
        name = local_name(element)
        if name == "testcase":
            yield from _junit(element)
        elif name == "UnitTestResult" and element.get("outcome") in ("Failed", "Error", "Timeout", "Aborted"):
            yield _trx(element)


def elements(report: Report) -> Iterator[Element]:
    """All of a report in XML; nothing of one that cannot be read."""
    try:
        root = fromstring(report.text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        return
    yield from root.iter()


def local_name(element: Element) -> str:
    """An element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def broken_parts(case: Element) -> list[Element]:
    """What JUnit's XML says of how a test case went wrong."""
    return [part for part in case if local_name(part) in ("failure", "error")]


def case_name(case: Element) -> str:
    """What a test case in JUnit's XML is called."""
    return ".".join(part for part in (case.get("classname"), case.get("name")) if part)


def _junit(case: Element) -> Iterator[Fault]:
    for part in broken_parts(case):
        message = part.get("message") or part.get("type") or ""
        yield _fault(case_name(case), message, part.text or "", case.get("file") or "")


def _trx(result: Element) -> Fault:
    texts = {local_name(element): element.text or "" for element in result.iter()}
    return _fault(result.get("testName") or "", texts.get("Message", ""), texts.get("StackTrace", ""), "")


_NOT_COLLECTED = "collection failure"
"""All that pytest's message says of a file that it could not import; why, its trace says last."""


def _fault(title: str, message: str, trace: str, file: str) -> Fault:
    said = [line.strip() for line in clean(message) if line.strip()]
    traced = clean(trace)
    if not said:
        said = [line.strip() for line in traced if line.strip() and not line.lstrip().startswith("at ")][:6]
    wrong = [line[1:].strip() for line in traced if line.startswith("E  ")]
    if said == [_NOT_COLLECTED] and wrong:
        said = wrong[-1:]
    own = _own_place(traced, title)
    headline = ": ".join(part for part in (own or file, title, said[0] if said else "") if part)
    more = [line[1:].rstrip() for line in traced if line.startswith("E  ")][1:8]
    causes = [line for line in traced if line.startswith("Caused by:")]
    return Fault(0, 1, clean(headline)[0], [*said[1:10], *(more if len(said) < 2 else ()), *causes[-1:]])


def _own_place(trace: Sequence[str], title: str) -> str:
    """The line of the test itself, or of the last frame that is not of the test runner."""
    words = {part for part in re.split(r"\W+", title) if part}
    lines = (re.sub(r" in (\S+):line (\d+)$", r" (\1:\2)", line) for line in trace)
    places = [found["place"] for line in lines if (found := _FRAME.match(line))]
    own = [place for place in places if place.partition(".")[0].rpartition("/")[2] in words]
    python = [found["place"] for line in trace if (found := _PYTHON_PLACE.match(line)) and "site-packages" not in line]
    return (own or python[-1:] or [place for place in places if "node_modules" not in place] or [""])[0]
