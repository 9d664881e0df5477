"""In any window every page says the same of the same figure: idle dollars, the window's cost, measured time, spend."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dashboard_pages import PAGES, OpenPage, dollars, figures, words
from streamlit.testing.v1 import AppTest

from app.time_window import WINDOWS
from app.ui import LABELS, usd
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Intent, Run
from clusterctl.store import open_store
from clusterctl.targets.base import TAG_PREFIX
from tools.simulated_day.story import RLCEF

NOW = datetime(2026, 11, 25, 12, 34, 56, tzinfo=UTC)
"""A Wednesday: today, the week and the month so far differ."""
SHOWING = ("overview", "gpus", "where", "allocation", "sandboxes", "quality")
"""Pages with figures of the window; those of one run alone come on top."""
QUICK = ("1h", "week", "from-to")
"""Windows with steps of seconds and minutes, a moving and a fixed end; every window takes minutes: `make test-slow`."""
STATES = {name: text for name, (text, _) in LABELS["states"].items()}
NODES = {"a-1": ("a", 2, "7.77"), "a-2": ("a", 2, "7.77"), "b-1": ("b", 4, "13.33"), "a-sandbox": ("a", 0, "1.23")}
"""Machine → its run, GPUs, dollars per hour."""
UNPAID, MODEL = "ip-10-0-0-9.us-west-2.compute.internal", "NVIDIA H100 80GB HBM3"


def test_each_page_says_the_same_of_each_window_of_the_simulated_day(
    window: Mapping[str, str], open_page: OpenPage
) -> None:
    shown = opened(open_page, PAGES, data="simulated", run="all", **window)
    for page, app in shown.items():
        assert [warning.value for warning in app.warning] == [], page
    assert_same(shown)


def test_each_page_says_the_same_of_each_window_of_a_simulated_run(
    window: Mapping[str, str], open_page: OpenPage
) -> None:
    shown = opened(open_page, (*SHOWING, "pipeline"), data="simulated", run=RLCEF, **window)
    assert_same(shown)
    assert_same_roles(shown)


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("run", ["all", "a"])
def test_each_page_says_the_same_of_each_window_of_live_runs(
    run: str, window: Mapping[str, str], open_page: OpenPage
) -> None:
    shown = opened(open_page, SHOWING if run == "all" else (*SHOWING, "pipeline"), run=run, **window)
    assert_same(shown)
    assert dollars(figures(shown["overview"])["Paid for idle GPUs"]) > 0
    if run != "all":
        assert_same_roles(shown)


def test_each_page_says_the_same_of_a_run_whatever_the_window(open_page: OpenPage) -> None:
    shown = opened(open_page, ("runs", "run", "plan"), data="simulated", run=RLCEF)
    run, plan = figures(shown["run"]), figures(shown["plan"])
    assert run["At the end"] == plan["Dollars at the end"]
    (of_runs,) = [element.proto.body for element in shown["runs"].get("html") if "<table" in element.proto.body]
    (line,) = [line for line in re.findall(r"<tr>(.*?)</tr>", of_runs, re.DOTALL) if f">{RLCEF}<" in line]
    assert re.findall(r"\$[\d,.]+", line)[:2] == [run["So far"], run["At the end"]]
    for name in ("1h", "all"):
        overview = figures(open_page("overview", data="simulated", run=RLCEF, window=name))
        assert (overview["Spent"], overview["At completion"]) == (run["So far"], run["At the end"])


def opened(open_page: OpenPage, pages: tuple[str, ...], **query: str) -> dict[str, AppTest]:
    shown = {page: open_page(page, **query) for page in pages}
    for page, app in shown.items():
        assert [error.message for error in app.exception] == [], page
    return shown


def assert_same(shown: Mapping[str, AppTest]) -> None:
    """What Allocation's table adds up to is what every other page says."""
    parts = table(shown["allocation"], "exact")
    idle, whole = (sum(parts[column].drop_nulls(), Decimal(0)) for column in ("idle_usd", "exact"))
    hours = parts["gpu_hours"].sum()
    figure = {page: figures(app) for page, app in shown.items()}
    assert figure["allocation"].get("Idle GPUs", "$0.00") == usd(idle)
    assert figure["overview"]["Paid for idle GPUs"] == usd(idle)
    assert figure["allocation"]["Cost of this window"] == usd(whole)
    held_and_free = (dollars(figure["where"][label]) for label in ("Held, and idle", "Free GPUs"))
    assert sum(held_and_free) == pytest.approx(float(idle), abs=1.01)
    wasted = table(shown["where"], "held_usd")
    assert wasted["held_usd"].sum() + wasted["free_usd"].sum() == pytest.approx(float(idle), abs=0.01 * wasted.height)
    did = {row["state"]: row for row in table(shown["gpus"], "share").rows(named=True)}
    idled = [row["usd"] for state, row in did.items() if state not in (STATES["busy"], STATES["unmeasured"])]
    assert sum(idled) == pytest.approx(float(idle), abs=0.006 * len(idled) + 0.001)
    nodes = table(shown["gpus"], "idle_usd")
    assert nodes["idle_usd"].sum() == pytest.approx(float(idle), abs=0.006 * nodes.height)
    assert sum(row["gpu_hours"] for row in did.values()) == pytest.approx(hours, abs=0.06 * len(did) + 0.06)
    unseen = did[STATES["unmeasured"]]["share"] if STATES["unmeasured"] in did else 0.0
    measured = float(figure["quality"]["GPU time measured"].strip("%<>"))
    assert measured == pytest.approx(100 - unseen, abs=0.51 if measured.is_integer() else 0.11)
    if "GPUs waiting for sandboxes" in figure["sandboxes"]:
        waiting = did.get(STATES["waiting_sandbox"], {"usd": 0.0})["usd"]
        assert dollars(figure["sandboxes"]["GPUs waiting for sandboxes"]) == pytest.approx(waiting, abs=0.51)
    for amount in re.findall(r"\*\*\$([\d,]+(?:\.\d+)?) a day\*\*", said(shown["overview"])):
        daily = [row for row in table(shown["where"], "how")["usd_a_day"] if row is not None]
        assert any(abs(row - float(amount.replace(",", ""))) < 0.51 for row in daily), amount


