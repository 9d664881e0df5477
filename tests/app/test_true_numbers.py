"""What pages say of live data that this test writes: GPUs busy now, alerts of every run, ages, sandboxes of one run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from dashboard_pages import OpenPage, figures
from streamlit.testing.v1 import AppTest

from app.ui import age
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Intent, Run
from clusterctl.store import open_store
from clusterctl.targets.base import TAG_PREFIX

NOW = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)
BEGAN = NOW - timedelta(hours=2)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.data.now_of", lambda _: NOW)


def add_run(name: str, *, state: str = "running", usd: int | None = None, note: str = "", gpus: int = 0) -> None:
    """A run on a machine of its own, at $36 an hour for two hours."""
    with open_ledger(now=lambda: NOW) as ledger:
        ledger.add_run(Run(run_id=name, name=name, target="fake", created_at=BEGAN, limit_usd=usd and Decimal(usd)))
        ledger.set_state(name, "running", at=BEGAN)
        machine = Intent(
            resource_id=f"{name}/node/1",
            run_id=name,
            role="node",
            kind="machine",
            provider="fake",
            tags={f"{TAG_PREFIX}/gpus": str(gpus), f"{TAG_PREFIX}/node": "shared"},
            usd_per_hour=Decimal(36),
        )
        ledger.intend(machine, at=BEGAN)
        ledger.mark_live(machine.resource_id, address="shared", at=BEGAN)
        ledger.extend_cost(machine.resource_id, until=NOW)
        if state != "running":
            ledger.mark_gone(machine.resource_id, at=NOW)
            ledger.set_state(name, state, at=NOW - timedelta(minutes=5), note=note)  # type: ignore[arg-type]


def write(home: Path, table: str, rows: list[dict[str, object]]) -> None:
    with open_store(str(home / "telemetry")) as store:
        store.append(table, pl.DataFrame(rows, infer_schema_length=None))


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.caption))


def test_a_failed_run_is_an_alert_with_its_reason(open_page: OpenPage) -> None:
    add_run("rlcef-1", state="failed", note="the trainer ended with code 137: out of memory")
    for run in ("rlcef-1", "all"):
        app = open_page("overview", run=run)
        assert "has failed: the trainer ended with code 137" in words(app).replace("\\", "")
        assert "No open alerts" not in words(app)


def test_limits_of_all_runs_count(open_page: OpenPage) -> None:
    add_run("spent", usd=50)
    add_run("rich", usd=1000)
    add_run("unlimited")
    app = open_page("overview", run="all")
    assert figures(app)["Budgets left"] == f"${1050 - 2 * 72:,}"
    assert "spent: the budget of $50" in words(app).replace("\\", "")


def test_busy_now_is_of_the_newest_minute_and_counts_what_is_not_measured(open_page: OpenPage, home: Path) -> None:
    add_run("r1", gpus=16)
    rows = [
        {
            "at": NOW - timedelta(seconds=second),
            "node": "shared",
            "gpu": str(gpu),
            "run": "r1",
            "role": "trainer",
            "reason": None if gpu < 11 and second <= 60 else "unknown",
            "seconds": 10.0,
            "gpu_util_pct": 90,
        }
        for gpu in range(14)
        for second in range(5, 3600, 10)
    ]
    write(home, "gpu", rows)
    for window in ("1h", "7d"):
        app = open_page("overview", run="r1", window=window)
        assert figures(app)["GPUs busy now"] == "11 of 16", window


def sandbox_row(run: str, second: int, finished: int, running: int) -> dict[str, object]:
    counts = {"finished": finished, "time_limits": 0, "memory_limits": 0, "errors": 0}
    load = {"running": running, "queued": 2, "workers": 2}
    return {"at": NOW - timedelta(seconds=second), "node": "shared", "run": run, "seconds": 10.0, **load, **counts}


def test_sandboxes_of_one_run_are_its_own_and_none_runs_once_it_has_ended(open_page: OpenPage, home: Path) -> None:
    add_run("r1")
    add_run("r2", state="finished")
    rows = [sandbox_row(run, second, 5 if run == "r1" else 3, 2) for run in ("r1", "r2") for second in (325, 335, 345)]
    write(home, "sandbox", rows)
    assert figures(open_page("sandboxes", run="r1"))["Programs"] == "15"
    ended = figures(open_page("sandboxes", run="r2"))
    assert ended["Programs"] == "9"
    assert ended["Most at once"] == "2"
    assert "Running now" not in ended


def test_nothing_simulated_is_swept(open_page: OpenPage) -> None:
    assert "clusterctl sweep" not in [block.value for block in open_page("orphans", data="simulated").code]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s ago"), (240, "4 min ago"), (-30, "30 s ahead of this clock")])
def test_an_age_is_never_clamped(seconds: int, text: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == text
