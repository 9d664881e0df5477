"""A simulated run into the ledger, through the ledger's own methods where they decide something (costs, states)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.ledger.rows import Intent, Phase, Run, Step
from clusterctl.ledger.store import upsert, values_of
from clusterctl.ledger.tables import PHASES, STEPS
from tools.simulated_day.story import HOURS, START, TEAMS
from clusterctl.targets.base import TAG_PREFIX
from tools.simulated_day.incidents import Incident

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from clusterctl.ledger import Ledger
    from planners.plan.value import Plan, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
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
    steps: tuple[Said, ...]
    gpu: tuple[pl.DataFrame, ...]
    events: tuple[tuple[str, str, datetime, str | None], ...] = ()
    """(kind, message, when, role)."""
    left: tuple[str, ...] = ()
    """Nodes that were not taken down when the run ended."""
    sandbox: pl.DataFrame = field(default_factory=pl.DataFrame)
    notes: tuple[Incident, ...] = ()


def record_run(ledger: Ledger, run_id: str, plan: Plan, recorded: Recorded) -> None:
    """Run, plan, resources with their costs, steps, phases and events."""
    ledger.put_plan(plan.id, schema=plan.schema_name, content=plan.model_dump_json(exclude={"created_at"}), at=START)
    limits = plan.spec["limits"]
    ledger.add_run(
        Run(
            run_id=run_id,
            name=run_id,
            target="simulated",
            plan_id=plan.id,
            created_at=recorded.start,
            limit_usd=_decimal(limits.get("usd")),
            limit_hours=_decimal(limits.get("hours")),
            usd_per_hour=_decimal(plan.usd_per_hour),
            labels={"team": TEAMS[run_id], "simulated": "true"},
        )
    )
    ledger.record_event(run_id, "wanted", f"up of plan {plan.id}", at=recorded.start, event_id=f"wanted:{run_id}")
    ledger.set_state(run_id, "running", at=recorded.start, note="simulated")
    ledger.write(lambda connection: _record_steps(connection, run_id, recorded.steps))
    for pool in plan.pools:
        for node in recorded.nodes.get(pool.role, ()):
            _record_node(ledger, run_id, node, pool, recorded)
    for kind, message, at, role in recorded.events:
        ledger.record_event(run_id, kind, message, role=role, at=at, event_id=f"{kind}:{message}")
    if recorded.end is not None:
        ledger.set_state(run_id, "finished", at=recorded.end, note="simulated")
        ledger.set_desired(run_id, "down")
        ledger.record_event(run_id, "end", "the run has finished", at=recorded.end, event_id=f"end:{run_id}")


def _record_node(ledger: Ledger, run_id: str, node: str, pool: Pool, recorded: Recorded) -> None:
    identity = f"{run_id}/{node}"
    own = {
        "run": run_id,
        "role": pool.role,
        "team": TEAMS[run_id],
        "node": node,
        "gpus": str(pool.gpus_per_node),
        "capacity-type": pool.capacity_type,
        "instance-type": pool.instance_type,
        "region": pool.region,
    }
    tags = {f"{TAG_PREFIX}/{name}": value for name, value in own.items()}
    intent = Intent(
        resource_id=identity,
        run_id=run_id,
        role=pool.role,
        kind="machine",
        provider=pool.cloud,
        tags=tags,
        usd_per_hour=_decimal(pool.usd_per_node_hour),
        price_source=f"{pool.price_source}, {pool.price_as_of}",
    )
    ledger.intend(intent, at=recorded.start)
    ledger.mark_live(identity, address=node, at=recorded.start)
    ledger.record_event(
        run_id, "launch", f"{pool.role}: {node}", role=pool.role, at=recorded.start, event_id=f"launch:{identity}"
    )
    gone = recorded.end is not None and node not in recorded.left
    ledger.extend_cost(identity, until=recorded.end if gone and recorded.end else START + timedelta(hours=HOURS))
    if gone:
        ledger.mark_gone(identity, at=recorded.end)


def _record_steps(connection: Connection, run_id: str, steps: tuple[Said, ...]) -> None:
    """All in one transaction: `record_step` waits for the disk each time."""
    for said in steps:
        step = Step(run_id=run_id, stage=said.stage, step=said.step, of=said.of, at=said.at, metrics=said.metrics)
        upsert(connection, STEPS, values_of(step), "run_id", "stage", "step")
        for name, seconds in said.phases.items():
            phase = Phase(run_id=run_id, stage=said.stage, phase=name, step=said.step, seconds=seconds, at=said.at)
            upsert(connection, PHASES, values_of(phase), "run_id", "stage", "phase", "step")


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))
