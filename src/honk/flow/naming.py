"""Which repository a person's words name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from honk.model import Repository

_CLAUSE = re.compile(
    r"(?:^|(?<=[\s,(]))(?:in|on|for|of)\s+(?:the\s+)?[`<]?(?P<place>[A-Za-z0-9][\w.:/@-]*\w)(?:\|[^>\s]*)?[`>]?"
    r"(?:\s+repo(?:sitory)?)?(?=$|[\s,.;:!?)])",
    re.IGNORECASE,
)
_PREFIX = re.compile(r"^\s*[`<]?(?P<place>[A-Za-z0-9][\w.:/@-]*\w)(?:\|[^>\s]*)?[`>]?\s*:\s+")
_ADDRESS = re.compile(r"[`<]?(?P<place>https?://[\w.:/@-]*\w)(?:\|[^>\s]*)?[`>]?")

_LOOKUPS = 5
"""How many unknown names of a text are looked up; each asks the forge."""


def named(
    text: str, known: Sequence[Repository], lookup: Callable[[str], Repository | None]
) -> tuple[Repository | None, str]:
    """The repository that a text names (`… in encore`, `acme/encore: …`, an address), and the text without saying so.

    `lookup` is asked for what looks like a place and is not among the `known`. None and the whole text if it names
    none; of several clauses the last one that names a repository counts.
    """
    clauses = [*_CLAUSE.finditer(text)][::-1]
    left = _LOOKUPS
    for found in [*clauses, *filter(None, [_PREFIX.match(text)]), *_ADDRESS.finditer(text)]:
        place = found["place"].removesuffix(".git")
        repository = _among(place, known)
        if repository is None and "/" in place and left:
            repository, left = lookup(place), left - 1
        if repository:
            before, after = text[: found.start()].rstrip(" ,("), text[found.end() :].lstrip(" ,)")
            if not before:
                after = after.lstrip(" :;.")
            rest = (before + ("" if after[:1] in tuple(".;:!?") else " ") + after).strip()
            # An address inside a sentence belongs to the sentence.
            return repository, rest if rest and found.re is not _ADDRESS else text.strip()
    return None, text.strip()


def _among(place: str, known: Sequence[Repository]) -> Repository | None:
    wanted = place.lower()
    for repository in known:
        address = repository.address.lower().removesuffix(".git")
        if wanted in (repository.name.lower(), address) or ("/" in wanted and address.endswith(f"/{wanted}")):
            return repository
    last = [repository for repository in known if _last(repository) == wanted]
    return last[0] if len(last) == 1 else None


def _last(repository: Repository) -> str:
    return repository.address.lower().rstrip("/").removesuffix(".git").rpartition("/")[2]
