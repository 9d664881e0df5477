"""Programs as previews, in few words, and a price book with round prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from planners.infrastructure.preview import Preview
from planners.infrastructure.price_protocol import BookPrice
from planners.infrastructure.pricing import price_preview
from planners.infrastructure.read_steps import preview_of
from planners.infrastructure.value import ResourceChange, ResourceCost

UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
DAY = date(2026, 7, 1)
HOURS = 730.0
CONFIG = {
    "aws:region": "us-east-1",
    "gcp:zone": "us-central1-a",
    "azure-native:location": "eastus",
    "azure:location": "eastus",
}


REGIONS = {"aws": "us-east-1", "gcp": "us-central1", "azure": "eastus"}


class RoundPrices:
    """Machines by name and capacity, extras by item, in one region of each cloud."""

    def __init__(self, machines: Mapping[tuple[str, str], float], items: Mapping[str, tuple[float, str]]) -> None:
        self.machines, self.items = machines, items

    def machine(self, cloud: str, region: str, instance_type: str, capacity_type: str) -> BookPrice | None:
        usd = self.machines.get((instance_type, capacity_type))
        if usd is None or region != REGIONS.get(cloud):
            return None
        return BookPrice(usd=usd, unit="hour", as_of=DAY)

    def item(self, cloud: str, region: str, item: str) -> BookPrice | None:
        found = self.items.get(item)
        if found is None or region != REGIONS.get(cloud):
            return None
        return BookPrice(usd=found[0], unit=found[1], as_of=DAY)

    def vcpus(self, cloud: str, instance_type: str) -> float | None:
        return 4.0 if (instance_type, "on_demand") in self.machines else None


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:dev::shop::{kind}::{name}"


def state(
    kind: str, name: str, inputs: Mapping[str, Any] | None = None, *, uses: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """uses: property → urns that it is made of."""
    return {
        "urn": urn(kind, name),
        "type": kind,
        "custom": True,
        "inputs": dict(inputs or {}),
        "propertyDependencies": {key: list(value) for key, value in (uses or {}).items()},
    }


def created(*states: Mapping[str, Any], config: Mapping[str, str] | None = None) -> Preview:
    steps = [{"op": "create", "urn": each["urn"], "old": None, "new": each} for each in states]
    return preview_of(steps, config=CONFIG if config is None else config)


def changes(preview: Preview, prices: RoundPrices) -> dict[str, ResourceChange]:
    return {change.resource.name: change for change in price_preview(preview, prices)}


def costs(prices: RoundPrices, *states: Mapping[str, Any], config: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What each resource costs after the change, by name."""
    return {name: change.after for name, change in changes(created(*states, config=config), prices).items()}


def parts(cost: ResourceCost) -> dict[str, float | None]:
    """Dollars a month of each part; None = unknown or by use."""
    return {part.name: None if part.usd_per_month is None else round(part.usd_per_month, 4) for part in cost.parts}
