"""Windows of time: in words or moments, in the viewer's zone, with the period before, and days that add up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from dashboard_pages import OpenPage, dollars, figures, words
from streamlit.testing.v1 import AppTest

from app import accounts, data, trends
from app.time_window import Chosen
from clusterctl.dashboard.sample import END, START
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Intent, Run
from clusterctl.store import open_store
from clusterctl.targets.base import TAG_PREFIX

NOW = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)
"""A Monday, long after the simulated day."""
DAYS = 20
BEGAN = NOW - timedelta(days=DAYS)
USD_PER_HOUR = Decimal("8.10")


@pytest.fixture
def fed(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One GPU at $8.10 an hour for 20 days: half of each minute idle in the last day, a quarter in those before."""
    monkeypatch.setattr("app.data.now_of", lambda _: NOW)
    with open_ledger(now=lambda: NOW) as ledger:
        ledger.add_run(Run(run_id="r1", name="r1", target="fake", created_at=BEGAN))
        ledger.set_state("r1", "running", at=BEGAN)
        machine = Intent(
            resource_id="r1/node/1",
            run_id="r1",
            role="trainer",
            kind="machine",
            provider="fake",
            tags={f"{TAG_PREFIX}/gpus": "1", f"{TAG_PREFIX}/node": "gpu-1"},
            usd_per_hour=USD_PER_HOUR,
        )
        ledger.intend(machine, at=BEGAN)
        ledger.mark_live(machine.resource_id, address="gpu-1", at=BEGAN)
        ledger.extend_cost(machine.resource_id, until=NOW)
    return home


def feed(home: Path, *, outage: tuple[datetime, datetime] | None = None, days: int = 8) -> None:
    """Ten minutes to a row and reason; none that touches the outage."""
    ten = timedelta(minutes=10)
    rows: list[dict[str, object]] = []
    for number in range(days * 144):
        at = NOW - number * ten
        if outage is None or at <= outage[0] or at - ten >= outage[1]:
            idle = 300.0 if number < 144 else 150.0
            said = {"at": at, "node": "gpu-1", "gpu": "0", "run": "r1", "role": "trainer"}
            rows += [said | {"reason": "waiting_sync", "seconds": idle}, said | {"reason": None, "seconds": 600 - idle}]
    with open_store(str(home / "telemetry")) as store:
        store.append("gpu", pl.DataFrame(rows, infer_schema_length=None))


def said(app: AppTest) -> str:
    return words(app).replace("\\", "")


def header(app: AppTest) -> str:
    return next(each.value for each in app.caption if " up to " in each.value).replace("\\", "")


def metric(app: AppTest, label: str) -> dict[str, str]:
    (found,) = [each.proto for each in app.metric if each.label == label]
    return {"delta": found.delta, "why": found.delta_description}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"window": "today"}, "12 h up to 23 Nov 12:00 (UTC: your zone is unknown)"),
        ({"window": "week"}, "12 h up to"),
        ({"window": "month"}, "23 d up to"),
        ({"window": "from-to", "from": "2026-11-20", "to": "2026-11-20"}, "24 h up to 21 Nov 00:00"),
        ({"window": "from-to", "from": "2026-11-20 10:00+02:00", "to": "2026-11-20 09:30"}, "1.5 h up to 20 Nov 09:30"),
        ({"window": "from-to", "from": "2026-11-23 06:00"}, "6.0 h up to 23 Nov 12:00"),
        ({"window": "from-to", "from": "2026-11-23 06:00", "to": "2030-01-01"}, "6.0 h up to 23 Nov 12:00"),
    ],
    ids=str,
)
def test_a_range_is_what_it_says(query: dict[str, str], text: str, fed: Path, open_page: OpenPage) -> None:
    assert text in header(open_page("allocation", run="all", **query))


def test_days_are_those_of_the_viewers_zone(fed: Path, open_page: OpenPage) -> None:
    app = open_page("allocation", run="all", window="today")
    app.context = {"timezone": "Asia/Tokyo"}
    assert "21 h up to 23 Nov 21:00 (Asia/Tokyo)" in header(app.run())


@pytest.mark.parametrize(
    ("begins", "ends", "text"),
    [
        ("2026-11-22", "2026-11-20", "the range ends (2026-11-20) before it begins (2026-11-22)"),
        ("yesterday", "", "`from` is not a moment: yesterday"),
        ("", "2026-11-20", "`from` is empty"),
        ("2026-11-20", "2026-13-40", "`to` is not a moment: 2026-13-40"),
        ("2027-01-01", "", "the range begins in the future: 2027-01-01"),
        ("2020-01-01", "2020-01-02", "the chosen run did not live in that range"),
    ],
)
def test_a_bad_range_is_one_message_and_the_usual_window(
    begins: str, ends: str, text: str, fed: Path, open_page: OpenPage
) -> None:
    app = open_page("overview", **{"run": "r1", "window": "from-to", "from": begins, "to": ends})
    (warning,) = app.warning
    assert warning.value.replace("\\", "").startswith(text)
    assert "24 h up to" in header(app)
    assert [error.message for error in app.exception] == []


