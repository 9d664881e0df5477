"""Dollars per hour of a resource of the Pulumi program: by the plan where it has the price, else by the price book.

What each resource consists of is said by the tables of `planners.infrastructure`, which price any program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clusterctl.clouds.prices import BookPrices
from planners.infrastructure.kinds import CLOUDS
from planners.infrastructure.preview import Preview
from planners.infrastructure.price_protocol import BookPrice
from planners.infrastructure.pricing import price_resource
from planners.infrastructure.program import Program
from planners.infrastructure.read_steps import preview_of
from planners.infrastructure.value import Resource
from planners.plan.value import Plan

Price = tuple[float | None, str]
"""Dollars per hour, and why they are unknown."""
LINES = {
    "k8s_control_plane_standard_support": "Kubernetes control plane",
    "k8s_control_plane": "Kubernetes control plane",
    "k8s_control_plane_standard": "Kubernetes control plane",
    "nat_gateway_hour": "NAT gateway",
    "nat_gateway_hour_max_32plus_vms": "NAT gateway",
}
"""Item of the price book → the line of the plan's bill that has its price."""


@dataclass(frozen=True)  # without slots, with which `super()` does not find its class
class PlanPrices(BookPrices):
    """The plan's own prices of its machines, control plane and NAT gateway; the price book's of all else."""

    plan: Plan | None = None

    def machine(self, cloud: str, region: str, instance_type: str, capacity_type: str) -> BookPrice | None:
        """Of the plan's pool of such machines, else of the price book."""
        for pool in self.plan.pools if self.plan else ():
            is_spot = pool.capacity_type == "spot"
            if pool.instance_type == instance_type and is_spot == (capacity_type == "spot"):
                usd = pool.usd_per_node_hour
                return None if usd is None else BookPrice(usd=usd, unit="hour")
        return super().machine(cloud, region, instance_type, capacity_type)

    def item(self, cloud: str, region: str, item: str) -> BookPrice | None:
        """Of the plan's bill, whose unit is an hour, else of the price book."""
        if item in LINES:
            for line in self.plan.lines if self.plan else ():
                if line.name == f"{LINES[item]}, {cloud} {region}" and line.usd_per_unit is not None:
                    return BookPrice(usd=line.usd_per_unit, unit="hour")
        return super().item(cloud, region, item)


class FleetPrices:
    """steps: as the engine said them, all of one fleet: they refer to each other (a node group to its template)."""

    def __init__(self, plan: Plan | None, steps: Sequence[Mapping[str, Any]]) -> None:
        self._prices = PlanPrices(plan=plan)
        region = plan.pools[0].region if plan and plan.pools else ""
        self._config = {f"{package}:{place}": region for package in CLOUDS for place in ("region", "location")}
        states = (_state(step["type"], step["name"], step["inputs"]) for step in steps)
        self._others = {one.urn: one for one in self._resources(*states)}

    def of(self, kind: str, name: str, inputs: Mapping[str, Any]) -> Price:
        """Of a resource with these inputs: of the parts whose price is known, and why others aren't; None where
        nothing is known, or what counts most (its machine) isn't."""
        (resource,) = self._resources(_state(kind, name, inputs))
        program = Program(
            {**self._others, resource.urn: resource}.values(),
            self._prices,
            Preview(project="", stack="", steps=(), config=self._config),
        )
        cost = price_resource(resource, program)
        standing = [part for part in cost.parts if not part.usage_based]
        if cost.parts and not standing:
            return None, f"billed by {cost.parts[0].name}"
        whys = (cost.why_unknown, *(part.why_unknown for part in standing))
        why = next((each for each in whys if each), "")
        if cost.why_unknown or (standing and standing[0].usd_per_month is None):
            return None, why
        return cost.usd_per_hour, why

    def _resources(self, *states: Mapping[str, Any]) -> list[Resource]:
        raw = ({"op": "create", "urn": state["urn"], "new": state} for state in states)
        preview = preview_of(raw, config=self._config)
        return [step.after for step in preview.steps if step.after]


def _state(kind: str, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    urn = f"urn:pulumi:fleet::clusterctl::{kind}::{name}"
    return {"urn": urn, "type": kind, "custom": True, "inputs": dict(inputs)}
