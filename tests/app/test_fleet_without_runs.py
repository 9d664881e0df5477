"""GPUs that telemetry sees and no run has paid for: shown, priced as an estimate, and never free."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from dashboard_pages import OpenPage, dollars, figures, words

from clusterctl.store import open_store

NOW = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)
AWS = "ip-10-0-0-1.us-west-2.compute.internal"


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.data.now_of", lambda _: NOW)


def write_fleet(home: Path, node: str = AWS, model: str = "NVIDIA H100 80GB HBM3", hours: int = 2) -> None:
    """GPU 0 works for lab/train-0, 1 is held idle by lab/notebook-0, 2 and 3 are free: for so many hours up to now."""
    rows = [
        {
            "at": NOW - timedelta(minutes=minute, seconds=5),
            "node": node,
            "gpu": str(gpu),
            "run": ("lab/train-0", "lab/notebook-0", None, None)[gpu],
            "role": None,
            "reason": (None, "unknown", "no_process", "no_process")[gpu],
            "seconds": 60.0,
            "gpu_util_pct": 90 if gpu == 0 else 0,
        }
        for minute in range(60 * hours)
        for gpu in range(4)
    ]
    about = {"at": NOW - timedelta(hours=1), "node": node, "model": model}
    with open_store(str(home / "telemetry")) as store:
        store.append("gpu", pl.DataFrame(rows, infer_schema_length=None))
        store.append("devices", pl.DataFrame([about | {"gpu": str(gpu), "uuid": f"GPU-{gpu}"} for gpu in range(4)]))


def test_overview_prices_gpus_that_no_run_pays_for(open_page: OpenPage, home: Path) -> None:
    write_fleet(home)
    app = open_page("overview")
    assert [error.message for error in app.exception] == []
    shown = figures(app)
    assert "Nothing has run here yet" not in words(app)
    assert dollars(shown["GPUs without a run (estimate)"]) == pytest.approx(8 * 6.88, abs=0.51)
    assert dollars(shown["An hour of them (estimate)"]) == pytest.approx(4 * 6.88, abs=0.01)
    assert dollars(shown["Paid for idle GPUs"]) == pytest.approx(6 * 6.88, abs=0.51)
    assert shown["GPUs busy now"] == "1 of 4"
    assert "Spent" not in shown, "no run has spent anything"
    assert "prices are estimates" in words(app)
    assert "us-west-2" in words(app).replace("\\", "")


def test_the_page_of_runs_leads_to_gpus_without_a_run(open_page: OpenPage, home: Path) -> None:
    write_fleet(home)
    app = open_page("runs")
    assert [error.message for error in app.exception] == []
    assert "1 node without a run" in words(app)
    assert "Nothing has run here yet" not in words(app)


def test_an_own_price_counts(open_page: OpenPage, home: Path) -> None:
    write_fleet(home)
    (home / "machine-prices.yaml").write_text("machines: [{nodes: 'ip-*', usd_per_gpu_hour: 2}]")
    assert figures(open_page("overview"))["An hour of them (estimate)"] == "$8.00/h"


def test_a_mistake_in_own_prices_is_one_message(open_page: OpenPage, home: Path) -> None:
    write_fleet(home)
    (home / "machine-prices.yaml").write_text("machines: [{nodes: 'ip-*', usd_per_gpu_hour: x}]")
    for page in ("overview", "gpus", "allocation"):
        app = open_page(page)
        assert [error.message for error in app.exception] == [], page
        assert "machine-prices.yaml:1" in words(app).replace("\\", ""), page


@pytest.mark.parametrize("page", ["overview", "gpus", "allocation"])
def test_a_gpu_without_a_price_is_unknown_and_not_free(open_page: OpenPage, home: Path, page: str) -> None:
    write_fleet(home, model="Tesla K80")
    app = open_page(page)
    assert [error.message for error in app.exception] == []
    assert not [value for value in figures(app).values() if str(value).startswith("$0")]
    assert "not in the price book" in words(app).replace("\\", "")
    for table in app.dataframe:
        frame = pl.from_pandas(table.value)
        for name in {"usd", "exact"} & set(frame.columns):
            assert frame[name].null_count() == frame.height, name


def test_allocation_splits_by_namespace_pod_and_node(open_page: OpenPage, home: Path) -> None:
    write_fleet(home)
    app = open_page("allocation")
    table = pl.from_pandas(app.dataframe[0].value)
    pods = {pod: float(usd) for pod, usd in table.select("pod", "exact").iter_rows()}
    assert pods["train-0"] == pytest.approx(2 * 6.88, abs=0.01)
    assert pods["notebook-0"] == pytest.approx(2 * 6.88, abs=0.01)
    nodes = pl.from_pandas(open_page("allocation", by="node").dataframe[0].value)
    assert nodes["node"].to_list() == [AWS]


def test_a_store_without_gpus_says_that_nothing_has_run(open_page: OpenPage) -> None:
    assert "Nothing has run here yet" in words(open_page("overview"))
