"""What is gathered of a real ledger and store: idle GPUs, silence, broken hardware, leftovers, what can't be read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from clusterctl.alerts.look import Look, Looker
from clusterctl.alerts.rules_file import AlertsFile
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import Intent, Run, RunState
from clusterctl.store import open_store
from clusterctl.store.source import TelemetryQuery, TelemetrySource
from clusterctl.targets.base import TAG_PREFIX

NOW = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)
BEGAN = NOW - timedelta(hours=2)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(str(tmp_path / "ledger.db"), now=lambda: NOW) as opened:
        yield opened


def add_run(
    ledger: Ledger, name: str, *, state: RunState = "running", note: str = "", price: int = 36, **run: Any
) -> None:
    """A run on a machine of its own, `NAME-node`."""
    ledger.add_run(Run(run_id=name, name=name, target="fake", created_at=BEGAN, **run))
    ledger.set_state(name, "running", at=BEGAN)
    machine = Intent(
        resource_id=f"{name}/node/1",
        run_id=name,
        role="node",
        kind="machine",
        provider="fake",
        tags={f"{TAG_PREFIX}/gpus": "2", f"{TAG_PREFIX}/node": f"{name}-node"},
        usd_per_hour=Decimal(price),
    )
    ledger.intend(machine, at=BEGAN)
    ledger.mark_live(machine.resource_id, address=f"{name}-node", at=BEGAN)
    ledger.extend_cost(machine.resource_id, until=NOW)
    if state != "running":
        ledger.set_state(name, state, at=NOW - timedelta(minutes=5), note=note)


def gpu_rows(
    run: str, *, reason: str | None, first: int = 3600, last: int = 5, step: int = 10, held: bool = True
) -> list[dict[str, Any]]:
    """Of both GPUs of a run, from `first` to `last` seconds ago."""
    return [
        {"at": NOW - timedelta(seconds=second), "node": f"{run}-node", "gpu": gpu, "run": run if held else None,
         "reason": reason, "seconds": float(step)}
        for second in range(last, first, step)
        for gpu in ("0", "1")
    ]  # fmt: skip


def look(ledger: Ledger, tmp_path: Path, tables: dict[str, list[dict[str, Any]]], **rules: Any) -> Look:
    with open_store(str(tmp_path / "telemetry")) as store:
        for table, rows in tables.items():
            if rows:
                store.append(table, pl.DataFrame(rows, infer_schema_length=None))
    with open_store(str(tmp_path / "telemetry")) as store:
        return Looker(ledger, store, tmp_path, lambda: NOW).look(AlertsFile.model_validate({"rules": rules}))


def rules_of(found: Look) -> list[tuple[str, str]]:
    return [(alert.rule, alert.about) for alert in found.alerts]


def test_idle_gpus_of_a_run_are_told_and_busy_ones_are_not(ledger: Ledger, tmp_path: Path) -> None:
    for run in ("busy", "idle", "unheld"):
        add_run(ledger, run)
    rows = gpu_rows("busy", reason=None) + gpu_rows("idle", reason="waiting_sandbox")
    rows += gpu_rows("unheld", reason="no_process", held=False)
    found = look(ledger, tmp_path, {"gpu": rows})
    assert rules_of(found) == [("idle", "idle"), ("idle", "unheld")]
    assert found.alerts[0].text == "100% of the time of its 2 GPUs was idle over the last 30 min"


@pytest.mark.parametrize("step", [10, 60])
def test_the_idle_share_is_that_of_the_samples(ledger: Ledger, tmp_path: Path, step: int) -> None:
    add_run(ledger, "r1")
    rows = gpu_rows("r1", reason=None, step=step)
    for number, row in enumerate(rows):
        row["reason"] = "unknown" if number // 2 % 5 < 3 else None
    assert rules_of(look(ledger, tmp_path, {"gpu": rows}, idle={"above_percent": 55})) == [("idle", "r1")]
    assert rules_of(look(ledger, tmp_path, {}, idle={"above_percent": 65})) == []


def test_what_starts_up_or_was_hardly_measured_is_not_idle(ledger: Ledger, tmp_path: Path) -> None:
    for run in ("boots", "young"):
        add_run(ledger, run)
    rows = gpu_rows("boots", reason="booting") + gpu_rows("young", reason="unknown", first=600)
    assert rules_of(look(ledger, tmp_path, {"gpu": rows})) == []


def test_telemetry_that_stops_is_told_and_that_never_began_is_not(ledger: Ledger, tmp_path: Path) -> None:
    for run in ("stopped", "hours", "never"):
        add_run(ledger, run)
    rows = gpu_rows("stopped", reason=None, last=245) + gpu_rows("hours", reason=None, first=5400, last=5000)
    found = look(ledger, tmp_path, {"gpu": rows})
    assert rules_of(found) == [("no_telemetry", "hours"), ("no_telemetry", "stopped")]
    assert found.alerts[1].text == "No telemetry of its GPUs since 4 min ago"


def test_broken_hardware_failed_runs_and_leftovers(ledger: Ledger, tmp_path: Path) -> None:
    add_run(ledger, "r1", state="failed", note="failed: out of memory")
    add_run(ledger, "old", state="failed")
    notes = [
        {"at": NOW - timedelta(minutes=minute), "node": node, "kind": kind, "subject": "2", "text": f"{kind} {minute}"}
        for minute, node, kind in ((30, "n1", "xid"), (20, "n1", "xid"), (10, "n1", "lost"), (2000, "n2", "xid"), (5, "n3", "gap"))
    ]  # fmt: skip
    found = look(ledger, tmp_path, {"notes": notes})
    assert [f"{alert.about}: {alert.text}" for alert in found.alerts if alert.rule != "over_plan"] == [
        "old: has failed",
        "r1: has failed: out of memory",
        "old: 1 resource is left over, $864 a day",
        "r1: 1 resource is left over, $864 a day",
        "n1: 1 GPU was lost, the last: lost 10",
        "n1: 2 Xid errors, the last: xid 20",
    ]


def test_a_budget_is_told(ledger: Ledger, tmp_path: Path) -> None:
    add_run(ledger, "r1", limit_usd=Decimal(100))
    (alert,) = look(ledger, tmp_path, {}).alerts
    assert (alert.rule, alert.level, alert.text) == ("budget", "info", "72% of the budget of $100 is used")


class Broken(TelemetrySource):
    """A server that does not answer, and says so as `Prometheus` does."""

    where = "http://prometheus"

    def answer(self, query: TelemetryQuery) -> pl.DataFrame:
        from planners.telemetry.tables import schema

        return pl.DataFrame(schema=schema(query.table)).select(query.selected())

    def span(self) -> None:
        return None

    def problems(self) -> tuple[str, ...]:
        return ("http://prometheus does not answer",)


def test_telemetry_that_can_not_be_read_is_unknown_and_not_fine(ledger: Ledger, tmp_path: Path) -> None:
    add_run(ledger, "r1")
    facts = Looker(ledger, Broken(), tmp_path, lambda: NOW).look(AlertsFile()).facts
    assert facts.is_unknown("idle", "r1")
    assert facts.is_unknown("xid", "any-node")
    assert not facts.is_unknown("failed", "r1")
    assert facts.unknown[("idle", "")] == "telemetry: http://prometheus does not answer"


def test_a_plan_that_can_not_be_read_is_unknown_for_its_run_alone(ledger: Ledger, tmp_path: Path) -> None:
    ledger.put_plan("damaged", schema="plan", content="{")
    add_run(ledger, "r1", plan_id="damaged")
    add_run(ledger, "r2")
    facts = look(ledger, tmp_path, {}).facts
    assert facts.is_unknown("over_plan", "r1")
    assert not facts.is_unknown("stalled", "r2")
