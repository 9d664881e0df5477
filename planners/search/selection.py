"""Which of the runs: those worth a closer look, the objective's pick within the limits, alternatives worth naming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import Array
from planners.search.combine import LONGEST_HOURS, Runs, runs_of, score
from planners.search.pareto import pareto_front
from planners.search.search import SearchResult
from planners.spec.run_spec import RunSpec

MAX_ALTERNATIVES = 8
MARGIN = 0.96
"""The search leaves disks, network and pauses out: rarely more than 4 % of the hours or dollars."""
RISKY = 0.5
"""Expected interruptions from which a fleet with less risk is named."""
APART = 0.06
"""Two fleets closer than this in dollars and in hours are one alternative."""


ROOM = 1.25
"""Runs that the search puts over a limit by up to this factor are looked at too: it errs on the long side."""
ELSEWHERE = 4
"""Runs on the machines of the choice elsewhere, of each capacity type."""
BEST = 12
SPREAD = 12
"""Runs that are looked at: the objective's best, and points spread over the front."""


class NoFleetError(ValueError):
    """Nothing satisfies the spec.  `nearest`: what would, in words; empty when nothing is known."""

    def __init__(self, message: str, nearest: str) -> None:
        super().__init__(message)
        self.nearest = nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Rows of `SearchResult.runs`: the pick first, then alternatives by dollars; labels beside them."""

    rows: NDArray[np.int64]
    labels: tuple[str, ...]


def shortlist(spec: RunSpec, found: SearchResult) -> Runs:
    """The runs worth a closer look, in the order of the search: the objective's best, the ends and the front of
    everything and of each cloud, inside the limits with ROOM and, where nothing is, of all runs."""
    runs = found.runs
    inside = (runs.hours <= ROOM * (spec.limits.hours or LONGEST_HOURS)) & (
        runs.usd <= ROOM * (spec.limits.usd or np.inf)
    )
    among = np.flatnonzero(inside) if inside.any() else np.arange(len(runs.offer))
    if not len(among):
        return runs
    rows = set(among[np.argsort(score(runs.take(among), spec.objective), kind="stable")[:BEST]].tolist())
    for part in (among, *found.by_cloud(among).values(), np.arange(len(runs.offer))):
        rows |= _spread(runs, part)
    return runs.take(np.array(sorted(rows), dtype=np.int64))


def elsewhere(spec: RunSpec, found: SearchResult, chosen: Runs) -> Runs:
    """The first of the chosen runs on the same kind and number of machines in other regions and of other capacity
    types, within the limits: the cheapest of each capacity type, without those that are among the chosen.

    The fronts mostly lack them, since machines like those of the choice differ from it in nothing but dollars.
    """
    home, runs_on = int(chosen.offer[0]), []
    kinds = found.offers.select("cloud", "instance_type").rows()
    for number, stage in enumerate(found.stages):
        row = int(chosen.rows[0, number])
        same = np.flatnonzero(stage.rows.candidate == stage.rows.candidate[row])
        by_offer = dict(zip(stage.rows.offer[same].tolist(), same.tolist(), strict=True))
        runs_on.append(by_offer if stage.work.needs_gpus else dict.fromkeys(range(len(kinds)), row))
    like_home = [offer for offer, kind in enumerate(kinds) if home >= 0 and kind == kinds[home]]
    offers = [offer for offer in like_home if all(offer in by_offer for by_offer in runs_on)]
    rows = np.array([[by_offer[offer] for by_offer in runs_on] for offer in offers], dtype=np.int64)
    rows = rows.reshape(len(offers), len(runs_on))
    runs = runs_of(np.array(offers, dtype=np.int64), rows, [stage.rows for stage in found.stages])
    known = chosen.rows.tolist()
    new = np.array([run not in known for run in rows.tolist()], dtype=bool)
    kept = np.flatnonzero(new & _inside(spec, runs, 1.0) & (runs.unpriced == 0))
    by_usd = kept[np.argsort(runs.usd[kept], kind="stable")]
    capacity = np.array(found.offers["capacity_type"].to_list(), dtype=str)[runs.offer[by_usd]]
    cheapest = [row for kind in sorted(set(capacity.tolist())) for row in by_usd[capacity == kind][:ELSEWHERE].tolist()]
    return runs.take(np.array(sorted(cheapest, key=by_usd.tolist().index), dtype=np.int64))


def _spread(runs: Runs, among: NDArray[np.int64]) -> set[int]:
    """The front of some runs, at most SPREAD points, ends included; and the one with the least risk."""
    front = among[pareto_front(runs.ranked_usd[among], runs.hours[among])]
    picks = np.linspace(0, len(front) - 1, min(SPREAD, len(front))).round().astype(np.int64)
    calm = among[np.argmin(runs.interruptions[among])]
    return {*front[picks].tolist(), int(calm)}


def choose(spec: RunSpec, found: SearchResult, *, pick: int | None = None, margin: float = MARGIN) -> Selection:
    """The run that the objective picks within the limits, and named alternatives from the whole front.

    pick: number of an alternative (from 1) that the user prefers to the objective's.  margin: share of the limits
    that runs should keep to, if any can; 1 where hours and dollars are exact.  Raises NoFleetError.
    """
    runs = found.runs
    if not len(runs.offer):
        raise NoFleetError("no fleet can run this spec", "")
    inside = _inside(spec, runs, margin)
    if not inside.any():
        raise NoFleetError(*_over_limits(spec, found))
    allowed = np.flatnonzero(inside)
    best = int(allowed[np.argmin(score(runs.take(allowed), spec.objective))])
    rows, labels = _alternatives(runs, allowed, best, found)
    if pick is not None:
        if not 1 <= pick <= len(rows):
            raise NoFleetError(f"there is no alternative {pick}", f"alternatives 1 to {len(rows)}")
        order = [pick - 1, *(n for n in range(len(rows)) if n != pick - 1)]
        rows, labels = rows[order], tuple(labels[n] for n in order)
    return Selection(rows=rows, labels=labels)


def _inside(spec: RunSpec, runs: Runs, margin: float) -> NDArray[np.bool_]:
    """Runs within the limits, inside the margin if any is.  An unknown price neither keeps nor breaks a limit."""
    hours = spec.limits.hours or LONGEST_HOURS
    usd = spec.limits.usd or np.inf
    spare = (runs.hours <= margin * hours) & (runs.usd <= margin * usd)
    return spare if spare.any() else (runs.hours <= hours) & (runs.usd <= usd)


def _alternatives(
    runs: Runs, allowed: NDArray[np.int64], best: int, found: SearchResult
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The pick, then cheapest, fastest, less risk, each cloud's best, then the front spread by hours."""
    named: dict[int, str] = {best: "picked"}
    usd, hours, risk = runs.ranked_usd[allowed], runs.hours[allowed], runs.interruptions[allowed]
    if not runs.unpriced[allowed].all():
        _name(named, runs, int(allowed[np.argmin(usd)]), "cheapest")
    _name(named, runs, int(allowed[np.lexsort((usd, hours))[0]]), "fastest")
    if runs.interruptions[best] > RISKY:
        near = usd <= 2.0 * runs.ranked_usd[best]
        _name(named, runs, int(allowed[np.flatnonzero(near)[np.argmin(risk[near])]]), "less risk")
    for cloud, rows in found.by_cloud(allowed).items():
        if best in rows:
            continue
        same_pace = rows[runs.hours[rows] <= 1.25 * runs.hours[best]]
        if len(same_pace):
            _name(named, runs, int(same_pace[np.argmin(runs.ranked_usd[same_pace])]), f"best on {cloud}")
    front = allowed[pareto_front(usd, hours)]
    for row in front[np.argsort(np.abs(np.log(runs.hours[front] / runs.hours[best])))]:
        if len(named) >= MAX_ALTERNATIVES:
            break
        _name(named, runs, int(row), "")
    rest = sorted((row for row in named if row != best), key=lambda row: (float(runs.ranked_usd[row]), row))
    rows = np.array([best, *rest], dtype=np.int64)
    return rows, tuple(named[int(row)] for row in rows)


