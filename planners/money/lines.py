"""A cost is a list of lines; a line without a price makes the total "at least", never smaller in silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One line of the bill: quantity × price.  None = the price is not known."""

    name: str
    stage: str
    unit: str
    """node-hours, GiB-months, cluster-hours, million tokens …"""
    quantity: float
    usd_per_unit: float | None
    source: str
    as_of: date | None = None
    amount: str = ""
    """Where the quantity comes from, in words."""
    scales_with_hours: bool = True
    """Whether the quantity grows with the length of the run: what a band of hours stretches."""

    @property
    def usd(self) -> float | None:
        """Quantity × price, or None."""
        return None if self.usd_per_unit is None else self.quantity * self.usd_per_unit


def total_usd(lines: Iterable[CostLine]) -> float:
    """Dollars of all lines with a price."""
    return sum(line.usd for line in lines if line.usd is not None)
