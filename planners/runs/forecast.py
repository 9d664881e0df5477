"""What a run will have taken and cost at its end, which limit stops it before, and how long its budget lasts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from planners.plan.plan_rows import Band
from planners.runs.limits import SECONDS_PER_HOUR, RunLimits, RunRate, Usage

Z90 = 1.2815515655446004
"""90th percentile of the standard normal: p90 = median x exp(Z90 x sigma)."""
OVERDUE_STEPS = 3.0
OVERDUE_SECONDS = 10.0
"""A step that takes so many times its median, and so much longer, is overdue; a restart or a slow batch is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgress:
    """One stage of a run: what was planned, how many of its steps are done, and how long they took."""

    name: str
    step_seconds: Band
    """Of one step, as planned."""
    hours: Band
    """Of the whole stage, as planned: with start-up and restarts."""
    usd: Band
    """Of the whole stage, as planned: what has a price."""
    unpriced: tuple[str, ...] = ()
    """What the plan knows no price of."""
    steps: float
    done: float = 0.0
    seen_seconds: Sequence[float] = ()
    """Seconds of each finished step, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is.  No stages = nobody knows its plan."""

    stages: Sequence[StageProgress]
    now: datetime
    seconds_since_step: float | None = None
    """How long the step under way has taken; None while nothing of the run is live."""
    ended: bool = False
    """Whether nothing more will happen, however much is left to do."""

    @property
    def current(self) -> StageProgress | None:
        """The first stage that is not done, else the last."""
        return next((stage for stage in self.stages if stage.done < stage.steps), None) or next(
            reversed(self.stages), None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsdBand:
    """Dollars: 10th, 50th and 90th percentile."""

    p10: Decimal
    p50: Decimal
    p90: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStop:
    """The limit that stops a run before it is done, at the median pace."""

    limit: str
    """`usd` or `hours`."""
    stage: str
    step: int
    """The last one that will be finished."""
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """How a run goes on, and the inputs that say so."""

    spent: Usage
    rate: RunRate
    limits: RunLimits
    step: int
    """Of the stage under way: how many steps are done …"""
    steps: int
    """… of how many."""
    seconds_left: Band | None
    """None = the run has no plan; so for the next two."""
    hours: Band | None
    """Of the whole run, at its end."""
    known_usd: UsdBand | None
    """Of the whole run, at its end: what has a price.  Never below what was spent."""
    unpriced: tuple[str, ...]
    """What has no known price: the true dollars are more than `known_usd`."""
    overdue_seconds: float
    """How long the step under way takes, where that is far longer than its median; else 0."""
    stop: LimitStop | None
    left_usd: Decimal | None
    """Of the limit in dollars, by what has a price: the most that it can be.  Negative once it is overspent."""
    limit_at: datetime | None
    """When the limit in dollars is reached at the present rate, at the latest; None while nothing is paid."""
    basis: str
    """In words: the plan, or the plan and how many steps."""

    @property
    def usd(self) -> UsdBand | None:
        """Of the whole run, at its end; None while a part of it has no known price."""
        return None if self.unpriced else self.known_usd

    @property
    def usd_at_end(self) -> Decimal | None:
        """P50 of `usd`."""
        return self.usd.p50 if self.usd is not None else None

    @property
    def known_usd_at_end(self) -> Decimal | None:
        """P50 of `known_usd`."""
        return self.known_usd.p50 if self.known_usd is not None else None


def forecast(progress: Progress, spent: Usage, rate: RunRate, limits: RunLimits) -> Forecast:
    """At completion = spent + what is left of each stage, in hours and dollars.

    Of the stage under way: seconds left = steps left x seconds of a step - seconds since the last step (at most those
    of one step); dollars left = hours left x `rate`.  Of the stages after it, and before anything is live: the plan's
    hours and dollars, by the share of steps that is left.

    Seconds of a step: the plan's band (a log-normal, sigma = ln(p90/p10) / 2 Z90) updated by the mean of the finished
    steps, whose variance is that of their logarithms / n_eff; the plan's sigma counts as one step of scatter, so that
    few steps that happen to agree don't look sure.  Steps drift, so n_eff = n (1 - rho)/(1 + rho), rho = their lag-1
    correlation (Bartlett 1946; Priestley, Spectral Analysis and Time Series, 5.3.2).  So the band is the plan's before
    the first step, narrows with the steps, and has no width at the end.  The stages' percentiles are added, as if all
    were late together: too wide rather than too narrow.
    """
    left = [] if progress.ended else list(_left(progress, rate))
    current, since = progress.current, progress.seconds_since_step or 0.0
    unpriced = {*spent.unpriced, *(name for rest in left for name in rest.unpriced)}
    seconds_left = _added(rest.seconds for rest in left)
    usd = [spent.known_usd + Decimal(f"{amount:.9f}") for amount in _added(rest.usd for rest in left)]
    median = 0.0 if current is None else step_seconds(current.step_seconds, current.seen_seconds)[0]
    seen = sum(len(stage.seen_seconds) for stage in progress.stages)
    planned = f"the plan and {seen} steps" if seen else "the plan"
    return Forecast(
        spent=spent,
        rate=rate,
        limits=limits,
        step=round(current.done) if current else 0,
        steps=round(current.steps) if current else 0,
        seconds_left=_band(seconds_left) if current else None,
        hours=_band([seconds / 3600 + float(spent.hours) for seconds in seconds_left]) if current else None,
        known_usd=UsdBand(p10=usd[0], p50=usd[1], p90=usd[2]) if current or progress.ended else None,
        unpriced=tuple(sorted(unpriced)),
        overdue_seconds=since if since > OVERDUE_STEPS * median + OVERDUE_SECONDS else 0.0,
        stop=_stop(left, spent, limits),
        left_usd=None if limits.usd is None else limits.usd - spent.known_usd,
        limit_at=_limit_at(progress, spent, rate, limits),
        basis="the run has ended" if progress.ended else planned,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _StageLeft:
    """What a stage still needs, at P10, P50 and P90."""

    stage: StageProgress
    step_seconds: float
    """Of one step, at the median."""
    seconds: Sequence[float]
    usd: Sequence[float]
    unpriced: tuple[str, ...]


def _left(progress: Progress, rate: RunRate) -> Iterator[_StageLeft]:
    since = progress.seconds_since_step
    for stage in progress.stages:
        if stage.done >= stage.steps:
            continue
        if stage is progress.current and (since is not None or stage.seen_seconds):
            median, sigma = step_seconds(stage.step_seconds, stage.seen_seconds)
            steps = [median * math.exp(sign * Z90 * sigma) for sign in (-1, 0, 1)]
            seconds = [max((stage.steps - stage.done) * step - min(since or 0.0, step), 0.0) for step in steps]
            usd, unpriced = [part * float(rate.known_usd_per_hour) / 3600 for part in seconds], rate.unpriced
        else:
            share, median = 1.0 - stage.done / stage.steps, 3600 * stage.hours.p50 / stage.steps
            seconds = [3600 * share * hours for hours in (stage.hours.p10, stage.hours.p50, stage.hours.p90)]
            usd, unpriced = [share * usd for usd in (stage.usd.p10, stage.usd.p50, stage.usd.p90)], stage.unpriced
        yield _StageLeft(stage=stage, step_seconds=median, seconds=seconds, usd=usd, unpriced=unpriced)


def step_seconds(planned: Band, seen: Sequence[float]) -> tuple[float, float]:
    """Median and sigma (of the logarithm) of a step's seconds: the plan's band, updated by the steps seen."""
    prior, sigma = math.log(planned.p50), math.log(planned.p90 / planned.p10) / (2 * Z90)
    if not seen or sigma == 0.0:
        return planned.p50, sigma
    logs = [math.log(max(seconds, 1e-9)) for seconds in seen]
    mean = math.fsum(logs) / len(logs)
    spread = [log - mean for log in logs]
    squares = math.fsum(part * part for part in spread)
    variance = (sigma**2 + squares) / len(logs)
    rho = max(0.0, math.fsum(one * next_one for one, next_one in pairwise(spread)) / squares) if squares else 0.0
    error = variance / max(len(logs) * (1 - rho) / (1 + rho), 1.0)
    weight = sigma**2 / (sigma**2 + error)
    return math.exp(prior + weight * (mean - prior)), math.sqrt(sigma**2 * error / (sigma**2 + error))


def _stop(left: Sequence[_StageLeft], spent: Usage, limits: RunLimits) -> LimitStop | None:
    """The limit that is reached first, at the medians; in dollars by what has a price, as the limit itself is."""
    room = {
        name: float(limit - used)
        for name, limit, used in (("usd", limits.usd, spent.known_usd), ("hours", limits.hours, spent.hours))
        if limit is not None
    }
    for rest in left:
        needed = {"usd": rest.usd[1], "hours": rest.seconds[1] / 3600}
        short = [name for name in room if needed[name] > room[name]]
        shares = {name: max(room[name], 0.0) / needed[name] if needed[name] else 0.0 for name in short}
        if shares:
            limit = min(shares, key=lambda name: shares[name])
            steps = round(rest.stage.steps)
            missing = math.ceil((1.0 - shares[limit]) * rest.seconds[1] / rest.step_seconds) if rest.step_seconds else 0
            step = max(steps - max(missing, 1), round(rest.stage.done))
            return LimitStop(limit=limit, stage=rest.stage.name, step=step, steps=steps)
        room = {name: room[name] - needed[name] for name in room}
    return None


def _limit_at(progress: Progress, spent: Usage, rate: RunRate, limits: RunLimits) -> datetime | None:
    """now + (limit - spent) / dollars per hour; now, once it is overspent."""
    if limits.usd is None or not rate.known_usd_per_hour or progress.seconds_since_step is None:
        return None
    hours = max(limits.usd - spent.known_usd, Decimal(0)) / rate.known_usd_per_hour
    try:
        return progress.now + timedelta(microseconds=int(hours * SECONDS_PER_HOUR * 1_000_000))
    except OverflowError:
        return None  # beyond the calendar


def _added(parts: Iterable[Sequence[float]]) -> list[float]:
    return [sum(column) for column in zip((0.0, 0.0, 0.0), *parts, strict=True)]


def _band(amounts: Sequence[float]) -> Band:
    p10, p50, p90 = amounts
    return Band(p10=p10, p50=p50, p90=p90)
