"""What is looked at: which data, which run, which window of time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import polars as pl

from clusterctl.ledger.rows import LIVE, Run
from planners.costs.periods import Period

Data = Literal["live", "simulated"]
FRESH_SECONDS = 5.0
"""Live data may be this old on a page."""
BUCKETS = {False: 360, True: 50}
"""Most buckets of a time axis, by whether the view is large: a day of 1,250 machines in 50 is read in half a second.
360: an hour in buckets of 10 s, a week in buckets of half an hour, in which an outage of 40 minutes shows."""
STEPS = (10, 60, 600, 1800, 3600, 21_600, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is looked at.  `run` None = all runs; nothing is read before `start` or after `end`."""

    data: Data
    run: Run | None
    start: datetime
    end: datetime
    now: datetime
    finest_seconds: int = STEPS[0]
    """How far measurements are apart: no bucket is narrower."""
    large: bool = False
    """Whether so many machines are looked at that time is divided more coarsely."""
    previous: Period | None = None
    """The same period before; None where nothing was recorded yet in a part of it, or the view is large: it would
    double what a page reads."""

    @property
    def run_id(self) -> str | None:
        return None if self.run is None else self.run.run_id

    @property
    def simulated(self) -> bool:
        """Whether the data is invented."""
        return self.data == "simulated"

    @property
    def live(self) -> bool:
        """Whether new data may come."""
        return self.data == "live" and self.is_now and (self.run is None or self.run.state in LIVE)

    @property
    def is_now(self) -> bool:
        """Whether the window reaches up to now, or to the end of the run."""
        ended = None if self.run is None else self.run.ended_at
        return self.end >= (self.now if ended is None else min(self.now, ended))

    @property
    def before(self) -> View | None:
        """The same period before.  In whole buckets, so that a live page reads it anew once in a bucket."""
        if self.previous is None:
            return None
        length = self.previous.end - self.previous.start
        start = _tick(self.previous.start, self.step_seconds)
        return replace(self, start=start, end=start + length, previous=None)

    @property
    def step_seconds(self) -> int:
        """Width of a bucket of a time axis."""
        wanted = max((self.end - self.start).total_seconds() / BUCKETS[self.large], self.finest_seconds)
        return next((step for step in STEPS if step >= wanted), STEPS[-1])

    def covered_seconds(self, at: str = "at") -> pl.Expr:
        """Of each bucket, by its end `at`: the seconds of it that the window holds."""
        step = pl.duration(seconds=self.step_seconds)
        begin = pl.max_horizontal(pl.col(at) - step, pl.lit(self.start))
        length = pl.min_horizontal(pl.col(at), pl.lit(self.end)) - begin
        return pl.max_horizontal(length.dt.total_milliseconds() / 1000, 1.0)

    def whole(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Without the bucket that new data may still come to, unless there is no other."""
        over = frame.filter(pl.col("at") <= self.end) if self.live else frame
        return over if over.height else frame

    @property
    def key(self) -> tuple[str, str | None, datetime, datetime]:
        """What a cache goes by: live moments in steps of FRESH_SECONDS."""
        return self.data, self.run_id, _tick(self.start), _tick(self.end)


BY_KEY: dict[str | type, Callable[[Any], Any]] = {View: lambda view: view.key}
"""How Streamlit's caches tell views apart."""


def _tick(moment: datetime, step_seconds: float = FRESH_SECONDS) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() // step_seconds * step_seconds, tz=UTC)
