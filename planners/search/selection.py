"""Which of the runs: those worth a closer look, the objective's pick within the limits, alternatives worth naming."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import Array
from planners.search.availability import MOST_GPUS
from planners.search.combine import LONGEST_HOURS, Runs, runs_of, score
from planners.search.limits_kept import Figures, Mask, alike, deciding_limits, inside, usd_and_hours
from planners.search.pareto import pareto_front
from planners.search.search import SearchResult
from planners.spec.run_spec import RunSpec

MAX_ALTERNATIVES = 8
MARGIN = 0.96
"""The search leaves disks, network and pauses out: rarely more than 4 % of the hours or dollars."""
RISKY = 0.5
"""Expected interruptions from which a fleet with less risk is named."""
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
    decided_by: tuple[str, ...] = ()
    """Limits without which another run would be first, in words."""
    warnings: tuple[str, ...] = ()


def best_inside(spec: RunSpec, found: SearchResult) -> NDArray[np.int64]:
    """The number of the objective's best run within the limits, as the search sees them; of all where none is."""
    among = np.flatnonzero(inside(spec, found.runs))
    among = among if len(among) else np.arange(len(found.runs.offer))
    return among[[np.argmin(score(found.runs.take(among), spec.objective))]]


def shortlist(spec: RunSpec, found: SearchResult, *, stretch: float = 1.0) -> Runs:
    """The runs worth a closer look, in the order of the search: the objective's best, the ends and the front of
    everything and of each cloud, inside the limits with ROOM and, where nothing is, of all runs.

    stretch: about P90 / P50 of such a run.  Runs that keep the limits when stretched are looked at as well.
    """
    runs = found.runs
    everything = np.arange(len(runs.offer))
    if not len(everything):
        return runs
    rows: set[int] = set()
    every_sale = np.ones(len(everything), dtype=bool)
    for room, sale in itertools.product(
        dict.fromkeys((ROOM, ROOM / stretch, MARGIN / stretch)), (found.sold_today, every_sale)
    ):
        among = np.flatnonzero(inside(spec, runs, (runs.hours / room, runs.usd / room)) & sale)
        if not len(among) and room == ROOM:
            among = everything
        if len(among):
            rows |= set(among[np.argsort(score(runs.take(among), spec.objective), kind="stable")[:BEST]].tolist())
            for part in (among, *found.by_cloud(among).values()):
                rows |= _spread(runs, part)
    rows |= _spread(runs, everything)
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
    kept = np.flatnonzero(new & inside(spec, runs) & (runs.unpriced == 0))
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


def choose(
    spec: RunSpec, found: SearchResult, *, pick: int | None = None, figures: Sequence[Figures] = ()
) -> Selection:
    """The run that the objective picks within the limits, and named alternatives from the whole front.

    pick: number of an alternative (from 1) that the user prefers to the objective's.  figures: by which runs must keep
    the limits, the strictest first (P90, then P50): the first that any run keeps count, and of those runs the ones
    that can be had today.  Without them the search's own figures decide.  Raises NoFleetError.
    """
    runs = found.runs
    if not len(runs.offer):
        raise NoFleetError("no fleet can run this spec", "")
    figures = figures or ((runs.hours / MARGIN, runs.usd / MARGIN), (runs.hours, runs.usd))
    strictest = next((each for each in figures if inside(spec, runs, each).any()), None)
    if strictest is None:
        raise NoFleetError(*_over_limits(spec, found))
    keeps = inside(spec, runs, strictest)
    today = keeps & found.sold_today
    allowed = np.flatnonzero(today if today.any() else keeps)
    best = int(allowed[np.argmin(score(runs.take(allowed), spec.objective))])
    rows, labels = _alternatives(runs, allowed, best, found)
    if pick is not None:
        if not 1 <= pick <= len(rows):
            raise NoFleetError(f"there is no alternative {pick}", f"alternatives 1 to {len(rows)}")
        order = [pick - 1, *(n for n in range(len(rows)) if n != pick - 1)]
        rows, labels = rows[order], tuple(labels[n] for n in order)
    decided_by = deciding_limits(spec, found, strictest, best)
    return Selection(rows=rows, labels=labels, decided_by=decided_by, warnings=_needs_a_quote(found, int(rows[0])))


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
    if not found.sold_today[best] and found.sold_today.any():
        named[_largest_today(found)] = "largest today"
    rest = sorted((row for row in named if row != best), key=lambda row: (float(runs.ranked_usd[row]), row))
    rows = np.array([best, *rest], dtype=np.int64)
    quote = {row: "" if found.sold_today[row] else "needs a quote" for row in named}
    return rows, tuple(", ".join(filter(None, (named[row], quote[row]))) for row in rows.tolist())


def _name(named: dict[int, str], runs: Runs, row: int, label: str) -> None:
    """Adds a row unless it is close to one that is there."""
    for other in named:
        same_place = runs.offer[row] == runs.offer[other] or not label.startswith("best on")
        if same_place and alike(runs, row, other):
            return
    named[row] = label


def _largest_today(found: SearchResult) -> int:
    """The run with the most GPUs of those that are sold without a contract; of equal ones the cheapest."""
    today = np.flatnonzero(found.sold_today)
    return int(today[np.lexsort((found.runs.ranked_usd[today], -found.gpus[today]))[0]])


def _needs_a_quote(found: SearchResult, row: int) -> tuple[str, ...]:
    """That a run needs a contract, and the largest that can be had today."""
    if found.sold_today[row]:
        return ()
    offer = found.offers.row(int(found.runs.offer[row]), named=True)
    asked = f"{found.gpus[row]:,.0f} {offer['gpu']} in {offer['region']} {offer['capacity_type'].replace('_', ' ')}"
    text = f"needs a reservation or a quote: {asked} are more than the {offer[MOST_GPUS]:,.0f} that are sold today"
    if found.sold_today.any():
        largest = _largest_today(found)
        text += f"; the largest that can be had has {found.gpus[largest]:,.0f}: {usd_and_hours(found.runs, largest)}"
    return (text,)


def _over_limits(spec: RunSpec, found: SearchResult) -> tuple[str, str]:
    """What is over, and the runs that break the limits least: cheapest in time, fastest in budget."""
    runs, limits = found.runs, spec.limits
    hours = limits.hours or LONGEST_HOURS
    default = "" if limits.hours else " (the default; limits.hours allows more)"
    parts = [f"{hours:g} hours{default}"] + ([f"${limits.usd:,.10g}"] if limits.usd else [])
    in_time, in_budget = runs.hours <= hours, runs.usd <= (limits.usd or np.inf)
    hints = []
    if in_time.any():
        hints.append(f"within {hours:g} hours the cheapest costs {_least(runs, in_time, runs.ranked_usd)}")
    if in_budget.any() and limits.usd:
        hints.append(f"within ${limits.usd:,.10g} the fastest takes {_least(runs, in_budget, runs.hours)}")
    if not hints:
        every = np.ones(len(runs.usd), dtype=bool)
        hints.append(f"the cheapest is {_least(runs, every, runs.ranked_usd)}")
        hints.append(f"the fastest is {_least(runs, every, runs.hours)}")
    return f"no fleet stays within {' and '.join(parts)}", "; ".join(hints)


def _least(runs: Runs, among: Mask, small: Array) -> str:
    rows = np.flatnonzero(among)
    return usd_and_hours(runs, int(rows[np.argmin(small[rows])]))
