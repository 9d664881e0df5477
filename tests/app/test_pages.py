"""Every page on the simulated day: nothing breaks, and each number is the one that ledger and store hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dashboard_pages import PAGES, OpenPage, dollars, figures, words

from clusterctl.dashboard.sample import END, START
from clusterctl.ledger import open_ledger
from clusterctl.store import open_store
from clusterctl.store.read import Reader
from tools.simulated_day.story import EVALUATE, HOURS, RLCEF, SYNTHESIZE

USD_PER_GPU_HOUR = 55.04 / 8
"""p5.48xlarge in us-east-1, as the plan of the simulated run has it."""


def gpu_rows(home: Path) -> pl.DataFrame:
    with open_store(str(home / "sample" / "telemetry")) as store:
        return store.read("gpu", start=START, end=END, run=None)


def near(text: str, value: float, within: float = 0.51) -> bool:
    return abs(dollars(text) - value) <= within


@pytest.mark.parametrize("run", ["newest", "all", SYNTHESIZE, EVALUATE])
def test_no_page_breaks_and_every_page_says_simulated(run: str, open_page: OpenPage) -> None:
    for page in PAGES:  # in one test: what they share is read once
        app = open_page(page, data="simulated", run=run)
        assert [error.message for error in app.exception] == [], page
        assert [error.value for error in app.error] == [], page
        assert [warning.value for warning in app.warning] == [], page
        assert "Simulated" in words(app), page


def test_every_window_works(open_page: OpenPage) -> None:
    for window in ("1h", "6h", "7d", "all"):
        app = open_page("overview", data="simulated", window=window)
        assert [error.message for error in app.exception] == [], window
        assert dollars(figures(app)["Paid for idle GPUs"]) > 0, window


def test_overview_shows_what_ledger_and_store_hold(open_page: OpenPage, home: Path) -> None:
    shown = figures(open_page("overview", data="simulated"))
    rows = gpu_rows(home).filter(pl.col("node").str.starts_with("gpu-"))
    idle_hours = rows.filter(pl.col("reason").is_not_null())["seconds"].cast(pl.Float64).sum() / 3600
    assert near(shown["Paid for idle GPUs"], idle_hours * USD_PER_GPU_HOUR)
    with open_ledger(str(home / "sample" / "ledger.db")) as ledger:
        bill, run = ledger.bill(RLCEF), ledger.get_run(RLCEF)
        live = [r.usd_per_hour for r in ledger.live_resources(RLCEF)]
    assert bill.usd == Decimal("10698.24")
    assert near(shown["Spent"], float(bill.usd))
    assert near(shown["Burn"], float(sum(price for price in live if price is not None)))
    assert near(shown["Budget left"], float(Decimal(run.limit_usd or 0) - bill.usd))
    last = rows.filter(pl.col("at") > END - timedelta(minutes=1))
    busy = last.filter(pl.col("reason").is_null())["seconds"].cast(pl.Float64).sum() / 60
    assert shown["GPUs busy now"] == f"{busy:.0f} of 64"


def test_overview_warns_of_what_went_wrong(open_page: OpenPage) -> None:
    app = open_page("overview", data="simulated")
    shown = words(app).replace("\\", "")
    for word in ("runs out in", "left over", "Xid error", "GPU was lost"):
        assert word in shown


def test_plan_compares_the_means_of_the_ledger(open_page: OpenPage, home: Path) -> None:
    app = open_page("plan", data="simulated")
    with open_ledger(str(home / "sample" / "ledger.db")) as ledger:
        phases = ledger.phases(RLCEF)
    table = pl.from_pandas(app.dataframe[0].value)
    for name in ("generate", "sandbox", "train", "weight sync"):
        seconds = [phase.seconds for phase in phases if phase.phase == name]
        (row,) = table.filter(pl.col("phase") == name).rows(named=True)
        assert row["actual"] == round(sum(seconds) / len(seconds), 1)
        assert row["steps"] == len(seconds)
    assert table.filter(pl.col("phase") == "evaluate")["planned"].item() is None, "unknown is not 0"


def test_sandboxes_counts_the_programs_of_the_store(open_page: OpenPage, home: Path) -> None:
    shown = figures(open_page("sandboxes", data="simulated"))
    with open_store(str(home / "sample" / "telemetry")) as store:
        rows = store.read("sandbox", start=START, end=END)
    assert shown["Programs"] == f"{rows['finished'].cast(pl.Int64).sum():,}"
    assert shown["Per 1,000 programs"] == f"${1000 * 5.44 * HOURS / rows['finished'].sum():.2f}"


def test_a_run_without_sandbox_counters_says_why(open_page: OpenPage) -> None:
    assert "reports no counters" in words(open_page("sandboxes", data="simulated", run=SYNTHESIZE)).replace("\\", "")


def test_allocation_adds_up_to_the_bill_to_the_cent(open_page: OpenPage, home: Path) -> None:
    app = open_page("allocation", data="simulated", run="all", by="team")
    table = app.dataframe[0].value
    with open_ledger(str(home / "sample" / "ledger.db")) as ledger:
        whole = sum((ledger.bill(run).known_usd for run in (RLCEF, SYNTHESIZE, EVALUATE)), Decimal(0))
    cents = sum((Decimal(str(amount)) for amount in table["exact"]), Decimal(0))
    assert abs(cents - whole.quantize(Decimal("0.01"))) <= Decimal("0.01")
    assert set(table["team"]) == {"reasoning", "data", "evaluation"}


def test_outcomes_are_the_bill_by_what_the_job_counted(open_page: OpenPage, home: Path) -> None:
    app = open_page("outcomes", data="simulated", run="all")
    with open_ledger(str(home / "sample" / "ledger.db")) as ledger:
        accepted = sum(step.metrics["items_accepted"] or 0 for step in ledger.steps(SYNTHESIZE))
        solved = sum(step.metrics["solved"] or 0 for step in ledger.steps(EVALUATE))
        synthesis, evaluation = ledger.bill(SYNTHESIZE).known_usd, ledger.bill(EVALUATE).known_usd
    shown = figures(app)
    assert near(shown["Per accepted triple"], float(synthesis) / accepted, within=0.006)
    assert near(shown["Per solved task"], float(evaluation) / solved, within=0.006)


def test_orphans_shows_the_node_that_was_left_and_its_price(open_page: OpenPage) -> None:
    app = open_page("orphans", data="simulated")
    assert figures(app)["Left over"] == "1"
    assert dollars(figures(app)["A day"]) == round(5.44 * 24)
    assert "synth-sandbox-1" in app.dataframe[0].value["address"].iloc[0]


def test_gpus_shows_whether_busy_gpus_compute(open_page: OpenPage, home: Path) -> None:
    tables = [pl.from_pandas(each.value) for each in open_page("gpus", data="simulated").dataframe]
    (table,) = [each for each in tables if "tensor_active_pct" in each.columns]
    with open_store(str(home / "sample" / "telemetry")) as store:
        rows = store.read("gpu", start=START, end=END, run=RLCEF)
    busy = rows.filter(pl.col("role") == "trainer", pl.col("reason").is_null())
    mean = (busy["tensor_active_pct"] * busy["seconds"]).sum() / busy["seconds"].sum()
    shown = table.filter(pl.col("role") == "trainer").row(0, named=True)
    assert abs(shown["tensor_active_pct"] - mean) <= 1
    assert shown["gpu_util_pct"] > 90


def test_gpus_shows_a_metric_that_nobody_measures_as_a_gap(open_page: OpenPage) -> None:
    assert "no NVLink counters" in words(open_page("gpus", data="simulated", metric="NVLink")).replace("\\", "")


def test_what_if_asks_the_planner(open_page: OpenPage) -> None:
    as_planned = figures(open_page("what_if", data="simulated"))
    halved = figures(open_page("what_if", data="simulated", group="8"))
    assert dollars(halved["Dollars"]) < dollars(as_planned["Dollars"])
    impossible = open_page("what_if", data="simulated", gpus="L4", nodes="1")
    assert len(impossible.warning) == 1, "an infeasible wish is one message"
    assert [error.message for error in impossible.exception] == []


def test_quality_says_how_much_was_measured(open_page: OpenPage, home: Path) -> None:
    shown = figures(open_page("quality", data="simulated"))
    rows = gpu_rows(home).filter(pl.col("node").str.starts_with("gpu-"))
    share = rows["seconds"].cast(pl.Float64).sum() / (64 * HOURS * 3600)
    assert shown["GPU time measured"] == f"{100 * share:.1f}%"


def test_the_address_keeps_what_was_chosen(open_page: OpenPage) -> None:
    app = open_page("overview", data="simulated", run=EVALUATE, window="6h")
    app = app.switch_page("views/gpus.py").run()
    assert dict(app.query_params) == {"data": "simulated", "run": EVALUATE, "window": "6h"}


def test_times_are_the_viewers(open_page: OpenPage) -> None:
    app = open_page("overview", data="simulated")
    app.context = {"timezone": "Asia/Tokyo"}
    assert "09:00 (Asia/Tokyo)" in words(app.run()).replace("\\", "")
    assert datetime(2026, 8, 5, tzinfo=UTC) == END


MOST_READS = {
    "runs": 5,
    "run": 0,
    "overview": 4,
    "plan": 1,
    "gpus": 5,
    "where": 7,
    "pipeline": 2,
    "sandboxes": 4,
    "allocation": 2,
    "what_if": 0,
    "orphans": 0,
    "outcomes": 0,
    "quality": 5,
}
"""Of telemetry, by page: what makes a page slow on a large fleet is what it reads."""


@pytest.mark.parametrize("name", MOST_READS)
def test_a_page_reads_little_and_nothing_twice(name: str, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    read = Reader.read

    def counted(self: Reader, table: str, **options: Any) -> pl.DataFrame:
        asked.append((table, options["start"], options["end"], options["step_seconds"], str(options["columns"])))
        return read(self, table, **options)

    monkeypatch.setattr(Reader, "read", counted)
    open_page(name, data="simulated", run=RLCEF if name in {"plan", "pipeline", "what_if"} else "all")
    assert len(asked) == len(set(asked)), "read twice"
    assert len(asked) <= MOST_READS[name], asked


def test_the_day_ends_with_a_node_that_somebody_holds_idle(open_page: OpenPage) -> None:
    frames = [pl.from_pandas(each.value) for each in open_page("where", data="simulated").dataframe]
    (idle,) = [frame for frame in frames if "holder" in frame.columns]
    (held,) = idle.filter(node="gpu-8").rows(named=True)
    assert (held["gpus"], held["holder"], held["process"]) == (8, RLCEF, "python3 of ray, process 51207")
    assert held["hours"] == pytest.approx(1.6, abs=0.3), "to a bucket"
    (savings,) = [frame for frame in frames if "how" in frame.columns]
    (saving,) = [row for row in savings.rows(named=True) if "gpu-8" in row["what"]]
    assert saving["usd_a_day"] == pytest.approx(USD_PER_GPU_HOUR * 8 * 24, abs=1)
    assert "$1,321 a day" in words(open_page("overview", data="simulated")).replace("\\", "")