def assert_same_roles(shown: Mapping[str, AppTest]) -> None:
    """The idle share of the run lies between those of its roles."""
    shares = {label: value for label, value in figures(shown["pipeline"]).items() if label.endswith(" idle")}
    idle = table(shown["where"], "held_usd")
    hours = idle["held_hours"].sum() + idle["free_hours"].sum()
    measured = sum(
        row["gpu_hours"]
        for row in table(shown["gpus"], "share").rows(named=True)
        if row["state"] != STATES["unmeasured"]
    )
    whole = 100 * hours / measured
    each = [float(value.strip("%<>")) for value in shares.values()]
    assert min(each) - 1 < whole < max(each) + 1


def table(app: AppTest, column: str) -> pl.DataFrame:
    """The table of a page that has this column; of several the first."""
    frames = (pl.from_pandas(each.value) for each in app.dataframe)
    return next((frame for frame in frames if column in frame.columns), pl.DataFrame(schema=dict.fromkeys(EMPTY)))


EMPTY: tuple[str, ...] = ("held_usd", "free_usd", "held_hours", "free_hours", "usd_a_day", "idle_usd")
"""Columns of tables that are left out where nothing idles."""


def said(app: AppTest) -> str:
    return words(app).replace("\\", "")


@pytest.fixture(params=[pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in WINDOWS])
def window(request: pytest.FixtureRequest) -> dict[str, str]:
    """Each window as words of the address; from-to begins and ends within a bucket."""
    if request.param != "from-to":
        return {"window": request.param}
    live = "live" in request.fixturenames
    day = "2026-11-25" if live else "2026-08-04"
    return {"window": "from-to", "from": f"{day} 06:07", "to": f"{day} 09:31"}


@pytest.fixture
def live(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs at odd prices, GPUs that no run pays for, and telemetry of 30 hours of which some is missing."""
    monkeypatch.setattr("app.data.now_of", lambda _: NOW)
    with open_ledger(now=lambda: NOW) as ledger:
        for run, hours in (("a", 70), ("b", 5.3)):
            began = NOW - timedelta(hours=hours)
            ledger.add_run(Run(run_id=run, name=run, target="fake", created_at=began))
            ledger.set_state(run, "running", at=began)
            for node, (payer, gpus, price) in NODES.items():
                if payer == run:
                    role = "trainer" if gpus else "sandbox"
                    tags = {f"{TAG_PREFIX}/gpus": str(gpus), f"{TAG_PREFIX}/node": node}
                    machine = Intent(
                        resource_id=f"{run}/{node}",
                        run_id=run,
                        role=role,
                        kind="machine",
                        provider="fake",
                        tags=tags,
                        usd_per_hour=Decimal(price),
                    )
                    ledger.intend(machine, at=began)
                    ledger.mark_live(machine.resource_id, address=node, at=began)
                    ledger.extend_cost(machine.resource_id, until=NOW)
    rows = [row for number in range(900) if not 300 < number < 320 for row in of_two_minutes(number)]
    programs = [sandbox_row(number) for number in range(900)]
    about = [
        {"at": NOW - timedelta(hours=hour), "node": UNPAID, "model": MODEL, "gpu": str(gpu), "uuid": f"GPU-{gpu}"}
        for hour in range(1, 30)
        for gpu in range(2)
    ]
    with open_store(str(home / "telemetry")) as store:
        store.append("gpu", pl.DataFrame(rows, infer_schema_length=None))
        store.append("sandbox", pl.DataFrame(programs, infer_schema_length=None))
        store.append("devices", pl.DataFrame(about))


def of_two_minutes(number: int) -> Iterator[dict[str, Any]]:
    """Each GPU works for a part of them and idles for the rest, for a reason that changes."""
    at = NOW - timedelta(seconds=120 * number + 7)
    reasons = ("waiting_sandbox", "waiting_sync", "unknown", "no_process")
    for node, run, gpus in (("a-1", "a", 2), ("a-2", "a", 2), ("b-1", "b", 4), (UNPAID, "lab/notebook-0", 2)):
        if run == "b" and number > 150:
            continue
        for gpu in range(gpus):
            reason = reasons[(number // 7 + gpu) % 4]
            idle = 20.0 + 10 * ((number + 3 * gpu) % 9)
            one: dict[str, Any] = {"at": at, "node": node, "gpu": str(gpu), "gpu_util_pct": 50}
            role = ("trainer", "rollout")[gpu % 2] if run in ("a", "b") else None
            yield one | {"run": run, "role": role, "reason": None, "seconds": 120.0 - idle}
            holder: dict[str, Any] = (
                {"run": None, "role": None} if reason == "no_process" else {"run": run, "role": role}
            )
            yield one | holder | {"reason": reason, "seconds": idle}


def sandbox_row(number: int) -> dict[str, Any]:
    counts = {"finished": 7 + number % 3, "time_limits": 0, "memory_limits": 0, "errors": number % 2}
    load = {"running": 2, "queued": number % 4, "workers": 4, "run": "a", "seconds": 120.0}
    return {"at": NOW - timedelta(seconds=120 * number + 7), "node": "a-sandbox"} | load | counts
