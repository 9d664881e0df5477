"""From stages to whole runs: the same offer for every stage, each stage with its own nodes; and their fronts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import Array
from planners.search.pareto import pair, pareto_front, ranked_usd
from planners.search.pricing import Rows
from planners.workload.layouts import Table

FRONT_LIMIT = 48
"""Points of a stage's or partial run's front that are combined further; more would not be told apart on a page."""
NO_OFFER = -1
"""Offer number of a run that rents no GPUs."""
NEAR_EQUAL = 0.05
"""Dollars (or hours) this close are the same to a decision, since bands are several times wider.  Assumption."""
SMALL_USD = 0.01
PREFERS_CHEAP = 1e-6
"""Dollars weigh this much more than hours: of two runs that are equally good, the cheaper one."""
LONGEST_HOURS = 720.0
"""Fleets that need more than 30 days are not offered unless limits.hours allows it.  Assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs(Table):
    """Whole runs.  `rows` has shape (n, stages): row numbers into each stage's `Rows`."""

    offer: NDArray[np.int64]
    rows: NDArray[np.int64]
    usd: Array
    """Of what has a price."""
    unpriced: Array
    """Parts without a known price: the run then costs at least `usd`."""
    hours: Array
    interruptions: Array

    @property
    def ranked_usd(self) -> Array:
        """Dollars for comparing: unknown ranks behind known."""
        return ranked_usd(self.usd, self.unpriced)


def combine(stages: Sequence[Rows], offer_of_stage: Sequence[NDArray[np.int64] | None]) -> Runs:
    """Every offer that serves all stages, with the Pareto combinations of their node counts.

    offer_of_stage: for each stage, the offer number of each of its rows; None for a stage that rents no GPUs and so
    goes with every offer.  Hours and dollars add up, since stages follow each other; so do interruptions.  Combining
    fronts offer by offer is exact up to FRONT_LIMIT.
    """
    tied = [set(keys.tolist()) for keys in offer_of_stage if keys is not None]
    offers = np.array(sorted(set.intersection(*tied)) if tied else [NO_OFFER], dtype=np.int64)
    fronts = [_fronts(stage, keys, offers) for stage, keys in zip(stages, offer_of_stage, strict=True)]
    group, first = fronts[0]
    rows = first[:, None]
    for number, (their_group, front) in enumerate(fronts[1:], 1):
        kept = _thinned(their_group)
        left, right = pair(group, their_group[kept])
        group, rows = group[left], np.column_stack((rows[left], front[kept][right]))
        pairs = runs_of(offers[group], rows, stages[: number + 1])
        best = pareto_front(pairs.ranked_usd, pairs.hours, group)
        kept = best[_thinned(group[best])]
        group, rows = group[kept], rows[kept]
    return runs_of(offers[group], rows, stages)


def _fronts(
    stage: Rows, keys: NDArray[np.int64] | None, offers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The front of each offer: numbers of offers in `offers`, ascending, and rows of `stage`."""
    if keys is None:
        front = pareto_front(stage.ranked_usd, stage.hours)
        return np.repeat(np.arange(len(offers)), len(front)), np.tile(front, len(offers))
    group = np.searchsorted(offers, keys)
    mine = np.flatnonzero(np.isin(keys, offers))
    front = mine[pareto_front(stage.ranked_usd[mine], stage.hours[mine], group[mine])]
    return group[front], front


def runs_of(offer: NDArray[np.int64], rows: NDArray[np.int64], stages: Sequence[Rows]) -> Runs:
    """Whole runs from `rows` of each stage: hours, dollars and interruptions add up."""
    sums = {
        name: np.sum([getattr(stage, name)[rows[:, number]] for number, stage in enumerate(stages)], axis=0)
        for name in ("usd", "unpriced", "hours", "interruptions")
    }
    return Runs(offer=offer, rows=rows, **sums)


def _thinned(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row numbers: at most FRONT_LIMIT points of each front, ends included.  group: of each row, ascending."""
    starts, counts = np.unique(group, return_index=True, return_counts=True)[1:]
    if counts.max(initial=0) <= FRONT_LIMIT:
        return np.arange(len(group))
    picks = [
        start + np.linspace(0, count - 1, min(count, FRONT_LIMIT)).round().astype(np.int64)
        for start, count in zip(starts, counts, strict=True)
    ]
    return np.concatenate(picks)


def score(runs: Runs, objective: str) -> Array:
    """What the objective makes small.  Near-equals lie within NEAR_EQUAL of each other.

    "cost": of the runs that cost nearly as little as the cheapest, the one with the fewest dollars × hours: a run that
    is much faster for 2 % more is the better buy.  "time": the cheapest of the runs that are nearly as fast as the
    fastest, since the last minutes cost the most.  "balanced": the knee of the front between what "cost" and "time"
    take: the run farthest below the line between these two, on logarithmic axes (Satopaa et al., "Finding a 'Kneedle'
    in a Haystack", 2011; docs/reading-a-plan.md).  A run with an unknown price loses to every run whose price is
    known, except in "time" to slower ones.
    """
    if objective == "time":
        quick = runs.hours <= (1.0 + NEAR_EQUAL) * runs.hours.min()
        return np.where(
            quick, (runs.ranked_usd + SMALL_USD) * (1.0 + PREFERS_CHEAP * runs.hours / runs.hours.max()), np.inf
        )
    priced = runs.unpriced == runs.unpriced.min()
    if objective == "balanced":
        return ranked_usd(_knee(runs, np.flatnonzero(priced)), runs.unpriced)
    near = priced & (runs.usd <= (1.0 + NEAR_EQUAL) * runs.usd[priced].min())
    product = (runs.usd + SMALL_USD) ** (1.0 + PREFERS_CHEAP) * runs.hours
    return np.where(near, -1.0 / (1.0 + product), runs.ranked_usd)


def _knee(runs: Runs, priced: NDArray[np.int64]) -> Array:
    """Logarithms of dollars and of hours, each from 0 to 1 between what "cost" and "time" take, added up."""
    cheap, fast = (priced[np.argmin(score(runs.take(priced), end))] for end in ("cost", "time"))
    usd, hours = np.log(runs.usd + SMALL_USD), np.log(runs.hours)
    least = np.log1p(NEAR_EQUAL)
    dollars = (usd - usd[cheap]) / max(usd[fast] - usd[cheap], least)
    time = (hours - hours[fast]) / max(hours[cheap] - hours[fast], least)
    return np.asarray((1.0 + PREFERS_CHEAP) * np.maximum(dollars, 0.0) + np.maximum(time, 0.0))
