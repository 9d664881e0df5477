"""The ledger of the simulated day, recorded by the ledger's own methods and written down as SQL."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.dashboard.sample import END, START
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Intent, PhaseSeconds, ReportBatch, Run, Step
from clusterctl.targets.base import TAG_PREFIX
from tools.simulated_day.story import TEAMS

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger
    from planners.plan.value import Pool
    from tools.simulated_day.record import Recorded

DIGITS = 5
"""Significant digits of what a step reports."""
LEDGER_TABLES = ("plans", "runs", "resources", "costs", "events", "steps", "phases")


def ledger_sql(runs: Mapping[str, Recorded]) -> str:
    """INSERT statements for an empty ledger in SQLite: what the runs leave in it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.db"
        with open_ledger(str(file)) as ledger:
            for run_id, run in runs.items():
                _record_run(ledger, run_id, run)
        with contextlib.closing(sqlite3.connect(file)) as database:
            lines = [line for table in LEDGER_TABLES for line in _inserts(database, table)]
    return "\n".join(["BEGIN;", *lines, "COMMIT;"]) + "\n"


def _inserts(database: sqlite3.Connection, table: str) -> Iterator[str]:
    rows = database.execute(f"SELECT * FROM {table}")
    yield f"INSERT INTO {table} ({', '.join(name for name, *_ in rows.description)}) VALUES"
    texts = ["(" + ",".join(map(_literal, row)) + ")" for row in rows]
    yield ",\n".join(texts) + ";"


def _literal(value: str | float | None) -> str:
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def _record_run(ledger: Ledger, run_id: str, run: Recorded) -> None:
    """A run with its plan, steps, resources, costs and events, by the ledger's own methods."""
    plan, limits = run.plan, run.plan.spec["limits"]
    content = plan.model_dump(mode="json", exclude={"created_at"})
    ledger.put_plan(plan.id, schema=plan.schema_name, content=json.dumps(content), at=START)
    ledger.add_run(
        Run(
            run_id=run_id,
            name=run_id,
            target="simulated",
            plan_id=plan.id,
            created_at=run.start,
            limit_usd=_decimal(limits.get("usd")),
            limit_hours=_decimal(limits.get("hours")),
            labels={"team": TEAMS[run_id], "simulated": "true"},
        )
    )
    ledger.record_event(run_id, "wanted", f"up of plan {plan.id}", at=run.start, event_id=f"wanted:{run_id}")
    ledger.set_state(run_id, "running", at=run.start, note="simulated")
    ledger.record_reports(run_id, _steps(run_id, run))
    for pool in plan.pools:
        for node in run.nodes.get(pool.role, ()):
            _record_node(ledger, run_id, run, pool, node)
    for kind, message, at, role in run.events:
        ledger.record_event(run_id, kind, message, role=role, at=at, event_id=f"{kind}:{message}")
    if run.end is not None:
        ledger.set_state(run_id, "finished", at=run.end, note="simulated")
        ledger.set_desired(run_id, "down")
        ledger.record_event(run_id, "end", "the run has finished", at=run.end, event_id=f"end:{run_id}")


def _record_node(ledger: Ledger, run_id: str, run: Recorded, pool: Pool, node: str) -> None:
    """A machine from the run's start to its end, or to the day's end where it still lives or was left behind."""
    role, resource_id = pool.role, f"{run_id}/{node}"
    tags = {
        "run": run_id,
        "role": role,
        "team": TEAMS[run_id],
        "node": node,
        "gpus": str(pool.gpus_per_node),
        "capacity-type": pool.capacity_type,
        "instance-type": pool.instance_type,
        "region": pool.region,
    }
    intent = Intent(
        resource_id=resource_id,
        run_id=run_id,
        role=role,
        kind="machine",
        provider=pool.cloud,
        tags={f"{TAG_PREFIX}/{key}": value for key, value in tags.items()},
        usd_per_hour=_decimal(pool.usd_per_node_hour),
        price_source=f"{pool.price_source}, {pool.price_as_of}",
    )
    ledger.intend(intent, at=run.start)
    ledger.mark_live(resource_id, address=node, at=run.start)
    ledger.record_event(run_id, "launch", f"{role}: {node}", role=role, at=run.start, event_id=f"launch:{resource_id}")
    gone = None if node in run.left else run.end
    ledger.extend_cost(resource_id, until=gone or END)
    if gone is not None:
        ledger.mark_gone(resource_id, at=gone)


def _steps(run_id: str, run: Recorded) -> ReportBatch:
    steps: list[Step] = []
    phases: list[PhaseSeconds] = []
    for done in run.steps:
        stage, number = done.stage, done.step
        at = done.at.replace(microsecond=done.at.microsecond // 1000 * 1000)
        steps.append(Step(run_id=run_id, stage=stage, step=number, of=done.of, at=at, metrics=_rounded(done.metrics)))
        phases += [
            PhaseSeconds(run_id=run_id, stage=stage, phase=name, step=number, seconds=seconds, at=at)
            for name, seconds in _rounded(done.phases).items()
        ]
    return ReportBatch(steps=tuple(steps), phases=tuple(phases), since=run.start)


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.{DIGITS}g}") for name, value in values.items()}


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))