def test_figures_stand_beside_the_period_before(fed: Path, open_page: OpenPage) -> None:
    feed(fed)
    idle = metric(open_page("overview", run="r1"), "Paid for idle GPUs")
    assert idle["delta"] in {"+99%", "+100%", "+101%"}, "half of the day, a quarter of the day before"
    assert "50% of GPU time" in idle["why"]
    assert metric(open_page("allocation", run="r1"), "Cost of this window")["delta"] == "as before"


def test_there_is_no_arrow_where_the_period_before_is_not_known(fed: Path, open_page: OpenPage) -> None:
    feed(fed, days=1)
    unmeasured = metric(open_page("overview", run="r1"), "Paid for idle GPUs")
    assert "%" not in unmeasured["delta"].split(" of ")[0].removeprefix("50%"), "nobody measured the day before"
    assert metric(open_page("allocation", run="r1"), "Cost of this window")["delta"] == "as before", "it was paid"
    before_it_began = metric(open_page("allocation", run="r1", window="month"), "Cost of this window")
    assert before_it_began["delta"] == "the whole window"


def test_a_large_fleet_says_why_it_has_no_arrows(
    fed: Path, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(fed)
    assert "no arrows" not in said(open_page("allocation", run="all"))
    monkeypatch.setattr(data, "LARGE_MACHINES", 0)
    for page, label in (("overview", "Paid for idle GPUs"), ("allocation", "Cost of this window")):
        app = open_page(page, run="all")
        assert "More than 0 machines: no arrows, because the period before would have to be read too" in said(app)
        assert "before" not in metric(app, label)["delta"]


def test_what_is_not_measured_is_said_beside_what_was_idle(fed: Path, open_page: OpenPage) -> None:
    feed(fed, outage=(NOW - timedelta(hours=14), NOW - timedelta(hours=2)))
    app = open_page("overview", run="r1")
    assert "50% not measured" in metric(app, "Paid for idle GPUs")["delta"]


@pytest.mark.parametrize("window", ["7d", "from-to"])
def test_an_outage_of_forty_minutes_shows_in_seven_days(window: str, fed: Path) -> None:
    began = NOW - timedelta(days=3, minutes=17)
    feed(fed, outage=(began, began + timedelta(minutes=40)))
    chosen = Chosen(window, f"{NOW - timedelta(days=7):%Y-%m-%d %H:%M}")
    view = data.view("live", "r1", chosen)
    use = accounts.gpu_use(view)
    missing = use.filter(pl.col("reason") == "unmeasured").sort("gpu_hours")
    assert missing["gpu_hours"].sum() == pytest.approx(50 / 60, abs=11 / 60), "whole rows around the outage"
    worst = missing.row(-1, named=True)
    assert began < worst["at"] < began + timedelta(minutes=75)
    share = worst["gpu_hours"] * 3600 / view.step_seconds
    assert share > 0.5, "at least one column of the picture is mostly empty"


def test_cost_per_day_adds_up_to_the_window_to_the_cent(fed: Path) -> None:
    for window in ("week", "7d", "month", "all"):
        view = data.view("live", "r1", Chosen(window, zone="America/New_York"))
        rows = trends.daily(view)
        assert rows["known_usd"].sum() == accounts.usd(accounts.account(view).parts), window
        assert rows["known_usd"].filter(rows["whole"]).unique().to_list() in ([], [24 * USD_PER_HOUR]), window


def test_a_day_of_unknown_price_is_at_least(fed: Path) -> None:
    with open_ledger(now=lambda: NOW) as ledger:
        other = Intent(resource_id="r1/node/2", run_id="r1", role="trainer", kind="machine", provider="fake")
        ledger.intend(other, at=NOW - timedelta(hours=1))
        ledger.mark_live(other.resource_id, address="gpu-2", at=NOW - timedelta(hours=1))
        ledger.extend_cost(other.resource_id, until=NOW)
    rows = trends.daily(data.view("live", "r1", Chosen("7d")))
    assert rows["unpriced"].to_list() == [0] * 7 + [1]


def test_a_past_range_shows_nothing_as_now_and_stands_still(fed: Path, open_page: OpenPage) -> None:
    feed(fed)
    query = {"run": "r1", "window": "from-to", "from": "2026-11-20", "to": "2026-11-20"}
    app = open_page("overview", **query)
    assert "GPUs busy now" not in figures(app)
    assert "page: final" in said(app)
    idle = dollars(figures(app)["Paid for idle GPUs"])
    assert idle == pytest.approx(float(USD_PER_HOUR) * 24 / 4, rel=0.01), "of rows of ten minutes one lies half in it"


def test_the_simulated_day_is_all_that_there_is(open_page: OpenPage) -> None:
    view = data.view("simulated", data.ALL_RUNS, Chosen("month"))
    assert (view.start, view.end) == (START, END)
    assert view.before is None
