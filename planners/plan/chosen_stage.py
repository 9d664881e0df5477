"""One stage of the chosen run, worked out: what bands, bill, movers and explanations of a plan are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planners.plan.cost_lines import total_usd, unpriced_lines

if TYPE_CHECKING:
    from planners.plan.cost_lines import CostLine
    from planners.plan.uncertainty import Width
    from planners.search.evaluate import Shortlist, StageEstimate
    from planners.search.fleets import StageFleet


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenStage:
    """A stage on its fleets; `picks`, `result` and `width` also cover the alternatives (columns)."""

    picks: Shortlist
    result: StageEstimate
    width: Width
    fleet: StageFleet
    mine: Shortlist
    """The chosen fleet alone."""
    own: StageEstimate
    lines: list[CostLine]
    hours: float

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
        fixed = total_usd(line for line in self.lines if not line.scales_with_hours)
        return hours * (scaling / self.hours) + fixed + more
