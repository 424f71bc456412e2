"""Times in which nothing is merged: every week, or between two dates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKLY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)\w* (\d{1,2}):(\d{2})", re.IGNORECASE | re.ASCII)
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Window:
    """From one moment to another, as they are written: `Fri 16:00` (each week), `2026-12-20` or `2026-12-20 16:00`."""

    begin: str
    end: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises `ValueError` with a sentence for what is no window."""
        try:
            zone = ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"must name a time zone such as Europe/Stockholm, which {self.zone[:40]!r} is not"
            ) from error
        weekly = [_WEEKLY.fullmatch(written) is not None for written in (self.begin, self.end)]
        if weekly[0] != weekly[1]:
            raise ValueError("must begin and end in the same way: both with a day of the week, or both with a date")
        if weekly[0]:
            if _into_week(self.begin) == _into_week(self.end):
                raise ValueError("must not end when it begins")
        elif _date(self.begin, zone) >= _date(self.end, zone):
            raise ValueError("must end after it begins")

    def until(self, now: datetime) -> datetime | None:
        """When the window that `now` is in ends, in its own zone; None if it is in none."""
        zone = ZoneInfo(self.zone)
        if not _WEEKLY.fullmatch(self.begin):
            begin, end = _date(self.begin, zone), _date(self.end, zone)
            return end if begin <= now < end else None
        there = now.astimezone(zone)
        # On the wall's clock, so that a change to summer time moves no window.
        wall = there.replace(tzinfo=None)
        midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        monday = midnight - timedelta(days=wall.weekday())
        begin_in, end_in = _into_week(self.begin), _into_week(self.end)
        length = (end_in - begin_in) % _WEEK
        for week in (monday - _WEEK, monday):
            if week + begin_in <= wall < week + begin_in + length:
                return (week + begin_in + length).replace(tzinfo=zone)
        return None


def frozen(windows: list[Window], now: datetime | None = None) -> str | None:
    """Why nothing is merged now, in a sentence; None if nothing speaks against it."""
    ends = [end for window in windows if (end := window.until(now or datetime.now(UTC)))]
    if not ends:
        return None
    end = max(ends)
    told = f"{end:%A, %d %B %Y, %H:%M} ({end.tzinfo})"
    return f"merges are frozen until {told} by `merge.freeze` in honk.yaml: tap again then."


def _into_week(written: str) -> timedelta:
    found = _WEEKLY.fullmatch(written)
    hour, minute = (int(found[2]), int(found[3])) if found else (24, 0)
    if found is None or hour > 23 or minute > 59:
        raise ValueError(f"must be a day and a time such as `Fri 16:00`, which {written[:40]!r} is not")
    return timedelta(days=_DAYS.index(found[1].lower()), hours=hour, minutes=minute)


def _date(written: str, zone: ZoneInfo) -> datetime:
    try:
        found = datetime.fromisoformat(written)
    except ValueError as error:
        raise ValueError(
            f"must be written as `Fri 16:00`, `2026-12-20` or `2026-12-20 16:00`, which {written[:40]!r} is not"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=zone)
