"""The runs worth a closer look, with the hours and dollars that the plan itself would show.

The search leaves out what differs little between fleets: pauses for evaluation, disks, network, API tokens, and the
further sandboxes that whole nodes hold.  The pick and the limits must not.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from planners.plan.cost_lines import stage_lines, total_usd, unpriced_lines
from planners.search.combine import LONGEST_HOURS, Runs, score
from planners.search.evaluate import outcome
from planners.search.fleets import fleet_of, picks_of
from planners.search.pareto import pareto_front
from planners.search.selection import Selection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planners.physics.constants import Constants
    from planners.plan.cost_lines import Prices
    from planners.search.search import SearchResult
    from planners.spec.run import RunSpec

ROOM = 1.25
"""Runs that the search puts over a limit by up to this factor are looked at too: it errs on the long side."""
BEST = 12
SPREAD = 12
"""Runs that are looked at: the objective's best, and points spread over the front."""


def refined(spec: RunSpec, found: SearchResult, prices: Prices, constants: Constants, *, year: float) -> SearchResult:
    """`found` with only the runs worth a closer look, each with exact hours, dollars of the whole bill and risk."""
    if not len(found.runs.offer):
        return found
    rows = shortlist(spec, found)
    choice = Selection(rows=rows, labels=("",) * len(rows))
    hours, usd, unpriced, risk = np.zeros((4, len(rows)))
    for stage, search in enumerate(found.stages):
        result = outcome(picks_of(found, choice, stage, year=year), constants)
        taken = np.asarray(result.hours)
        hours += taken
        risk += np.asarray(result.interruptions)
        bills = [
            stage_lines(search.work, fleet_of(found, int(run), stage), float(each), prices)
            for run, each in zip(rows, taken, strict=True)
        ]
        usd += [total_usd(lines) for lines in bills]
        unpriced += [unpriced_lines(lines) for lines in bills]
    runs = found.runs.take(rows)
    exact = Runs(offer=runs.offer, rows=runs.rows, usd=usd, unpriced=unpriced, hours=hours, interruptions=risk)
    return dataclasses.replace(found, runs=exact)


def shortlist(spec: RunSpec, found: SearchResult) -> NDArray[np.int64]:
    """Rows of the runs worth a closer look, ascending: the objective's best, the ends and the front of everything and
    of each cloud, inside the limits with ROOM and, where nothing is, of all runs."""
    runs = found.runs
    inside = (runs.hours <= ROOM * (spec.limits.hours or LONGEST_HOURS)) & (
        runs.usd <= ROOM * (spec.limits.usd or np.inf)
    )
    among = np.flatnonzero(inside) if inside.any() else np.arange(len(runs.offer))
    rows = set(among[np.argsort(score(runs.take(among), spec.objective), kind="stable")[:BEST]].tolist())
    for part in (among, *found.by_cloud(among).values(), np.arange(len(runs.offer))):
        rows |= _spread(runs, part)
    return np.array(sorted(rows), dtype=np.int64)


def _spread(runs: Runs, among: NDArray[np.int64]) -> set[int]:
    """The front of some runs, at most SPREAD points, ends included; and the one with the least risk."""
    front = among[pareto_front(runs.ranked_usd[among], runs.hours[among])]
    picks = np.linspace(0, len(front) - 1, min(SPREAD, len(front))).round().astype(np.int64)
    calm = among[np.argmin(runs.interruptions[among])]
    return {*front[picks].tolist(), int(calm)}
