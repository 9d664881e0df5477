"""The ledger of the simulated day, recorded by the ledger's own methods and written down as SQL."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterctl.dashboard.sample import END, START
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Intent, PhaseSeconds, ReportBatch, Run, Step
from clusterctl.targets.base import TAG_PREFIX

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

LEDGER_TABLES = ("plans", "runs", "resources", "costs", "events", "steps", "phases")


def ledger_sql(runs: list[dict[str, Any]]) -> str:
    """INSERT statements for an empty ledger in SQLite: what the runs (as `record.run_row` gives them) leave in it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.db"
        with open_ledger(str(file)) as ledger:
            for run in runs:
                _record_run(ledger, run)
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


def _record_run(ledger: Ledger, run: dict[str, Any]) -> None:
    """A run with its plan, steps, resources, costs and events, by the ledger's own methods."""
    run_id, plan = run["run_id"], run["plan"]
    created_at = datetime.fromisoformat(run["created_at"])
    ended_at = None if run["ended_at"] is None else datetime.fromisoformat(run["ended_at"])
    ledger.put_plan(plan["id"], schema=plan["schema_name"], content=json.dumps(plan), at=START)
    ledger.add_run(
        Run(
            run_id=run_id,
            name=run_id,
            target="simulated",
            plan_id=plan["id"],
            created_at=created_at,
            limit_usd=_decimal(run["limit_usd"]),
            limit_hours=_decimal(run["limit_hours"]),
            labels={"team": run["team"], "simulated": "true"},
        )
    )
    ledger.record_event(run_id, "wanted", f"up of plan {plan['id']}", at=created_at, event_id=f"wanted:{run_id}")
    ledger.set_state(run_id, "running", at=created_at, note="simulated")
    ledger.record_reports(run_id, _steps(run_id, run["steps"], created_at))
    for node in run["nodes"]:
        _record_node(ledger, run, node, created_at, ended_at)
    for event in run["events"]:
        at = datetime.fromisoformat(event["at"])
        identity = f"{event['kind']}:{event['message']}"
        ledger.record_event(run_id, event["kind"], event["message"], role=event["role"], at=at, event_id=identity)
    if ended_at is not None:
        ledger.set_state(run_id, "finished", at=ended_at, note="simulated")
        ledger.set_desired(run_id, "down")
        ledger.record_event(run_id, "end", "the run has finished", at=ended_at, event_id=f"end:{run_id}")


def _record_node(
    ledger: Ledger, run: dict[str, Any], node: dict[str, Any], created_at: datetime, ended_at: datetime | None
) -> None:
    """A machine from the run's start to its end, or to the day's end where it still lives or was left behind."""
    run_id, role, name = run["run_id"], node["role"], node["node"]
    resource_id = f"{run_id}/{name}"
    own = {"run": run_id, "role": role, "team": run["team"], "node": name, **node["tags"]}
    intent = Intent(
        resource_id=resource_id,
        run_id=run_id,
        role=role,
        kind="machine",
        provider=node["provider"],
        tags={f"{TAG_PREFIX}/{key}": value for key, value in own.items()},
        usd_per_hour=_decimal(node["usd_per_hour"]),
        price_source=node["price_source"],
    )
    ledger.intend(intent, at=created_at)
    ledger.mark_live(resource_id, address=name, at=created_at)
    ledger.record_event(run_id, "launch", f"{role}: {name}", role=role, at=created_at, event_id=f"launch:{resource_id}")
    gone = ended_at is not None and not node["left"]
    ledger.extend_cost(resource_id, until=ended_at if gone and ended_at else END)
    if gone:
        ledger.mark_gone(resource_id, at=ended_at)


def _steps(run_id: str, rows: list[dict[str, Any]], since: datetime) -> ReportBatch:
    steps: list[Step] = []
    phases: list[PhaseSeconds] = []
    for row in rows:
        stage, number, at = row["stage"], row["step"], datetime.fromisoformat(row["at"])
        steps.append(Step(run_id=run_id, stage=stage, step=number, of=row["of"], at=at, metrics=row["metrics"]))
        phases += [
            PhaseSeconds(run_id=run_id, stage=stage, phase=name, step=number, seconds=seconds, at=at)
            for name, seconds in row["phases"].items()
        ]
    return ReportBatch(steps=tuple(steps), phases=tuple(phases), since=since)


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))
