"""The window of time that a viewer chose, in words or in moments, as a period."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from clusterctl.errors import SpecError
from planners.costs.periods import CALENDAR, Period, moment, so_far

FROM_TO, ALL = "from-to", "all"
WINDOWS: dict[str, timedelta | None] = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    **dict.fromkeys((*CALENDAR, ALL, FROM_TO)),
}
"""Words of the address → how long back, where that is a length."""
USUAL = "24h"
SHORTEST = timedelta(seconds=10)
EXAMPLE = "as `2026-08-04`, `2026-08-04 14:05` or `2026-08-04 14:05+02:00`"


class Chosen(NamedTuple):
    """What the viewer chose of time."""

    name: str = USUAL
    """One of WINDOWS."""
    begins: str = ""
    ends: str = ""
    """For FROM_TO: as people write moments; no end is now."""
    zone: str = "UTC"
    """The viewer's, by its IANA name."""


def period_of(chosen: Chosen, now: datetime, *, began: datetime | None, ended: datetime | None) -> Period | None:
    """The window within what there is: a run that `began` and has `ended`, or all runs (neither); None for ALL of them.

    Raises SpecError for moments that can't be read, and for windows in which nothing can have happened.
    """
    last = now if ended is None else min(now, ended)
    if chosen.name == FROM_TO:
        return _from_to(chosen, now, began=began, last=last)
    if chosen.name == ALL:
        return None if began is None else _at_least(began, last)
    length = WINDOWS[chosen.name]
    zone = ZoneInfo(chosen.zone)
    start = last - length if length else so_far(chosen.name, last, zone).start  # type: ignore[arg-type]
    return _at_least(start if began is None else max(start, began), last)


def _from_to(chosen: Chosen, now: datetime, *, began: datetime | None, last: datetime) -> Period:
    start = _moment("from", chosen.begins, chosen)
    end = _moment("to", chosen.ends, chosen, ends=True) if chosen.ends.strip() else now
    if start >= now:
        raise SpecError(f"the range begins in the future: {chosen.begins}", hint="choose an earlier `from`")
    if start >= end:
        raise SpecError(f"the range ends ({chosen.ends}) before it begins ({chosen.begins})", hint="exchange the two")
    if began is not None and (start >= last or end <= began):
        lived = f"from {_there(began, chosen)} to {_there(last, chosen)}"
        raise SpecError("the chosen run did not live in that range", hint=f"it lived {lived}")
    return _at_least(start if began is None else max(start, began), min(end, last))


def _moment(field: str, text: str, chosen: Chosen, *, ends: bool = False) -> datetime:
    try:
        return moment(text, ZoneInfo(chosen.zone), ends=ends)
    except (ValueError, OverflowError) as error:
        said = f"`{field}` is not a moment: {text[:40]}" if text.strip() else f"`{field}` is empty"
        raise SpecError(said, hint=f"write it {EXAMPLE}; without an offset it is of {chosen.zone}") from error


def _there(at: datetime, chosen: Chosen) -> str:
    return f"{at.astimezone(ZoneInfo(chosen.zone)):%Y-%m-%d %H:%M}"


def _at_least(start: datetime, end: datetime) -> Period:
    return Period(start, max(end, start + SHORTEST))
