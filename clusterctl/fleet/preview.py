"""What a change of a fleet, or what differs from its state, costs by the hour, resource by resource."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStep:
    """One resource and what would be done with it."""

    op: str
    """create, update, replace, delete, same, import or refresh."""
    urn: str
    type: str
    name: str
    usd_per_hour: float | None
    """Of the resource as it will be, as far as it is known, 0.0 where it will be gone; None = unknown."""
    usd_per_hour_before: float | None = 0.0
    """Of the resource as it is; None = unknown."""
    why_unknown: str = ""
    """Of the price, or of a part of it; empty where all is known."""
    changed: tuple[str, ...] = ()
    """Properties that differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _FleetSteps:
    steps: tuple[FleetStep, ...]

    @property
    def changes(self) -> tuple[FleetStep, ...]:
        """Those with which something is done."""
        return tuple(step for step in self.steps if step.op != "same")

    @property
    def usd_per_hour(self) -> float:
        """Of all resources as they will be, as far as it is known."""
        return sum(step.usd_per_hour or 0.0 for step in self.steps)

    @property
    def usd_per_hour_change(self) -> float:
        """More, or less, than now, as far as it is known."""
        known = (step for step in self.changes if step.usd_per_hour is not None)
        return sum((step.usd_per_hour or 0.0) - (step.usd_per_hour_before or 0.0) for step in known)

    @property
    def unpriced(self) -> tuple[FleetStep, ...]:
        """Those whose price isn't known whole: with one `usd_per_hour` is "at least"."""
        return tuple(step for step in self.steps if step.usd_per_hour is None or step.why_unknown)

    @property
    def counts(self) -> dict[str, int]:
        """Resources by what is done with them."""
        return dict(Counter(step.op for step in self.steps))

    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "counts": self.counts,
            "usd_per_hour": round(self.usd_per_hour, 6),
            "usd_per_hour_change": round(self.usd_per_hour_change, 6),
            "unpriced": len(self.unpriced),
            "steps": [{**asdict(step), "changed": list(step.changed)} for step in self.steps],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPreview(_FleetSteps):
    """What `up` would do."""

    nodes_usd_per_hour: float | None = None
    """Of the nodes that the run's supervisor asks for once it is there, which no resource shows; None = unknown."""
    hours: float | None = None
    """The plan's, from start to end; None where no plan says it."""

    @property
    def usd_of_run(self) -> float | None:
        """Of the resources over the plan's hours, as far as it is known; without nodes that a supervisor asks for."""
        return None if self.hours is None else self.usd_per_hour * self.hours

    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        nodes = {"nodes_usd_per_hour": self.nodes_usd_per_hour, "hours": self.hours, "usd_of_run": self.usd_of_run}
        return super(FleetPreview, self).as_data() | nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDrift(_FleetSteps):
    """What differs between the state and the cloud: `update` is otherwise there, `delete` has gone."""


def by_cost(steps: Sequence[FleetStep]) -> list[FleetStep]:
    """What changes most comes first, then what nobody knows."""
    return sorted(
        steps,
        key=lambda step: (
            step.op == "same",
            -abs((step.usd_per_hour or 0.0) - (step.usd_per_hour_before or 0.0)),
            step.usd_per_hour is not None,
            step.type,
            step.name,
        ),
    )


NODE_COUNTS = re.compile(
    r"scalingConfig(\.\w+)?|nodeCount|initialNodeCount|count|minCount|maxCount|autoscaling(\.\w+)?"
)
"""Of a node group of EKS, a node pool of GKE, an agent pool of AKS: properties that say how many nodes there are."""


def only_nodes(step: FleetStep) -> bool:
    """Whether a pool has another number of nodes and is as the state says otherwise."""
    pool = step.type.endswith((":NodeGroup", ":NodePool", ":AgentPool"))
    return pool and step.op == "update" and bool(step.changed) and all(map(NODE_COUNTS.fullmatch, step.changed))