def _name(named: dict[int, str], runs: Runs, row: int, label: str) -> None:
    """Adds a row unless it is close to one that is there."""
    for other in named:
        same_place = runs.offer[row] == runs.offer[other] or not label.startswith("best on")
        close = _close(runs.ranked_usd[row], runs.ranked_usd[other]) and _close(runs.hours[row], runs.hours[other])
        if close and same_place:
            return
    named[row] = label


def _close(one: float, other: float) -> bool:
    """Within APART of each other; zero dollars (own machines) are close to zero only."""
    return one == other or (min(one, other) > 0 and bool(abs(np.log(one / other)) < APART))


def _over_limits(spec: RunSpec, found: SearchResult) -> tuple[str, str]:
    """What is over, and the runs that break the limits least: cheapest in time, fastest in budget."""
    runs, limits = found.runs, spec.limits
    hours = limits.hours or LONGEST_HOURS
    default = "" if limits.hours else " (the default; limits.hours allows more)"
    parts = [f"{hours:g} hours{default}"] + ([f"${limits.usd:,.6g}"] if limits.usd else [])
    in_time, in_budget = runs.hours <= hours, runs.usd <= (limits.usd or np.inf)
    said = []
    if in_time.any():
        said.append(f"within {hours:g} hours the cheapest costs {_said(runs, in_time, runs.ranked_usd)}")
    if in_budget.any() and limits.usd:
        said.append(f"within ${limits.usd:,.6g} the fastest takes {_said(runs, in_budget, runs.hours)}")
    if not said:
        said.append(f"the cheapest is {_said(runs, np.ones(len(runs.usd), dtype=bool), runs.ranked_usd)}")
    return f"no fleet stays within {' and '.join(parts)}", "; ".join(said)


def _said(runs: Runs, among: NDArray[np.bool_], small: Array) -> str:
    rows = np.flatnonzero(among)
    row = int(rows[np.argmin(small[rows])])
    return f"{run_usd(runs, row)} in {runs.hours[row]:,.1f} hours"


def run_usd(runs: Runs, row: int) -> str:
    """`$1,234`, `at least $1,234` or `an unknown price`."""
    known = f"${runs.usd[row]:,.0f}"
    if not runs.unpriced[row]:
        return known
    return f"at least {known}" if runs.usd[row] > 0 else "an unknown price"
