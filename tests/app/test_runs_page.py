"""The table of runs and a run's page: what is wrong stands there, filters and links work, money is that of `status`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from dashboard_pages import OpenPage, figures, words
from streamlit.testing.v1 import AppTest

from clusterctl.dashboard.sample import END
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Intent, ReportBatch, Run, Step
from clusterctl.targets.base import TAG_PREFIX
from tools.simulated_day.story import EVALUATE, RLCEF, SYNTHESIZE

NOW = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)
WHY = "the trainer ended with code 137: out of memory"


def add_run(name: str, *, state: str = "running", ago: int = 2, note: str = "", price: int | None = 36) -> None:
    """A run on one machine, for an hour or until now; a third of its steps are done."""
    began = NOW - timedelta(hours=ago)
    with open_ledger(now=lambda: NOW) as ledger:
        labels = {"team": f"team-{name[-1]}", "owner": "ann"}
        ledger.add_run(Run(run_id=name, name=name, target="fake", created_at=began, labels=labels))
        ledger.set_state(name, "running", at=began)
        machine = Intent(
            resource_id=f"{name}/node/1",
            run_id=name,
            role="node",
            kind="machine",
            provider="fake",
            tags={f"{TAG_PREFIX}/pool": "trainers"},
            usd_per_hour=None if price is None else Decimal(price),
        )
        ledger.intend(machine, at=began)
        ledger.mark_live(machine.resource_id, address="host-7", at=began)
        step = Step(run_id=name, stage="rl", step=1, of=3, at=began, metrics={})
        ledger.record_reports(name, ReportBatch(steps=(step,), since=began, progress_at=began))
        ledger.record_event(name, "launch", f"{name} is launched", at=began)
        ended = NOW if state == "running" else began + timedelta(hours=1)
        ledger.extend_cost(machine.resource_id, until=ended)
        if state != "running":
            ledger.mark_gone(machine.resource_id, at=ended)
            ledger.record_event(name, "end", state, at=ended)
            ledger.set_state(name, state, at=ended, note=note)  # type: ignore[arg-type]


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.data.now_of", lambda data: NOW if data == "live" else END)


def rows(app: AppTest) -> list[str]:
    """The rows of the table as text."""
    (table,) = [element.proto.body for element in app.get("html") if "<table" in element.proto.body]
    lines = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]
    return [" ".join(re.sub(r"<[^>]+>", " ", line).split()) for line in lines]


def links(app: AppTest) -> list[str]:
    (table,) = [element.proto.body for element in app.get("html") if "<table" in element.proto.body]
    return re.findall(r'href="([^"]+)"', table)


@pytest.mark.usefixtures("stopped_clock")
def test_live_runs_come_first_and_a_failed_one_says_why(open_page: OpenPage) -> None:
    add_run("live-1", ago=9)
    add_run("failed-2", state="failed", note=f"failed: {WHY}", ago=3)
    add_run("done-3", state="finished", ago=2)
    add_run("unpriced-4", state="finished", ago=1, price=None)
    app = open_page("runs")
    assert [row.split()[0] for row in rows(app)] == ["live-1", "unpriced-4", "done-3", "failed-2"]
    live, unpriced, done, failed = rows(app)
    assert WHY in failed
    assert "✕ failed" in failed
    assert "▲ 1" in failed
    assert "✓ finished" in done
    assert "▲" not in done
    assert "$36.00 $36.00" in done, "so far and at the end"
    assert "33% 1 of 3" in done
    assert "$324" in live
    assert "team-1" in live
    assert "ann" in live
    assert "unknown" in unpriced
    assert "$" not in unpriced, "unknown is not 0"
    assert links(app)[3] == "run?run=failed-2"


@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"state": "failed"}, ["failed-2"]),
        ({"state": "live"}, ["live-1"]),
        ({"team": "team-3"}, ["done-3"]),
        ({"owner": "ann", "text": "DONE"}, ["done-3"]),
        ({"text": "memory"}, ["failed-2"]),
        ({"text": "100%"}, []),
    ],
)
def test_filters_of_the_address(asked: dict[str, str], names: list[str], open_page: OpenPage) -> None:
    add_run("live-1", ago=9)
    add_run("failed-2", state="failed", note=WHY)
    add_run("done-3", state="finished")
    app = open_page("runs", **asked)
    assert [error.message for error in app.exception] == []
    if names:
        assert [row.split()[0] for row in rows(app)] == names
    else:
        assert [info.value for info in app.info] == ["No run fits what is looked for."]


def test_without_a_run_it_says_how_to_start_one(open_page: OpenPage) -> None:
    app = open_page("runs")
    assert "Nothing has run here yet" in words(app)
    assert [error.message for error in app.exception] == []


def test_names_from_elsewhere_stay_words(open_page: OpenPage) -> None:
    with open_ledger() as ledger:
        name = '<img src=x onerror="alert(1)">'
        ledger.add_run(Run(run_id="r1", name="r1", target="fake", created_at=NOW, labels={"team": name}))
        ledger.set_state("r1", "failed", note="<b>bold</b>")
    (table,) = [element.proto.body for element in open_page("runs").get("html") if "<table" in element.proto.body]
    assert "<img" not in table
    assert "&lt;b&gt;bold" in table


def test_the_simulated_runs_have_idle_shares(open_page: OpenPage) -> None:
    app = open_page("runs", data="simulated")
    shown = {row.split()[0]: row for row in rows(app)}
    assert set(shown) == {RLCEF, SYNTHESIZE, EVALUATE}
    assert re.search(r"\d+(\.\d)?% ", shown[RLCEF].split("$")[-1])
    assert all("data=simulated" in link for link in links(app))
    assert "100% 20 of 20" in shown[SYNTHESIZE]
    page = open_page("run", data="simulated", run=RLCEF)
    assert figures(page)["At the end"] in shown[RLCEF], "one forecast, on both pages"
    assert "supervisor" not in words(page)


@pytest.mark.usefixtures("stopped_clock")
def test_a_failed_runs_page_says_why_where_and_what_happened(open_page: OpenPage, home: Path) -> None:
    add_run("failed-2", state="failed", note=WHY)
    with open_ledger(str(home / "sample" / "ledger.db")) as sample, open_ledger() as ledger:
        plan = sample.get_plan(sample.get_run(RLCEF).plan_id or "")
        ledger.put_plan(plan.plan_id, schema=plan.schema, content=plan.content)
        ledger.set_plan("failed-2", plan.plan_id, alternative=0)
    folder = home / "runs" / "failed-2" / "logs"
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_text("".join(f"line {number}\n" for number in range(100)), "utf-8")
    app = open_page("run", run="failed-2")
    assert [error.message for error in app.exception] == []
    assert figures(app)["State"] == "failed"
    assert figures(app)["So far"] == "$36.00"
    said = words(app).replace("\\", "")
    assert WHY in said
    assert ":green" not in said
    events = app.dataframe[1].value
    assert list(events["kind"]) == ["end", "launch"], "the newest first"
    assert app.dataframe[0].value["address"].tolist() == ["host-7"]
    shown = "\n".join(block.value for block in app.code)
    assert "line 99" in shown
    assert "line 60" in shown
    assert "line 59\n" not in shown


def test_a_run_whose_plan_is_gone_still_shows_its_events_and_reason(open_page: OpenPage) -> None:
    add_run("failed-2", state="failed", note=WHY)
    app = open_page("run", run="failed-2")
    assert [error.message for error in app.exception] == []
    assert WHY in words(app).replace("\\", "")
    assert "end" in list(app.dataframe[1].value["kind"])
