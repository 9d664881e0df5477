"""A ledger of many ended runs, and how long it takes to ask it: `python tools/benchmarks/many_runs.py`.

Ten ended runs are written as a supervisor writes them (eight are finished, one has failed, one was stopped; one has a
machine without a known price), and copied by the database until there are enough.  Commands are fresh processes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))

if TYPE_CHECKING:
    from sqlalchemy import Connection, TableClause

    from clusterctl.ledger import Ledger

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
COUNT = 100_000
PROTOTYPES = 10
FAILED, STOPPED, UNPRICED = 0, 1, 2
"""Numbers of the prototypes that are not like the others."""
TURNS = 5
COMMANDS = ("--version", "status", "status --json", "cost")


def make_ledger(ledger: Ledger, count: int = COUNT) -> None:
    """Write `count` ended runs, a minute apart, into an empty ledger."""
    for number in range(PROTOTYPES):
        _prototype(ledger, number)
    ledger.write(lambda connection: _copy(connection, count // PROTOTYPES, sqlite=ledger.file is not None))


def _prototype(ledger: Ledger, number: int) -> None:
    """A run of two hours on a machine with 8 GPUs."""
    from clusterctl.ledger.rows import Intent, ReportBatch, Run, Step

    name, at = f"run-{number}", START + number * HOUR / 10
    labels = {"team": f"team-{number % 4}", "owner": f"owner-{number % 7}"}
    ledger.add_run(Run(run_id=name, name=name, target="slurm", created_at=at, labels=labels, limit_usd=Decimal(500)))
    ledger.record_event(name, "wanted", "up", at=at)
    ledger.set_state(name, "running", at=at)
    prices = {"node": None if number == UNPRICED else Decimal("55.04"), "trainer": Decimal(0)}
    for role, price in prices.items():
        kind = "machine" if role == "node" else "process"
        tags = {"run": name, "team": labels["team"], "role": role, "gpus": "8" if role == "node" else "0"}
        machine = Intent(
            resource_id=f"{name}/{role}/1",
            run_id=name,
            role=role,
            kind=kind,
            provider="slurm",
            tags={f"clusterctl.dev/{key}": value for key, value in tags.items()},
            usd_per_hour=price,
            price_source="the plan",
        )
        ledger.intend(machine, at=at)
        ledger.mark_live(machine.resource_id, address=f"host-{number}", at=at)
        ledger.extend_cost(machine.resource_id, until=at + 2 * HOUR)
        ledger.mark_gone(machine.resource_id, at=at + 2 * HOUR)
        ledger.record_event(name, "launch", f"{role} starts", role=role, at=at)
    step = Step(run_id=name, stage="rlcef", step=300, of=300, at=at + HOUR, metrics={"reward": 0.5})
    ledger.record_reports(name, ReportBatch(steps=(step,), since=at, progress_at=at + HOUR))
    state = {FAILED: "failed", STOPPED: "stopped"}.get(number, "finished")
    note = "the trainer ended with code 137: out of memory" if state == "failed" else ""
    ledger.record_event(name, "end", state, at=at + 2 * HOUR)
    ledger.set_state(name, state, at=at + 2 * HOUR, note=note)  # type: ignore[arg-type]


def _copy(connection: Connection, times: int, *, sqlite: bool) -> None:
    """Copy every run with all that belongs to it, until there are `times` of each; each an hour later than the last."""
    from clusterctl.ledger.ledger_tables import COSTS, EVENTS, RESOURCES, RUNS, STEPS

    for table in (RUNS, RESOURCES, COSTS, EVENTS, STEPS):
        _copy_rows(connection, table, times, sqlite=sqlite)


def _copy_rows(connection: Connection, table: TableClause, times: int, *, sqlite: bool) -> None:
    named = {"run_id", "name", "resource_id", "event_id", "address"}
    series = "numbers" if sqlite else f"generate_series(1, {times - 1}) AS numbers(i)"
    number, columns, values = "substr('0000' || i, -5)" if sqlite else "lpad(i::text, 5, '0')", [], []
    for column in table.columns:
        if column.name == "seq":
            continue
        value = name = f'"{column.name}"'
        if column.name in named:
            value = f"replace({name}, run_id, run_id || '-' || {number})"
        elif column.name.endswith("_at"):
            later = f"strftime('%Y-%m-%d %H:%M:%f', {name}, '+' || i || ' hours') || '000'"
            value = later if sqlite else f"{name} + i * interval '1 hour'"
        columns.append(name)
        values.append(value)
    rows = f"SELECT {', '.join(values)} FROM {table.name}, {series}"
    if sqlite:
        begin = f"WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {times - 1}) "
        rows = begin + rows
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({', '.join(columns)}) {rows}")


def main() -> None:
    """Make the ledger, ask, print the median wall and processor seconds of each command as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as home:
        from clusterctl.ledger import open_ledger

        with open_ledger(str(Path(home) / "ledger.db")) as ledger:
            make_ledger(ledger, count)
        environ = os.environ | {"CLUSTERCTL_HOME": home}
        found = {command: _asked(command.split(), environ) for command in COMMANDS}
    print(json.dumps({"runs": count, "wall_and_cpu_seconds": found}, indent=2))


def _asked(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Medians of TURNS, after one that is not counted."""
    walls, processors = [], []
    for _ in range(TURNS + 1):
        began, used = time.perf_counter(), os.times()
        subprocess.run(
            [str(Path(sys.executable).parent / "clusterctl"), *command], env=environ, check=True, capture_output=True
        )
        walls.append(time.perf_counter() - began)
        after = os.times()
        processors.append(after.children_user + after.children_system - used.children_user - used.children_system)
    return round(median(walls[1:]), 2), round(median(processors[1:]), 2)


if __name__ == "__main__":
    main()
