"""What a run's steps warn of, in `status`: of live runs always, of ended ones when one is asked for."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from run_world import opened

from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import ReportBatch, Step
from clusterctl.runs.render import page
from clusterctl.runs.run import OpenRun
from clusterctl.runs.run_status import as_data, state_of
from clusterctl.ui.terminal import Terminal


def report(run: OpenRun, *, hidden: float) -> None:
    """Forty steps in which nine of ten samples pass the visible tests, and `hidden` of all the hidden ones."""
    now = run.clock.now()
    for step in range(1, 41):
        metrics = {"pass_at_1_visible": 0.9, "pass_at_1_hidden": hidden + 0.01 * (step % 2)}
        at = now + timedelta(seconds=step)
        done = Step(run_id=run.run_id, stage="rlcef", step=step, of=100, at=at, metrics=metrics)
        run.ledger.record_reports(run.run_id, ReportBatch(steps=(done,), since=now))


def said(run: OpenRun, *, closely: bool = False) -> list[str]:
    return [problem["what"] for problem in as_data(state_of(run, closely=closely))["problems"]]


def test_status_warns_of_a_hacked_reward(tmp_path: Path, ledger: Ledger) -> None:
    run = opened(tmp_path, ledger)
    report(run, hidden=0.3)
    (warned,) = [what for what in said(run) if what.startswith("reward hacking since step 15: 66% of what passes")]
    shown = page(state_of(run), Terminal(columns=100, colour=False, interactive=False))
    assert " ".join(warned.split()[:6]) in shown
    assert "put more tests into the reward" in " ".join(shown.split())


def test_an_ended_run_is_looked_at_when_it_is_asked_for(tmp_path: Path, ledger: Ledger) -> None:
    run = opened(tmp_path, ledger)
    report(run, hidden=0.3)
    ledger.set_state(run.run_id, "finished")
    assert said(run) == []
    assert [what.partition(" since")[0] for what in said(run, closely=True)] == ["reward hacking"]


def test_nothing_is_said_of_a_run_as_it_should_be(tmp_path: Path, ledger: Ledger) -> None:
    run = opened(tmp_path, ledger)
    report(run, hidden=0.85)
    ledger.set_state(run.run_id, "finished")
    assert said(run, closely=True) == []
