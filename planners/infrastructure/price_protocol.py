"""What the pricing of resources asks of a price book: one price at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class BookPrice:
    """Dollars per unit, and the day on which its source stated it."""

    usd: float
    unit: str
    """hour, GB-month, rule-hour, day …"""
    as_of: date | None = None


class ResourcePrices(Protocol):
    """A price book.  None = the book doesn't have it, which is never 0."""

    def machine(self, cloud: str, region: str, instance_type: str, capacity_type: str) -> BookPrice | None:
        """Of a machine by the hour; capacity_type: on_demand, spot, reserved_1y, reserved_3y, capacity_block."""

    def item(self, cloud: str, region: str, item: str) -> BookPrice | None:
        """Of what isn't a machine: `block_gp3_storage`."""

    def vcpus(self, cloud: str, instance_type: str) -> float | None:
        """Of a machine."""
