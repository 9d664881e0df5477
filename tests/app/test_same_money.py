"""One moment, one number: `status`, `cost`, the line of `up`, the metrics and the dashboard say the same of a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from dashboard_pages import OpenPage, figures

from clusterctl.cli import main
from clusterctl.clock import SteadyClock
from clusterctl.commands import cost as cost_command
from clusterctl.commands import status as status_command
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Intent, ReportBatch, Step
from clusterctl.plan_service import Planner, open_source
from clusterctl.runs.metrics import run_metrics
from clusterctl.runs.render import progress_text
from clusterctl.runs.run import open_run
from clusterctl.runs.run_status import state_of
from clusterctl.runs.starting import decide, prepare
from clusterctl.runs.watching import Watched
from clusterctl.telemetry.exposition import samples
from planners.runs.limits import RunLimits

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECONDS = (30, 50, 45, 300, 20, 25, 22, 200, 24, 26)
"""Of the steps that are done: their median is far from their mean."""
NOW = T0 + timedelta(seconds=100 + sum(SECONDS) + 15)
SPEC = """
name: uneven
stages: [{kind: rlcef, model: clusterctl/quickstart, steps: 40, prompts_per_step: 2, samples_per_prompt: 2}]
limits: {usd: 100}
fleet: {targets: [local], machines: [{target: local, name: here, vcpus: 2, memory_gib: 8, usd_per_hour: 36}]}
"""


@pytest.fixture
def run_id(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run that has done uneven steps on one machine; every clock says NOW."""

    def open_now(*given: Any) -> Any:
        return open_ledger(*given, now=lambda: NOW)

    monkeypatch.setattr(cost_command, "open_ledger", open_now)
    monkeypatch.setattr(status_command, "ensure_watched", lambda *_: Watched.YES)
    monkeypatch.setattr(SteadyClock, "now", lambda _: NOW)
    monkeypatch.setattr("app.data.now_of", lambda _: NOW)
    (home / "spec.yaml").write_text(SPEC, encoding="utf-8")
    plan = Planner(now=T0).plan(open_source(str(home / "spec.yaml")))
    with open_ledger(now=lambda: T0) as ledger:
        launch = decide(ledger, home, plan)
        prepare(ledger, home, plan, launch, RunLimits.of(plan))
        ledger.set_state(launch.run_id, "running", at=T0)
        machine = Intent(
            resource_id=f"{launch.run_id}/node/1",
            run_id=launch.run_id,
            role="node",
            kind="machine",
            provider="local",
            usd_per_hour=Decimal(36),
        )
        ledger.intend(machine, at=T0)
        ledger.mark_live(machine.resource_id, address="here", at=T0)
        at = T0 + timedelta(seconds=100)
        for step, seconds in enumerate((0, *SECONDS), 1):
            at += timedelta(seconds=seconds)
            done = Step(run_id=launch.run_id, stage="rlcef", step=step, of=40, at=at, metrics={})
            ledger.record_reports(launch.run_id, ReportBatch(steps=(done,), since=T0))
        ledger.extend_cost(machine.resource_id, until=NOW)
    return launch.run_id


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 0
    return json.loads(capsys.readouterr().out)


def test_the_same_moment_gives_the_same_dollars(
    run_id: str, home: Path, capsys: pytest.CaptureFixture[str], open_page: OpenPage
) -> None:
    (status,) = told(capsys, "status", run_id, "--json")
    cost = told(capsys, "cost", run_id, "--json")
    with open_ledger() as ledger:
        run = open_run(ledger, home, run_id)
        live_line, metrics = progress_text(state_of(run), 200), run_metrics(run, NOW)
    shown = figures(open_page("overview", data="live", run=run_id))
    assert status["usd"] == cost["usd"] == "8.570000", "857 s at $36 an hour"
    at_end = Decimal(status["usd_at_end"])
    assert at_end == Decimal(cost["usd_at_end"]["p50"]) > Decimal("8.57")
    assert f"$8.57 of ~${at_end:.2f}" in live_line.replace("$8.5700", "$8.57")
    assert (shown["Spent"], shown["At completion"]) == ("$8.57", f"${at_end:.2f}")
    quantiles = {of["quantile"]: usd for of, usd in samples(metrics, "clusterctl_run_forecast_dollars")}
    assert quantiles == {
        name: float(cost["usd_at_end"][band]) for name, band in (("0.1", "p10"), ("0.5", "p50"), ("0.9", "p90"))
    }


def test_the_same_moment_gives_the_same_rate(
    run_id: str, capsys: pytest.CaptureFixture[str], open_page: OpenPage
) -> None:
    (status,) = told(capsys, "status", run_id, "--json")
    cost = told(capsys, "cost", run_id, "--json")
    assert Decimal(status["usd_per_hour"]) == Decimal(cost["usd_per_hour"]) == 36
    assert figures(open_page("overview", data="live", run=run_id))["Burn"] == "$36.00/h"


def test_what_has_no_price_is_unknown_everywhere(
    run_id: str, home: Path, capsys: pytest.CaptureFixture[str], open_page: OpenPage
) -> None:
    with open_ledger(now=lambda: NOW) as ledger:
        other = Intent(resource_id=f"{run_id}/node/2", run_id=run_id, role="node", kind="machine", provider="local")
        ledger.intend(other, at=T0)
        ledger.mark_live(other.resource_id, address="there", at=T0)
        ledger.extend_cost(other.resource_id, until=NOW)
    (status,) = told(capsys, "status", run_id, "--json")
    cost = told(capsys, "cost", run_id, "--json")
    for found in (status, cost):
        assert (found["usd"], Decimal(found["known_usd"])) == (None, Decimal("8.57"))
        assert (found["usd_per_hour"], Decimal(found["known_usd_per_hour"])) == (None, 36)
        assert found["usd_at_end"] is None
    assert Decimal(status["known_usd_at_end"]) == Decimal(cost["known_usd_at_end"]["p50"])
    assert (cost["left_usd"], cost["limit_at"], cost["unpriced"]) == (None, None, [other.resource_id])
    with open_ledger() as ledger:
        metrics = run_metrics(open_run(ledger, home, run_id), NOW)
    assert {"clusterctl_run_forecast_dollars", "clusterctl_run_dollars_per_hour"}.isdisjoint(metrics)
    shown = figures(open_page("overview", data="live", run=run_id))
    for label in ("Spent", "Burn", "At completion"):
        assert shown[label].startswith("at least $"), label
    assert shown["Budget left"].startswith("at most $")
