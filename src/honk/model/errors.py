"""What goes wrong, in words for people."""

from __future__ import annotations


class HonkError(Exception):
    """Something a person can act on: its text is one sentence that says what to do."""

    exit_code = 1
    passing = False
    """Whether the same may go well when it is tried again later, as when a service does not answer."""


class UsageError(HonkError):
    """The request itself cannot be carried out as it stands; nothing was created."""

    exit_code = 2


class NotFound(HonkError):
    """The named task, repository or artifact does not exist here."""

    exit_code = 2


class Refused(HonkError):
    """The gate said no: a stale tap, a red check, a merge that is not safe. Nothing was changed."""


class Conflict(Refused):
    """The change and the newest base contradict each other; somebody has to mend that."""


class Cancelled(HonkError):
    """The person asked to stop; the work so far is kept."""


class LimitReached(HonkError):
    """A budget (money, turns, rounds, time) is used up; the work so far is kept and can be continued."""
