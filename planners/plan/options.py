"""The runs worth a closer look, worked out once: hours, interruptions and the whole bill of every stage on each.

The search leaves out what differs little between fleets: pauses for evaluation, disks, network, API tokens, and the
further sandboxes that whole nodes hold.  The choice and the limits must not.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import Array
from planners.physics.constants import Constants
from planners.plan.cost_lines import EstimateLine, Prices, stage_lines, total_usd, unpriced_lines
from planners.plan.uncertainty import Width
from planners.search.combine import Runs
from planners.search.evaluate import Shortlist, StageEstimate, estimate_stage
from planners.search.fleets import StageFleet, stage_on
from planners.search.search import SearchResult
from planners.workload.stage_work import StageWork


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOptions:
    """One stage on m fleets: sequences of m."""

    shortlist: Shortlist
    fleets: list[StageFleet]
    bills: list[list[EstimateLine]]
    hours: Array
    interruptions: Array

    def take(self, rows: NDArray[np.int64]) -> StageOptions:
        """The fleets with these numbers."""
        return StageOptions(
            shortlist=self.shortlist.take(rows),
            fleets=[self.fleets[row] for row in rows],
            bills=[self.bills[row] for row in rows],
            hours=self.hours[rows],
            interruptions=self.interruptions[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenStage:
    """One stage on the chosen fleet, beside its alternatives."""

    options: StageOptions
    """The chosen fleet first."""
    width: Width
    """Of every option."""
    shortlist: Shortlist
    """The chosen fleet alone."""
    estimate: StageEstimate
    """On the chosen fleet."""

    @property
    def work(self) -> StageWork:
        """What the stage does."""
        return self.shortlist.work

    @property
    def fleet(self) -> StageFleet:
        """The chosen fleet."""
        return self.options.fleets[0]

    @property
    def lines(self) -> list[EstimateLine]:
        """Its bill."""
        return self.options.bills[0]

    @property
    def hours(self) -> float:
        """From the request for machines to the end."""
        return float(self.options.hours[0])

    @property
    def at_least(self) -> bool:
        """Whether a line has no known price, so that dollars are a lower bound."""
        return unpriced_lines(self.lines) > 0

    @property
    def known_usd(self) -> float:
        """Dollars of the lines that have a price."""
        return total_usd(self.lines)

    def usd(self, hours: float, *, more: float = 0.0) -> float:
        """Dollars of the stage if it took `hours`, and `more` besides."""
        scaling = total_usd(line for line in self.lines if line.scales_with_hours)
        return hours * (scaling / self.hours) + self.known_usd - scaling + more


def closer_look(
    found: SearchResult, runs: Runs, prices: Prices, constants: Constants, *, year: float
) -> tuple[SearchResult, list[StageOptions]]:
    """`found` with only these runs, each with exact hours, risk and dollars of the whole bill but for reservations,
    which are paid anyway; every stage on them."""
    found = dataclasses.replace(found, runs=runs)
    if not len(runs.offer):
        return found, []
    options = [_options(found, stage, prices, constants, year=year) for stage in range(len(found.stages))]
    bills = zip(*(stage.bills for stage in options), strict=True)
    added = [[line for bill in of_run for line in bill if not line.sunk] for of_run in bills]
    exact = Runs(
        offer=runs.offer,
        rows=runs.rows,
        usd=np.array([total_usd(lines) for lines in added]),
        unpriced=np.array([float(unpriced_lines(lines)) for lines in added]),
        hours=np.sum([stage.hours for stage in options], axis=0),
        interruptions=np.sum([stage.interruptions for stage in options], axis=0),
    )
    return dataclasses.replace(found, runs=exact), options


def _options(found: SearchResult, stage: int, prices: Prices, constants: Constants, *, year: float) -> StageOptions:
    fleets, shortlist = stage_on(found, np.arange(len(found.runs.offer)), stage, year=year)
    result = estimate_stage(shortlist, constants)
    hours = np.asarray(result.hours)
    bills = [stage_lines(shortlist.work, fleet, float(h), prices) for fleet, h in zip(fleets, hours, strict=True)]
    return StageOptions(
        shortlist=shortlist, fleets=fleets, bills=bills, hours=hours, interruptions=np.asarray(result.interruptions)
    )
