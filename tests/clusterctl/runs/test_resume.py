"""`up` again: follows what lives, goes on with what was stopped, asks before it repeats what has finished."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from run_world import SPEC, kinds, opened, planned, stand_in_jobs, tick_until, wanted, watch

from clusterctl.errors import Infeasible, StateError
from clusterctl.ledger.ledger import Ledger
from clusterctl.runs import run as run_module
from clusterctl.runs.ending import end_run
from clusterctl.runs.run_forecast import usage
from clusterctl.runs.starting import UpAction, check_limits_left, decide, prepare
from clusterctl.runs.watch import Watch
from planners.runs.limits import RunLimits


def test_a_stopped_run_goes_on_where_it_stopped(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in_jobs(monkeypatch, seconds=0.5)
    run = opened(tmp_path, ledger)
    assert watch(run, until=2)
    end_run(run)
    first = usage(run.ledger, run.run_id)
    assert decide(run.ledger, tmp_path, run.plan).action is UpAction.RESUME
    assert wanted(run.ledger, tmp_path, run.plan) == run.run_id
    watch(run_module.open_run(run.ledger, tmp_path, run.run_id))
    row = run.ledger.get_run(run.run_id)
    assert (row.state, [step.step for step in run.ledger.steps(run.run_id)]) == ("finished", [1, 2, 3, 4])
    nodes = [line for line in run.ledger.bill(run.run_id).lines if line.role == run_module.NODE]
    assert [line.resource_id for line in nodes] == [
        f"{run.run_id}/pool.rlcef.sandbox/1",
        f"{run.run_id}/pool.rlcef.sandbox/2",
    ]
    assert usage(run.ledger, run.run_id).hours > first.hours
    assert kinds(run).count("end") == 2


def test_what_went_wrong_before_is_forgiven(
    run: run_module.OpenRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planners.runs.reconcile.RESTART_WAIT_SECONDS", (0.0,))
    with pytest.MonkeyPatch.context() as broken:
        stand_in_jobs(broken, trainer="raise SystemExit('broken')")
        watch(run)
    assert run.ledger.get_run(run.run_id).state == "failed"
    stand_in_jobs(monkeypatch)
    wanted(run.ledger, tmp_path, run.plan)
    watch(run_module.open_run(run.ledger, tmp_path, run.run_id))
    assert run.ledger.get_run(run.run_id).state == "finished"


def test_a_finished_plan_is_not_run_twice_by_mistake(run: run_module.OpenRun, tmp_path: Path) -> None:
    watch(run)
    with pytest.raises(StateError, match="has finished") as caught:
        decide(run.ledger, tmp_path, run.plan)
    assert "--again" in str(caught.value.hint)
    assert wanted(run.ledger, tmp_path, run.plan, again=True) != run.run_id
    assert len(run.ledger.runs()) == 2


def test_two_runs_of_one_name(run: run_module.OpenRun, tmp_path: Path) -> None:
    elsewhere = planned(tmp_path, SPEC.replace("[local]", "[fake]").replace("target: local", "target: fake"))
    with pytest.raises(StateError, match=r"live with another plan.* it lives on local, and would live on fake"):
        decide(run.ledger, tmp_path, elsewhere)
    assert [row.run_id for row in run.ledger.runs()] == [run.run_id]
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == [run.run_id]


def test_without_its_folder_a_run_cannot_go_on(run: run_module.OpenRun, tmp_path: Path) -> None:
    assert watch(run, until=1)
    end_run(run)
    shutil.rmtree(run.folder.path)
    with pytest.raises(StateError, match="its folder with the checkpoint is gone"):
        decide(run.ledger, tmp_path, run.plan)


def test_used_up_limits_must_be_raised_first(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_jobs(monkeypatch, seconds=0.5)
    run = opened(tmp_path, ledger)
    run.ledger.set_limits(run.run_id, usd=Decimal("0.0001"), hours=None)
    watch(run)
    launch = decide(run.ledger, tmp_path, run.plan)
    spent = usage(run.ledger, run.run_id)
    with pytest.raises(Infeasible, match="can't be resumed: the limit is reached") as caught:
        check_limits_left(spent, launch, RunLimits(usd=Decimal("0.0001"), hours=None))
    assert "--limit-usd" in str(caught.value.hint)
    more = RunLimits(usd=Decimal(1), hours=None)
    check_limits_left(spent, launch, more)
    prepare(run.ledger, tmp_path, run.plan, launch, more)
    watch(run_module.open_run(run.ledger, tmp_path, run.run_id))
    assert run.ledger.get_run(run.run_id).state == "finished"
    assert "limits" in kinds(run)


def test_up_while_it_is_being_ended(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_jobs(monkeypatch, seconds=0.3)
    run = opened(tmp_path, ledger)
    watched = Watch(run)
    tick_until(watched, lambda: bool(ledger.steps(run.run_id)))
    ledger.set_desired(run.run_id, "down")
    watched.tick()
    wanted(ledger, tmp_path, planned(tmp_path))
    (run.folder.path / "go").touch()
    tick_until(watched, lambda: ledger.get_run(run.run_id).state == "finished")
    assert [step.step for step in ledger.steps(run.run_id)] == [1, 2, 3, 4]
