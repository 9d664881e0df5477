"""Starting, watching and ending on real processes: one of each role, adopted, billed, ended, nothing left."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from run_world import kill_role, live_roles, stand_in_jobs, tick_until, watch

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.interrupt import Interrupt
from clusterctl.jobs import Job
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import Run
from clusterctl.runs import follow as follow_module
from clusterctl.runs import run as run_module
from clusterctl.runs.ending import end_run, look
from clusterctl.runs.planned_actual import planned_against_actual
from clusterctl.runs.run_status import state_of
from clusterctl.runs.supervisor import Supervisor
from clusterctl.runs.watch import Watch
from clusterctl.runs.watching import Watched
from clusterctl.targets import local
from clusterctl.targets.local import LocalTarget
from clusterctl.targets.processes import tagged


def test_a_run_starts_finishes_and_leaves_nothing(run: run_module.OpenRun, tmp_path: Path) -> None:
    watch(run)
    row = run.ledger.get_run(run.run_id)
    assert (row.state, [step.step for step in run.ledger.steps(run.run_id)]) == ("finished", [1, 2, 3, 4])
    assert list(tagged(tmp_path)) == []
    launches = [event.role for event in run.ledger.events(run.run_id, kind="launch")]
    assert launches == ["sandbox", "trainer"]
    assert all(resource.state == "gone" for resource in run.ledger.resources(run.run_id))


def test_the_bill_is_the_hours_times_the_price(run: run_module.OpenRun) -> None:
    before = time.monotonic()
    watch(run)
    took = time.monotonic() - before
    (node,) = [line for line in run.ledger.bill(run.run_id).lines if line.role == run_module.NODE]
    assert 0.3 < node.seconds <= took + 0.5
    assert node.usd is not None
    assert abs(node.usd - Decimal(str(node.seconds)) * Decimal("3.6") / 3600) < Decimal("0.0001")
    assert {line.name for line in planned_against_actual(run)} >= {"total", "hours", "generate per step"}


def test_a_killed_trainer_is_started_again_and_goes_on(run: run_module.OpenRun) -> None:
    assert watch(run, until=1)
    kill_role(run, "trainer")
    watch(run)
    assert run.ledger.get_run(run.run_id).state == "finished"
    assert [step.step for step in run.ledger.steps(run.run_id)] == [1, 2, 3, 4]
    assert len(run.ledger.events(run.run_id, kind="launch")) == 3


def test_a_new_supervisor_takes_over_what_runs(run: run_module.OpenRun, tmp_path: Path) -> None:
    assert watch(run, until=1)
    before = {instance.address for instance in run.target.observe(run.ref).instances}
    again = run_module.open_run(run.ledger, tmp_path, run.run_id)
    assert watch(again, until=2)
    assert {instance.address for instance in again.target.observe(again.ref).instances} == before
    watch(again)
    assert len(again.ledger.events(again.run_id, kind="launch")) == 2


def test_a_tick_reads_the_row_of_its_run_once(run: run_module.OpenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    watched, read = Watch(run), type(run.ledger).get_run
    tick_until(watched, lambda: "trainer" in live_roles(run))
    reads: list[str] = []

    def counted(ledger: Ledger, text: str) -> Run:
        reads.append(text)
        return read(ledger, text)

    monkeypatch.setattr("clusterctl.runs.metrics.WRITE_SECONDS", 1e9)
    monkeypatch.setattr(type(run.ledger), "get_run", counted)
    assert watched.tick()
    assert reads == [run.run_id]


def test_a_second_instance_cannot_start(run: run_module.OpenRun) -> None:
    assert watch(run, until=1)
    job = run.jobs["sandbox"]
    from planners.runs.reconcile import Action, Change

    run.target.launch(run.ref, Change(action=Action.LAUNCH, role="sandbox", resource_id="other", reason="test"), job)
    time.sleep(0.5)
    assert live_roles(run).count("sandbox") == 1


def test_down_ends_everything_from_any_state(run: run_module.OpenRun, tmp_path: Path) -> None:
    assert watch(run, until=1)
    end_run(run)
    assert run.ledger.get_run(run.run_id).state == "stopped"
    assert list(tagged(tmp_path)) == []
    end_run(run)
    assert run.ledger.get_run(run.run_id).state == "stopped"


def test_a_run_that_was_never_started_can_be_ended(run: run_module.OpenRun) -> None:
    end_run(run)
    assert run.ledger.get_run(run.run_id).state == "stopped"
    assert run.ledger.bill(run.run_id).usd == 0


def test_sweep_finds_what_no_live_run_owns(run: run_module.OpenRun, tmp_path: Path) -> None:
    assert watch(run, until=1)
    target = LocalTarget(tmp_path)
    assert target.leftovers(frozenset({run.run_id}), frozenset()) == []
    found = target.leftovers(frozenset(), frozenset())
    assert {item.kind for item in found} == {"process", "folder"}
    for item in found:
        target.remove(item)
    assert live_roles(run) == []
    assert target.leftovers(frozenset(), frozenset()) == []


def test_when_everything_dies_at_once_the_bill_goes_on(run: run_module.OpenRun) -> None:
    assert watch(run, until=1)
    for role in ("trainer", "sandbox"):
        kill_role(run, role)
    watch(run)
    assert run.ledger.get_run(run.run_id).state == "finished"
    worked = sum(phase.seconds for phase in run.ledger.phases(run.run_id))
    assert sum(line.seconds for line in run.ledger.bill(run.run_id).lines if line.role == run_module.NODE) >= worked


def test_a_folder_that_is_deleted_under_a_live_run_ends_it(run: run_module.OpenRun, tmp_path: Path) -> None:
    assert watch(run, until=1)
    run.folder.path.rename(tmp_path / "away")  # at once: its job goes on writing
    watch(run)
    row = run.ledger.get_run(run.run_id)
    assert (row.state, row.note) == ("failed", f"failed: its folder {run.folder.path} has been deleted")
    assert list(tagged(tmp_path)) == []
    again = run_module.open_run(run.ledger, tmp_path, run.run_id)
    assert (again.plan, list(look(again))) == (run.plan, [])


def test_every_resource_and_process_carries_the_tags(run: run_module.OpenRun, tmp_path: Path) -> None:
    assert watch(run, until=1)
    wanted = {"run", "role", "team", "plan-id", "budget", "expires-at"}
    for resource in run.ledger.resources(run.run_id):
        assert {f"clusterctl.dev/{name}" for name in wanted} <= set(resource.tags), resource.role
    for process in tagged(tmp_path):
        environment = Path(f"/proc/{process.pid}/environ").read_text("utf-8").split("\0")
        assert {"CLUSTERCTL_TAG_TEAM=none", f"CLUSTERCTL_TAG_RUN={run.run_id}"} <= set(environment)


def test_a_role_that_cannot_start_says_why(run: run_module.OpenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_jobs(monkeypatch, trainer="import no_such_module")
    monkeypatch.setattr("planners.runs.reconcile.RESTART_WAIT_SECONDS", (0.0,))
    watch(run)
    row = run.ledger.get_run(run.run_id)
    assert row.state == "failed"
    assert "trainer ended 6 times without progress: ModuleNotFoundError: No module named" in row.note
    (problem,) = state_of(run).problems
    assert problem.fix == f"clusterctl logs {run.run_id} --role trainer --tail 20"


def test_a_run_that_no_template_can_launch_fails_before_a_machine_is_asked_for(
    run: run_module.OpenRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_jobs(monkeypatch)
    monkeypatch.setenv("CLUSTERCTL_LEDGER", str(tmp_path / "ledger.db"))
    Supervisor(tmp_path, run.run_id).run()
    again = run_module.open_run(run.ledger, tmp_path, run.run_id)
    row = again.ledger.get_run(run.run_id)
    assert (row.state, row.note) == ("failed", "failed: verl shards by fsdp or megatron, not on CPUs")
    assert run.ledger.resources(run.run_id) == ()
    (problem,) = state_of(again).problems
    assert problem.what == row.note


def test_a_run_that_no_template_can_launch_any_more_can_be_ended(
    run: run_module.OpenRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watch(run, until=1)
    refuse_jobs(monkeypatch)
    again = run_module.open_run(run.ledger, tmp_path, run.run_id)
    assert set(again.role_names) == {"sandbox", "trainer"}
    end_run(again)
    row = run.ledger.get_run(run.run_id)
    assert (row.state, row.note) == (
        "stopped",
        "ended by its place without its supervisor: it is billed to that moment",
    )
    assert list(tagged(tmp_path)) == []
    assert run.ledger.live_resources(run.run_id) == ()


def refuse_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the templates of a framework do."""

    def jobs(*_: object, **__: object) -> dict[str, Job]:
        raise SpecError("verl shards by fsdp or megatron, not on CPUs")

    monkeypatch.setattr(local, "quickstart_jobs", jobs)


def test_supervisors_that_end_as_soon_as_they_start_are_said(
    run: run_module.OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run.folder.path / "logs").mkdir(exist_ok=True)
    (run.folder.path / "logs" / "supervisor.log").write_text("error: /no/python: No such file\n", encoding="utf-8")
    monkeypatch.setattr(follow_module, "ensure_watched", lambda _: Watched.NO)
    monkeypatch.setattr(follow_module, "STATE_SECONDS", 0.0)
    with Interrupt() as interrupt, pytest.raises(ClusterctlError, match=r"6 supervisors .* No such file") as caught:
        follow_module.follow(run, interrupt, since_seq=0, since=datetime.min.replace(tzinfo=UTC), as_json=False)
    assert f"clusterctl down {run.run_id}" in str(caught.value.hint)
