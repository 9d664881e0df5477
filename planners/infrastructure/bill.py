"""Collects the parts of what one resource costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

from planners.infrastructure.program import Program
from planners.infrastructure.properties import Number, Properties
from planners.infrastructure.value import UNKNOWN, CostPart, Resource, ResourceCost, Unknown
from planners.units import HOURS_PER_MONTH

AFTER_APPLY = "known after apply"
NOT_IN_BOOK = "not in the price book"
HOURS_PER_DAY = 24.0
Each = Literal["once", "node"]


class ResourceBill:
    """The bill of one resource at one end; asks the program's prices.

    `nodes` comes first where a resource has several equal machines: parts `per="node"` are multiplied by it.
    """

    def __init__(self, resource: Resource, program: Program) -> None:
        self.resource = resource
        self.program = program
        self.properties = Properties(resource.properties)
        self.region = resource.region
        self.notes: list[str] = []
        self._parts: list[tuple[CostPart, float | None]] = []  # a part, and dollars of it per node and month
        self._count: Number = None
        self._ceiling: float | None = None
        self._count_assumed: tuple[str, ...] = ()
        self._why_unknown = ""
        self._is_free = False
        self._ceiling_is_known = True

    def nodes(self, count: Number, *, ceiling: Number = None, assumed: str = "") -> None:
        """How many machines at the start, and at most."""
        self._count = UNKNOWN if count is None or (isinstance(count, float) and count < 0) else count
        self._ceiling = ceiling if isinstance(ceiling, float) else None
        self._count_assumed = (assumed,) if assumed else ()

    @property
    def count(self) -> Number:
        """Nodes at the start."""
        return self._count

    def machine(
        self,
        instance_type: str | Unknown,
        capacity: str = "on_demand",
        *,
        per: Each = "once",
        share: float = 1.0,
        assumed: Sequence[str] = (),
        why_unknown: str = "",
    ) -> None:
        """Hours of machines; share: how many of each node's place they take."""
        name = instance_type if isinstance(instance_type, str) and instance_type else "machine"
        title = name if capacity == "on_demand" else f"{name}, {capacity.replace('_', ' ')}"
        cloud = self.resource.cloud
        price = None
        if not why_unknown and name == "machine":
            why_unknown = "its machine type is " + (AFTER_APPLY if instance_type is UNKNOWN else "not in the preview")
        if not why_unknown:
            price = self.program.prices.machine(cloud, self.region, name, capacity) if self.region else None
            why_unknown = "" if price else self._no_price(title)
        self._add(
            title,
            "hour",
            HOURS_PER_MONTH * share,
            price.usd if price else None,
            per=per,
            assumed=assumed,
            why=why_unknown,
            as_of=price.as_of if price else None,
        )

    def item(
        self,
        name: str,
        item: str,
        quantity: Number,
        *,
        per: Each = "once",
        assumed: Sequence[str] = (),
        unit: str = "",
        why_unknown: str = "",
        region: str | None = None,
    ) -> None:
        """An extra of the price book.  quantity: of its unit, hours and days left out: 1 = one all month."""
        price = self.program.prices.item(self.resource.cloud, self.region if region is None else region, item)
        unit = price.unit if price else unit or _unit_of(item)
        amount = quantity * _units_a_month(unit) if isinstance(quantity, float | int) and quantity >= 0 else None
        why = why_unknown
        if not why and amount is None:
            why = f"its amount is {AFTER_APPLY}" if quantity is UNKNOWN else "its amount is not in the preview"
        self._add(
            name,
            unit,
            amount,
            price.usd if price else None,
            per=per,
            assumed=assumed,
            why=why or ("" if price else self._no_price(name)),
            as_of=price.as_of if price else None,
        )

    def by_use(self, name: str, item: str = "", unit: str = "") -> None:
        """Billed by what is used: part of no baseline."""
        price = self.program.prices.item(self.resource.cloud, self.region, item) if item else None
        part = CostPart(
            name=name,
            unit=price.unit if price else unit or _unit_of(item),
            monthly_quantity=None,
            usd_per_unit=price.usd if price else None,
            usage_based=True,
            why_unknown="" if price else self._no_price(name),
            as_of=price.as_of if price else None,
        )
        self._parts.append((part, 0.0))

    def unpriced(self, name: str, unit: str, quantity: Number = None, *, why: str = "", per: Each = "once") -> None:
        """Something that costs an unknown amount."""
        amount = quantity if isinstance(quantity, float | int) else None
        self._add(name, unit, amount, None, per=per, assumed=(), why=why or NOT_IN_BOOK, as_of=None)

    def nothing(self, name: str, why_free: str, unit: str = "month") -> None:
        """A known zero, by the cloud's price list."""
        self._parts.append(
            (
                CostPart(
                    name=name, unit=unit, monthly_quantity=_units_a_month(unit), usd_per_unit=0.0, assumed=(why_free,)
                ),
                0.0,
            )
        )

    def note(self, text: str) -> None:
        """A sentence for whoever reads the bill."""
        if text not in self.notes:
            self.notes.append(text)

    def unknown(self, why: str) -> None:
        """Nothing can be said of what it costs as a whole."""
        self._why_unknown = why

    def free(self) -> None:
        """By the cloud's price list."""
        self._is_free = True

    def cost(self) -> ResourceCost:
        """What was collected."""
        count = self._count if isinstance(self._count, float) else None
        ceiling = self._ceiling if self._ceiling is not None and self._ceiling > (count or 0.0) else None
        return ResourceCost(
            resource=self.resource,
            parts=tuple(part for part, _ in self._parts),
            is_free=self._is_free,
            why_unknown=self._why_unknown,
            ceiling_usd_per_month=self._usd_at(ceiling) if ceiling is not None else None,
            ceiling_count=int(ceiling) if ceiling is not None else None,
            count=int(count) if count is not None else None,
            notes=tuple(self.notes),
        )

    def _usd_at(self, count: float) -> float | None:
        """Dollars a month at so many nodes; None where a part is unknown."""
        if not self._ceiling_is_known:
            return None
        total = 0.0
        for part, usd_per_node in self._parts:
            if part.usage_based:
                continue
            if usd_per_node is None or (usd_per_node == 0.0 and part.usd_per_month is None):
                return None
            total += usd_per_node * count if usd_per_node else part.usd_per_month or 0.0
        return total

    def _add(
        self,
        name: str,
        unit: str,
        amount: float | None,
        usd: float | None,
        *,
        per: Each,
        assumed: Sequence[str],
        why: str,
        as_of: date | None,
    ) -> None:
        quantity, usd_per_node = amount, 0.0 if per == "once" else None
        if per == "node":
            assumed = (*assumed, *self._count_assumed)
            quantity = None
            if isinstance(self._count, float) and (amount is not None or self._count == 0):
                quantity = (amount or 0.0) * self._count
            elif not isinstance(self._count, float):
                why = why or f"the number of nodes is {AFTER_APPLY}"
            if amount is not None and usd is not None:
                usd_per_node = amount * usd
            if self._count == 0.0 and usd is None:
                self._ceiling_is_known = False
                self.note(f"no node at its start; {why}")
                return
        part = CostPart(
            name=name,
            unit=unit,
            monthly_quantity=quantity,
            usd_per_unit=usd,
            assumed=tuple(assumed),
            why_unknown=why,
            as_of=as_of,
        )
        self._parts.append((part, usd_per_node))

    def _no_price(self, name: str) -> str:
        if not self.region:
            return f"no price of {name}: its region is not in the preview"
        return f"no price of {name} in {self.region} in the price book"


def _units_a_month(unit: str) -> float:
    """Of what is there all month."""
    if unit.endswith("hour") and unit != "GB-hour":
        return HOURS_PER_MONTH
    return HOURS_PER_MONTH / HOURS_PER_DAY if unit == "day" else 1.0


def _unit_of(item: str) -> str:
    return "hour" if item.endswith("_hour") else "GB-month"
