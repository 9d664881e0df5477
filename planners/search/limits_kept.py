"""Which runs keep the limits of a spec, and which limit decides that a run is first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import Array
from planners.search.combine import LONGEST_HOURS, NEAR_EQUAL, SMALL_USD, Runs, score
from planners.search.search import SearchResult
from planners.spec.run_spec import RunSpec

Mask = NDArray[np.bool_]
Figures = tuple[Array, Array]
"""Hours and dollars of every run: of the search, at P50 or at P90."""
APART = 0.06
"""Two fleets closer than this in dollars and in hours are one alternative."""


def inside(spec: RunSpec, runs: Runs, figures: Figures | None = None, *, free: str = "") -> Mask:
    """Which runs keep limits.hours and limits.usd by these figures.  An unknown price neither keeps nor breaks a limit.

    free: the limit that does not count.  Where the spec limits no hours, LONGEST_HOURS does, at P50.
    """
    hours, usd = figures or (runs.hours, runs.usd)
    limits = spec.limits
    keeps = np.ones(len(hours), dtype=bool)
    if free != "hours":
        keeps &= hours <= limits.hours if limits.hours else runs.hours <= LONGEST_HOURS
    if free != "usd" and limits.usd:
        keeps &= usd <= limits.usd
    return keeps


def deciding_limits(spec: RunSpec, found: SearchResult, figures: Figures, best: int) -> tuple[str, ...]:
    """The limits without which the objective would take a better run than `best`, and that run, in words.

    Each limit is taken away alone: runs still keep the other one by `figures`.
    """
    runs, limits = found.runs, spec.limits
    hours = f"limits.hours of {limits.hours:g} h" if limits.hours else ""
    shown = {
        "hours": hours or f"the default limit of {LONGEST_HOURS:g} h (limits.hours allows more)",
        "usd": f"limits.usd of ${limits.usd:,.10g}" if limits.usd else "",
    }
    rows = []
    for name, text in shown.items():
        among = np.flatnonzero(inside(spec, runs, figures, free=name) & (found.sold_today | ~found.sold_today[best]))
        other = int(among[np.argmin(score(runs.take(among), spec.objective))])
        if text and gain(spec.objective, (runs, other), (runs, best)) > NEAR_EQUAL:
            rows.append(decides(text, found, other))
    return tuple(rows)


def decides(limit: str, found: SearchResult, row: int) -> str:
    """That a limit decides, and the run that would be first without it."""
    beyond = " beyond your reservations" if found.has_reservations else ""
    return f"{limit}: without it {found.gpus[row]:,.0f} GPUs would be first, {usd_and_hours(found.runs, row)}{beyond}"


def gain(objective: str, better: tuple[Runs, int], worse: tuple[Runs, int]) -> float:
    """By which share a run beats another in what the objective makes small; any price beats an unknown one."""
    (runs, row), (others, other) = better, worse
    usd = float(others.usd[other] / max(runs.usd[row], SMALL_USD))
    if runs.unpriced[row] or others.unpriced[other]:
        usd = 0.0 if runs.unpriced[row] else np.inf
    hours = float(others.hours[other] / runs.hours[row])
    return {"cost": usd, "time": hours, "balanced": usd * hours}[objective] - 1.0


def alike(runs: Runs, row: int, other: int) -> bool:
    """Whether two runs cost and take about the same."""
    pairs = ((runs.ranked_usd[row], runs.ranked_usd[other]), (runs.hours[row], runs.hours[other]))
    return all(_close(*pair) for pair in pairs)


def _close(one: float, other: float) -> bool:
    """Within APART of each other; zero dollars (own machines) are close to zero only."""
    return one == other or (min(one, other) > 0 and bool(abs(np.log(one / other)) < APART))


def usd_and_hours(runs: Runs, row: int) -> str:
    """`$1,234 in 5.6 hours`."""
    return f"{run_usd(runs, row)} in {runs.hours[row]:,.1f} hours"


def run_usd(runs: Runs, row: int) -> str:
    """`$1,234`, `at least $1,234` or `an unknown price`."""
    known = f"${runs.usd[row]:,.0f}"
    if not runs.unpriced[row]:
        return known
    return f"at least {known}" if runs.usd[row] > 0 else "an unknown price"
