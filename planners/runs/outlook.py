"""How far a run is, what it will take and cost at the end, and at which step a limit would stop it.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

RECENT_STEPS = 20
"""Steps whose median gives the pace: long enough to even out the tail of one, short enough to follow a change."""
OVERDUE_STEPS = 3.0
OVERDUE_SECONDS = 10.0
"""A step that takes so many times its pace, and so much longer, is worth a word; a restart or a slow batch is not."""
SECONDS_PER_HOUR = Decimal(3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a run has used, what an hour costs, and its limits.  None = unknown, or no limit."""

    hours: Decimal
    known_usd: Decimal
    priced: bool
    """Whether everything so far has a price."""
    usd_per_hour: Decimal | None
    limit_usd: Decimal | None = None
    limit_hours: Decimal | None = None

    @property
    def usd(self) -> Decimal | None:
        """The bill so far; None while a part of it is unknown."""
        return self.known_usd if self.priced else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Where a run will end if it goes on as it does.  None = unknown."""

    done: int
    of: int
    seconds_left: float
    overdue_seconds: float
    """How long the current step takes, where that is far longer than its pace; else 0."""
    hours_at_end: Decimal
    usd_at_end: Decimal | None
    stops_at_step: int | None = None
    """The last step that its limits let it finish; None where they let it finish all."""
    stopped_by: str = ""
    """`usd` or `hours`."""


def pace_seconds(finished: Sequence[datetime], planned_seconds: float) -> float:
    """Seconds per step: the median of the recent ones, the planned ones before there are two.

    finished: when each step was done, in order.  Breaks between two starts of the job count in the median as one.
    """
    recent = finished[-RECENT_STEPS - 1 :]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(recent)]
    gaps = [gap for gap in gaps if gap > 0]
    return median(gaps) if gaps else planned_seconds


def outlook(*, done: int, of: int, step_seconds: float, since_step_seconds: float, spending: Spending) -> Outlook:
    """What is left, at `step_seconds` a step, of which `since_step_seconds` of the current one have passed."""
    seconds_left = max((of - done) * step_seconds - min(since_step_seconds, step_seconds), 0.0)
    hours_left = Decimal(str(seconds_left)) / SECONDS_PER_HOUR
    price = spending.usd_per_hour
    usd_at_end = None if spending.usd is None or price is None else spending.usd + hours_left * price
    room = {}
    if spending.limit_hours is not None:
        room["hours"] = spending.limit_hours - spending.hours
    if spending.limit_usd is not None and price:
        room["usd"] = (spending.limit_usd - spending.known_usd) / price
    stopped_by = min(room, key=lambda name: room[name]) if room else ""
    stops_at = None
    if stopped_by and room[stopped_by] < hours_left and step_seconds > 0:
        seconds = max(float(room[stopped_by] * SECONDS_PER_HOUR), 0.0) + min(since_step_seconds, step_seconds)
        stops_at = min(done + int(seconds / step_seconds), of - 1)
    late = since_step_seconds > OVERDUE_STEPS * step_seconds + OVERDUE_SECONDS
    return Outlook(
        done=done,
        of=of,
        seconds_left=seconds_left,
        overdue_seconds=since_step_seconds if late else 0.0,
        hours_at_end=spending.hours + hours_left,
        usd_at_end=usd_at_end,
        stops_at_step=stops_at,
        stopped_by=stopped_by if stops_at is not None else "",
    )
