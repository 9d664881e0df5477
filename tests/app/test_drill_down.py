"""From a node to its GPUs and what ran there, from a GPU to its series, from an alert to its moment."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from dashboard_pages import OpenPage, figures, words
from streamlit.testing.v1 import AppTest

from app import accounts, alert_links, data, page_alerts
from app.time_window import Chosen
from app.ui import table_csv
from clusterctl.costs.focus_file import focus_rows
from clusterctl.ledger import open_ledger
from clusterctl.store import open_store
from planners.alerts.alert_facts import OpenAlert
from tools.simulated_day.story import RLCEF


def tables(app: AppTest) -> list[pl.DataFrame]:
    return [pl.from_pandas(each.value) for each in app.dataframe]


def said(app: AppTest) -> str:
    return words(app).replace("\\", "")


def test_a_node_shows_its_gpus_and_what_ran_there(open_page: OpenPage, home: Path) -> None:
    app = open_page("gpus", data="simulated", run="all", node="gpu-5")
    assert [error.message for error in app.exception] == []
    ran, gpus = tables(app)
    assert RLCEF in ran["run"].to_list()
    assert gpus["gpu"].to_list() == [str(number) for number in range(8)]
    with open_store(str(home / "sample" / "telemetry")) as store:
        start = datetime(2026, 8, 4, tzinfo=UTC)
        rows = store.read("gpu", start=start, end=start + timedelta(days=1), nodes=["gpu-5"])
    assert ran["hours"].sum() == pytest.approx(rows["seconds"].cast(pl.Float64).sum() / 3600, abs=0.2)


def test_a_gpu_shows_its_series(open_page: OpenPage) -> None:
    app = open_page("gpus", data="simulated", node="gpu-5", gpu="3")
    assert [error.message for error in app.exception] == []
    shown = said(app)
    for text in ("GPU 3 of gpu-5", "Utilisation, %", "Power, W", "Temperature, °C"):
        assert text in shown


@pytest.mark.parametrize(("node", "gpu", "text"), [("gpu-99", "", "no telemetry"), ("gpu-5", "77", "no GPU of this")])
def test_what_is_not_there_is_said(node: str, gpu: str, text: str, open_page: OpenPage) -> None:
    app = open_page("gpus", data="simulated", node=node, gpu=gpu)
    assert text in said(app)
    assert [error.message for error in app.exception] == []


def test_reward_hacking_leads_to_its_step(open_page: OpenPage) -> None:
    """The step and the time around it; there it is marked, in the picture of what it is about alone."""
    app = open_page("overview", data="simulated", run=RLCEF)
    view = data.view("simulated", RLCEF, Chosen())
    (warning,) = [each for each in data.reported("simulated", RLCEF) if each.kind == "reward hacking"]
    rows = page_alerts.alerts(view, accounts.money(view)).rows
    (alert,) = [row for row in rows if "reward hacking" in row.text]
    assert alert.page == "pipeline"
    assert (alert.address["run"], alert.address["step"]) == (RLCEF, str(warning.since_step))
    steps = {step.step: step.at for step in data.steps("simulated", RLCEF)}
    around = Chosen("from-to", alert.address["from"], alert.address["to"])
    shown = data.view("simulated", RLCEF, around)
    near = [at for step, at in steps.items() if abs(step - warning.since_step) <= 25]
    assert shown.start <= min(near) < max(near) <= shown.end
    assert shown.start > view.start
    frame = data.step_rows("simulated", RLCEF)
    assert list(alert_links.marks(view, frame, ["pass_at_1_visible"])) == [warning.since_step]
    assert alert_links.marks(view, frame, ["response_tokens_mean"]) == {}
    app = open_page("pipeline", data="simulated", **alert.address)
    assert f"Steps {warning.since_step - 25} to" in said(app)
    assert [error.message for error in app.exception] == []


@pytest.mark.usefixtures("home")
def test_a_broken_gpu_leads_to_its_node_and_moment() -> None:
    view = data.view("simulated", RLCEF, Chosen())
    notes = data.store("simulated").read("notes", start=view.start, end=view.end).filter(kind="xid")
    node, at = notes.sort("at").select("node", "at").row(-1)
    alert = OpenAlert(key=f"xid:{node}", rule="xid", level="warn", about=node, text="")
    address = alert_links.address(view, alert)
    shown = data.view("simulated", RLCEF, Chosen("from-to", address["from"], address["to"]))
    assert address["node"] == node
    assert shown.start < at < shown.end
    assert shown.end - shown.start <= timedelta(minutes=62)


def test_allocation_is_exported_in_its_own_words_to_the_cent() -> None:
    frame = pl.DataFrame(
        {
            "team": ["=HYPERLINK(1)", "b"],
            "exact": [Decimal("1.10"), None],
            "share": [100.0, None],
            "gpu_hours": [1.5, None],
            "idle_usd": [Decimal("0.10"), None],
            "unpriced": [0, 1],
            "known_usd": [Decimal("1.10"), Decimal(0)],
        },
        schema_overrides={"exact": pl.Decimal(38, 2), "idle_usd": pl.Decimal(38, 2)},
    )
    first, second = csv.DictReader(io.StringIO(table_csv("allocation", frame, ["team"])))
    money = {"$": "1.10", "%": "100.0", "GPU-hours": "1.5", "$ idle": "0.10", "unpriced": "0"}
    assert first == {"team": "'=HYPERLINK(1)"} | money
    assert second["$"] == "", "unknown is not zero"


def test_focus_of_a_window_is_what_runs_paid_in_it(open_page: OpenPage, home: Path) -> None:
    shown = figures(open_page("allocation", data="simulated", run="all"))
    with open_ledger(str(home / "sample" / "ledger.db")) as ledger:
        view = data.view("simulated", "all", Chosen())
        rows, _ = focus_rows(ledger, data.store("simulated"), "1.2", since=view.start, until=view.end)
    assert shown["Cost of this window"] == f"${rows['BilledCost'].sum():,.0f}"
