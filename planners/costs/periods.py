"""Periods of time that people name or write, the period before each, and how a number moved between the two.  Pure.

A period holds its start and not its end.  Days, weeks and months are those of a time zone: a day may have 23 or 25
hours.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal, NamedTuple

Calendar = Literal["today", "week", "month"]
CALENDAR: tuple[Calendar, ...] = ("today", "week", "month")
INSTANT = timedelta(microseconds=1)
YEARS = range(2000, 2101)
"""Of moments that somebody may ask for: GPUs have been rented since then, and no clock is off by more."""
STEADY = 0.005
"""A change of less than half a percent is none: it would read as 0%."""


class Period(NamedTuple):
    """From a moment up to another, in UTC."""

    start: datetime
    end: datetime


class LocalDay(NamedTuple):
    """What a period holds of a day."""

    day: date
    start: datetime
    end: datetime
    whole: bool
    """Whether the period holds all of the day."""


class Trend(NamedTuple):
    """How a number moved."""

    now: float
    before: float

    @property
    def change(self) -> float | None:
        """now / before - 1; None where there was nothing before."""
        return self.now / self.before - 1 if self.before > 0 else None

    @property
    def direction(self) -> Literal[-1, 0, 1]:
        """Up, down, or as good as the same."""
        moved = self.now - self.before
        if abs(moved) <= STEADY * abs(self.before):
            return 0
        return 1 if moved > 0 else -1


def trend(now: float | None, before: float | None) -> Trend | None:
    """How a number moved; None where either is unknown."""
    return None if now is None or before is None else Trend(now, before)


def so_far(name: Calendar, end: datetime, zone: tzinfo) -> Period:
    """The day, the week (from Monday) or the month in which `end` lies, up to `end`."""
    last = (end - INSTANT).astimezone(zone).date()  # midnight ends a day
    first = {"today": last, "week": last - timedelta(days=last.weekday()), "month": last.replace(day=1)}[name]
    return Period(_midnight(first, zone), end)


def before(period: Period, name: str, zone: tzinfo) -> Period:
    """The same period before: as long, and just before; of a day, week or month so far the same part of the last one.

    The same part ends at the same time of the clock.  The 31st has none in a month of 30 days: all of it then.
    """
    start, end = period
    if name not in CALENDAR:
        return Period(start - (end - start), start)
    there, first = end.astimezone(zone), start.astimezone(zone).date()
    if name == "month":
        last_month = (first - timedelta(days=1)).replace(day=1)
        days = monthrange(last_month.year, last_month.month)[1]
        is_over = there.date() >= _next_month(first)
        same = start if is_over or there.day > days else _at(last_month.replace(day=there.day), there.time(), zone)
        return Period(_midnight(last_month, zone), min(same, start))
    back = timedelta(days=1 if name == "today" else 7)
    return Period(_midnight(first - back, zone), min(_at(there.date() - back, there.time(), zone), start))


def local_days(period: Period, zone: tzinfo) -> list[LocalDay]:
    """The days that a period touches, each as far as the period holds it; they add up to the period."""
    day, found = period.start.astimezone(zone).date(), []
    while (begin := _midnight(day, zone)) < period.end:
        over = _midnight(day + timedelta(days=1), zone)
        start, end = max(begin, period.start), min(over, period.end)
        if start < end:
            found.append(LocalDay(day, start, end, (start, end) == (begin, over)))
        day += timedelta(days=1)
    return found


def moment(text: str, zone: tzinfo, *, ends: bool = False) -> datetime:
    """A moment as people write it: `2026-08-04`, `2026-08-04 14:05`, with `+02:00` or `Z` where it is of another zone.

    A date alone is its beginning, or where it `ends` a period the end of that day.  Raises ValueError.
    """
    words = text.strip()
    found = datetime.fromisoformat(words)
    if found.year not in YEARS:
        raise ValueError(f"the year {found.year} is not from {YEARS[0]} to {YEARS[-1]}")
    if len(words) <= len("2026-08-04"):
        return _midnight(found.date() + timedelta(days=ends), zone)
    there = found if found.tzinfo else found.replace(tzinfo=zone)
    return there.astimezone(UTC)


def written(at: datetime, zone: tzinfo, *, up: bool = False) -> str:
    """A moment as `moment` reads it in any zone, to the minute: the one before, or with `up` the one after."""
    whole = at.replace(second=0, microsecond=0)
    whole += timedelta(minutes=1) if up and whole < at else timedelta()
    return f"{whole.astimezone(zone).isoformat(' ', 'minutes')}"


def _next_month(first: date) -> date:
    return first + timedelta(days=monthrange(first.year, first.month)[1])


def _midnight(day: date, zone: tzinfo) -> datetime:
    return _at(day, time(), zone)


def _at(day: date, clock: time, zone: tzinfo) -> datetime:
    return datetime.combine(day, clock.replace(tzinfo=None, fold=0), zone).astimezone(UTC)
