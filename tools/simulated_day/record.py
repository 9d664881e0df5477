"""A simulated run as data: what `ledger_rows.py` puts into a ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from planners.plan.value import Plan, Pool
from tools.simulated_day.incidents import Incident
from tools.simulated_day.story import TEAMS

DIGITS = 5
"""Significant digits of what a step reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """A step as the job reports it."""

    stage: str
    step: int
    of: int
    at: datetime
    phases: Mapping[str, float]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One run of the day; `end` is None while it goes on."""

    nodes: Mapping[str, tuple[str, ...]]
    """Host names by role."""
    start: datetime
    end: datetime | None
    steps: tuple[StepDone, ...]
    gpu: tuple[pl.DataFrame, ...]
    events: tuple[tuple[str, str, datetime, str | None], ...] = ()
    """(kind, message, when, role)."""
    left: tuple[str, ...] = ()
    """Nodes that were not taken down when the run ended."""
    sandbox: pl.DataFrame = field(default_factory=pl.DataFrame)
    notes: tuple[Incident, ...] = ()


def run_row(run_id: str, plan: Plan, recorded: Recorded) -> dict[str, Any]:
    """The run as JSON values."""
    limits = plan.spec["limits"]
    return {
        "run_id": run_id,
        "team": TEAMS[run_id],
        "created_at": recorded.start.isoformat(),
        "ended_at": None if recorded.end is None else recorded.end.isoformat(),
        "limit_usd": limits.get("usd"),
        "limit_hours": limits.get("hours"),
        "usd_per_hour": plan.usd_per_hour,
        "plan": plan.model_dump(mode="json", exclude={"created_at"}),
        "nodes": [
            _node(pool, node, left=node in recorded.left)
            for pool in plan.pools
            for node in recorded.nodes.get(pool.role, ())
        ],
        "events": [
            {"kind": kind, "message": message, "at": at.isoformat(), "role": role}
            for kind, message, at, role in recorded.events
        ],
        "steps": [
            {
                "stage": done.stage,
                "step": done.step,
                "of": done.of,
                "at": done.at.isoformat(timespec="milliseconds"),
                "phases": _rounded(done.phases.items()),
                "metrics": _rounded(done.metrics.items()),
            }
            for done in recorded.steps
        ],
    }


def _node(pool: Pool, node: str, *, left: bool) -> dict[str, Any]:
    return {
        "node": node,
        "role": pool.role,
        "provider": pool.cloud,
        "usd_per_hour": pool.usd_per_node_hour,
        "price_source": f"{pool.price_source}, {pool.price_as_of}",
        "left": left,
        "tags": {
            "gpus": str(pool.gpus_per_node),
            "capacity-type": pool.capacity_type,
            "instance-type": pool.instance_type,
            "region": pool.region,
        },
    }


def _rounded(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    return {name: float(f"{value:.{DIGITS}g}") for name, value in values}
