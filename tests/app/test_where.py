"""Where: waste by who caused it, who holds an idle GPU and since when, and savings, on data that this test writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from dashboard_pages import OpenPage, dollars, figures, words
from streamlit.testing.v1 import AppTest

from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Intent, Run
from clusterctl.store import open_store
from clusterctl.targets.base import TAG_PREFIX

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
BEGAN = NOW - timedelta(hours=4)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.data.now_of", lambda _: NOW)


def add_machine(
    run: str, node: str, *, gpus: int, usd: int | None, role: str = "node", kind: str = "machine", **tags: str
) -> None:
    """A machine of a live run that was paid for four hours."""
    with open_ledger(now=lambda: NOW) as ledger:
        if run not in [one.run_id for one in ledger.runs()]:
            ledger.add_run(Run(run_id=run, name=run, target="fake", created_at=BEGAN, labels={"team": "ml"}))
            ledger.set_state(run, "running", at=BEGAN)
        own = {f"{TAG_PREFIX}/gpus": str(gpus), f"{TAG_PREFIX}/node": node}
        machine = Intent(
            resource_id=f"{run}/{node}/1",
            run_id=run,
            role=role,
            kind=kind,
            provider="fake",
            tags=own | {f"{TAG_PREFIX}/{name}": text for name, text in tags.items()},
            usd_per_hour=None if usd is None else Decimal(usd),
        )
        ledger.intend(machine, at=BEGAN)
        ledger.mark_live(machine.resource_id, address=node, at=BEGAN)
        ledger.extend_cost(machine.resource_id, until=NOW)


def write(home: Path, table: str, rows: list[dict[str, object]]) -> None:
    with open_store(str(home / "telemetry")) as store:
        store.append(table, pl.DataFrame(rows, infer_schema_length=None))


def gpu(node: str, index: int, minute: int, run: str | None, role: str | None, reason: str | None) -> dict[str, object]:
    row = {"at": NOW - timedelta(minutes=minute), "node": node, "gpu": str(index), "run": run, "role": role}
    return row | {"reason": reason, "seconds": 60.0, "gpu_util_pct": 0 if reason else 90}


def tables(app: AppTest) -> dict[str, pl.DataFrame]:
    """Tables by their distinguishing column."""
    found = {}
    for one in app.dataframe:
        frame = pl.from_pandas(one.value)
        names = ("what", "holder", "held_usd", "cpu_most")
        found |= {name: frame for name in names if name in frame.columns}
    return found


def test_held_and_free_gpus_are_summed_apart_with_who_holds_them_and_since_when(
    open_page: OpenPage, home: Path
) -> None:
    add_machine("r1", "gpu-5", gpus=2, usd=20)
    rows = [gpu("gpu-5", 0, minute, "r1", "trainer", "unknown" if minute < 90 else None) for minute in range(240)]
    rows += [gpu("gpu-5", 1, minute, None, None, "no_process") for minute in range(240)]
    write(home, "gpu", rows)
    note = {"at": NOW - timedelta(minutes=30), "node": "gpu-5", "kind": "holder", "subject": "0"}
    write(home, "notes", [note | {"text": "python3 of ann, process 4242"}])
    app = open_page("where", run="all", window="6h")
    assert [error.message for error in app.exception] == []
    shown = figures(app)
    assert dollars(shown["Held, and idle"]) == pytest.approx(1.5 * 10, abs=0.2)
    assert dollars(shown["Free GPUs"]) == pytest.approx(4 * 10, abs=0.2)
    found = tables(app)
    held = found["holder"].filter(pl.col("holder") == "r1").row(0, named=True)
    assert held["process"] == "python3 of ann, process 4242"
    assert held["gpus"] == 1
    assert held["hours"] == pytest.approx(1.5, abs=0.2)
    assert held["usd_a_day"] == 240
    free = found["holder"].filter(pl.col("holder") == "nobody").row(0, named=True)
    assert free["since_words"] == "or earlier"
    assert free["process"] is None
    assert found["held_usd"]["node"].to_list() == ["gpu-5"]
    (saving,) = found["what"].rows(named=True)
    assert "release gpu-5" in saving["what"]
    assert saving["usd_a_day"] == 480


@pytest.mark.parametrize(("by", "name"), [("pod or run", "r1"), ("team", "ml"), ("role", "trainer")])
def test_waste_is_grouped_by_what_is_chosen(open_page: OpenPage, home: Path, by: str, name: str) -> None:
    add_machine("r1", "gpu-5", gpus=1, usd=20)
    write(home, "gpu", [gpu("gpu-5", 0, minute, "r1", "trainer", "waiting_sandbox") for minute in range(240)])
    found = tables(open_page("where", run="all", where=by))["held_usd"]
    assert found[by].to_list() == [name]
    assert found["held_usd"][0] == pytest.approx(80, abs=0.5)
    assert found["free_usd"][0] == 0


def test_idle_cpu_machines_and_reserved_nodes_without_use_are_savings(open_page: OpenPage, home: Path) -> None:
    add_machine("r1", "cpu-1", gpus=0, usd=2)
    add_machine("r1", "cpu-2", gpus=0, usd=3)
    add_machine("r1", "block", gpus=0, usd=30, kind="reservation", reservation="cr-1", nodes="3")
    add_machine("r1", "in-block", gpus=0, usd=0, reservation="cr-1")
    write(
        home,
        "host",
        [
            {
                "at": NOW - timedelta(minutes=minute),
                "node": node,
                "seconds": 60.0,
                "cpu_pct": cpu,
                "memory_used_mib": 1024,
            }
            for minute in range(240)
            for node, cpu in (("cpu-1", 3.0), ("cpu-2", 60.0))
        ],
    )
    app = open_page("where", run="all")
    assert [error.message for error in app.exception] == []
    assert figures(app)["Idle CPU machines, a day"] == "$48.00"
    assert tables(app)["what"].select("what", "usd_a_day").rows() == [
        ("use or give back 2 of 3 reserved nodes of cr-1", 480.0),
        ("release cpu-1, which has no GPU and does little", 48.0),
    ]
    assert tables(app)["cpu_most"]["node"].to_list() == ["cpu-1", "cpu-2"]


def test_idle_sandbox_slots_cost_what_their_machines_cost(open_page: OpenPage, home: Path) -> None:
    for number in range(4):
        add_machine("r1", f"sandbox-{number}", gpus=0, usd=4, role="sandbox")
    counts = {"finished": 10, "time_limits": 0, "memory_limits": 0, "errors": 0}
    load = {"running": 5, "queued": 0, "workers": 20, "run": "r1", "seconds": 60.0}
    rows = [
        {"at": NOW - timedelta(minutes=minute), "node": f"sandbox-{number}"} | load | counts
        for minute in range(240)
        for number in range(4)
    ]
    write(home, "sandbox", rows)
    app = open_page("where", run="all")
    assert dollars(figures(app)["Idle sandbox slots"]) == pytest.approx(4 * 4 * 4 * 0.75, abs=0.5)
    (saving,) = tables(app)["what"].rows(named=True)
    assert saving["what"] == "2 fewer sandbox nodes for r1 (2 instead of 4)"
    assert saving["usd_a_day"] == 192


def test_where_nothing_is_measured_nothing_is_said_to_be_saved(open_page: OpenPage) -> None:
    add_machine("r1", "gpu-5", gpus=8, usd=20)
    app = open_page("where", run="all")
    assert [error.message for error in app.exception] == []
    assert "what" not in tables(app)
    assert "no telemetry of GPUs in this window" in words(app)


def test_a_fleet_without_runs_says_which_pod_holds_an_idle_gpu(open_page: OpenPage, home: Path) -> None:
    node = "ip-10-0-0-1.us-west-2.compute.internal"
    rows = [gpu(node, index, minute, "lab/notebook-0", None, "unknown") for index in range(8) for minute in range(120)]
    write(home, "gpu", rows)
    about = {"at": NOW - timedelta(hours=1), "node": node, "model": "NVIDIA H100 80GB HBM3"}
    write(home, "devices", [about | {"gpu": str(index), "uuid": f"GPU-{index}"} for index in range(8)])
    app = open_page("where")
    found = tables(app)
    assert found["holder"].select("holder", "gpus").rows() == [("lab/notebook-0", 8)]
    (saving,) = found["what"].rows(named=True)
    assert saving["what"].startswith(f"end lab/notebook-0 and release {node}")
    assert saving["usd_a_day"] == pytest.approx(8 * 6.88 * 24, abs=1)
    assert "estimated price" in saving["how"]
