"""What a run will have cost at its end, how fast it burns money, and when its budget is gone.  docs/cost.md states the
formulas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from planners.plan.value import Band

Z90 = 1.2815515655446004
"""90th percentile of the standard normal: p90 = median x exp(Z90 x sigma)."""
SECONDS_PER_HOUR = Decimal(3600)
MICROSECONDS_PER_SECOND = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgress:
    """One stage of a run: what was planned for a unit of its work, and how long the finished ones took."""

    planned_seconds: Band
    """Of one unit (a step)."""
    planned_usd: Band | None
    """Of the whole stage; None = a price was unknown."""
    units: float
    done: float
    unit_seconds: Sequence[float] = ()
    """Seconds of each finished unit, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Dollars at completion: 10th, 50th and 90th percentile.  Never below what was spent."""

    p10: Decimal
    p50: Decimal
    p90: Decimal
    basis: str
    """In words: the plan, or the plan and how many steps."""


def forecast(spent_usd: Decimal, usd_per_hour: Decimal | None, stages: Sequence[StageProgress]) -> Forecast | None:
    """At completion = spent + what is left of each stage; None while neither plan nor pace knows a price.

    Of the stage under way: left = units left x seconds of a unit x dollars per hour now; of those after it, and before
    anything burns: the plan's dollars.  Seconds of a unit: the plan's band (a log-normal, sigma = ln(p90/p10) / 2 Z90)
    updated by the mean of the finished units, whose variance is that of their logarithms / n_eff; the plan's sigma
    counts as one unit of scatter, so that few steps that happen to agree don't look sure.  Steps drift, so
    n_eff = n (1 - rho)/(1 + rho), rho = their lag-1 correlation (Bartlett 1946; Priestley, Spectral Analysis and Time
    Series, 5.3.2).  So the band is the plan's before the first step, narrows with the steps, and has no width at the
    end.  The stages' percentiles are added, as if all were late together: too wide rather than too narrow.
    """
    if not stages:
        return None
    left: list[tuple[float, float, float]] = []
    burns = usd_per_hour
    for stage in stages:
        if stage.done < stage.units:
            band = _left(stage, burns)
            if band is None:
                return None
            left.append(band)
            burns = None
    sums = [sum(band[index] for band in left) for index in range(3)]
    low, middle, high = (spent_usd + Decimal(f"{amount:.6f}") for amount in sums)
    seen = sum(len(stage.unit_seconds) for stage in stages)
    return Forecast(p10=low, p50=middle, p90=high, basis=f"the plan and {seen} steps" if seen else "the plan")


def _left(stage: StageProgress, usd_per_hour: Decimal | None) -> tuple[float, float, float] | None:
    """p10, p50, p90 of the dollars that a stage still needs; usd_per_hour: what it burns, if it is under way."""
    share = 1.0 - stage.done / stage.units
    if usd_per_hour:
        middle, sigma = unit_seconds(stage.planned_seconds, stage.unit_seconds)
        usd = share * stage.units * middle / 3600 * float(usd_per_hour)
        return usd * math.exp(-Z90 * sigma), usd, usd * math.exp(Z90 * sigma)
    planned = stage.planned_usd
    return None if planned is None else (share * planned.p10, share * planned.p50, share * planned.p90)


def unit_seconds(planned: Band, seen: Sequence[float]) -> tuple[float, float]:
    """Median and sigma (of the logarithm) of a unit's seconds: the plan's band, updated by the units seen."""
    prior, sigma = math.log(planned.p50), math.log(planned.p90 / planned.p10) / (2 * Z90)
    logs = np.log(np.maximum(np.asarray(seen, dtype=float), 1e-9))
    if not len(logs) or sigma == 0.0:
        return planned.p50, sigma
    spread = logs - logs.mean()
    squares = float(spread @ spread)
    variance = (sigma**2 + squares) / len(logs)
    rho = max(0.0, float(spread[1:] @ spread[:-1]) / squares) if squares else 0.0
    error = variance / max(len(logs) * (1 - rho) / (1 + rho), 1.0)
    weight = sigma**2 / (sigma**2 + error)
    return math.exp(prior + weight * (float(logs.mean()) - prior)), math.sqrt(sigma**2 * error / (sigma**2 + error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Runway:
    """What is left of a budget, and until when at the present burn."""

    left_usd: Decimal
    """Negative once it is overspent."""
    hours: Decimal | None
    """None while nothing burns, or nobody knows how much."""
    at: datetime | None


def runway(limit_usd: Decimal, spent_usd: Decimal, usd_per_hour: Decimal | None, now: datetime) -> Runway:
    """hours = (limit - spent) / dollars per hour now; 0 once it is overspent."""
    left = limit_usd - spent_usd
    if not usd_per_hour:
        return Runway(left_usd=left, hours=None, at=None)
    hours = max(left, Decimal(0)) / usd_per_hour
    try:
        at = now + timedelta(microseconds=int(hours * SECONDS_PER_HOUR * MICROSECONDS_PER_SECOND))
    except OverflowError:
        at = None
    return Runway(left_usd=left, hours=hours, at=at)
