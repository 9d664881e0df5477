"""Resources of an infrastructure program, the parts of their cost, and how a change moves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from planners.units import HOURS_PER_MONTH

Operation = Literal["create", "update", "replace", "delete", "same", "import", "refresh", "read"]


class Unknown:
    """The value of a property that is known only once the change is applied."""

    def __repr__(self) -> str:
        return "(known after apply)"


UNKNOWN = Unknown()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource at one end of a change, as its program asks for it."""

    urn: str
    type: str
    """As Pulumi spells it: `aws:ec2/instance:Instance`."""
    name: str
    parent: str = ""
    """Its parent's urn."""
    cloud: str = ""
    """aws, gcp, azure, kubernetes, or empty for what belongs to none: stacks, components, providers."""
    region: str = ""
    """Of the resource, else of its provider; empty = unknown."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Inputs, filled in from outputs where the state has them; UNKNOWN marks what is known after apply, and a secret
    reads `[secret]`."""
    id: str = ""
    """The cloud's id; empty before it is made."""
    dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Property → urns of the resources that its value is made of; empty where the preview doesn't say it."""
    provider: str = ""
    """Urn of its provider."""
    is_component: bool = False
    """Made of its children alone."""
    is_external: bool = False
    """Read by the program and managed elsewhere."""
    source: str = ""
    """Place in the program that made it, `file:line`; empty where the preview doesn't say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPart:
    """One priced part of a resource: instance hours, a disk's size, an address."""

    name: str
    unit: str
    """hour, GB-month, GB, request …"""
    monthly_quantity: float | None
    """Units a month of all copies together; None = unknown, or by use."""
    usd_per_unit: float | None
    """None = not in the price book."""
    usage_based: bool = False
    """Billed by use: it belongs to no baseline, and is shown with its unit price."""
    assumed: tuple[str, ...] = ()
    """What was taken because the preview lacks it: "20 GiB, the provider's default"."""
    why_unknown: str = ""
    """Empty where the cost is known."""
    as_of: date | None = None
    """Day of the price."""

    @property
    def usd_per_month(self) -> float | None:
        """None = unknown; of what is billed by use None as well."""
        if self.usage_based or self.monthly_quantity is None or self.usd_per_unit is None:
            return None
        return self.monthly_quantity * self.usd_per_unit


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceCost:
    """What one resource costs at one end of a change."""

    resource: Resource
    parts: tuple[CostPart, ...]
    """None of them where it is free, unsupported, or made by others."""
    is_free: bool = False
    """By the cloud's price list."""
    why_unknown: str = ""
    """Why nothing is said of it: its type isn't known here, its children are missing; empty where parts say all."""
    ceiling_usd_per_month: float | None = None
    """At the most nodes to which it may grow by itself; None where it can't grow, or the price is unknown."""
    ceiling_count: int | None = None
    count: int | None = None
    """Nodes, machines, tasks that it asks for at its start; None where the idea doesn't apply or it isn't known."""
    notes: tuple[str, ...] = ()

    @property
    def usd_per_month(self) -> float:
        """Of the parts whose cost is known."""
        return sum(part.usd_per_month or 0.0 for part in self.parts)

    @property
    def usd_per_hour(self) -> float:
        """Of the parts whose cost is known."""
        return self.usd_per_month / HOURS_PER_MONTH

    @property
    def is_known(self) -> bool:
        """Whether the sum is all of it, except for what is billed by use."""
        parts = (part for part in self.parts if not part.usage_based)
        return not self.why_unknown and all(part.usd_per_month is not None for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceChange:
    """A resource before and after; None where it isn't there."""

    op: Operation
    before: ResourceCost | None
    after: ResourceCost | None
    changed: tuple[str, ...] = ()
    """Paths of properties that differ, as the preview says them."""

    @property
    def resource(self) -> Resource:
        """As it will be, else as it was."""
        cost = self.after or self.before
        assert cost is not None  # one of the two is there, by construction
        return cost.resource

    @property
    def usd_per_month_change(self) -> float:
        """As far as it is known."""
        after = self.after.usd_per_month if self.after else 0.0
        return after - (self.before.usd_per_month if self.before else 0.0)

    @property
    def is_known(self) -> bool:
        """Whether both ends are known."""
        return all(cost.is_known for cost in (self.before, self.after) if cost is not None)
