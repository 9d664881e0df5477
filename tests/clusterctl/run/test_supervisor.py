"""The supervisor on real processes: stand-in jobs that serve and step, so that what is tested is starting, watching and ending."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from clusterctl.errors import StateError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.planning import Planner, open_source
from clusterctl.run import runs
from clusterctl.run.clock import SteadyClock
from clusterctl.run.end import end_run, planned_against_actual
from clusterctl.run.start import prepare
from clusterctl.run.supervisor import Supervisor
from clusterctl.targets.base import Job
from clusterctl.targets.local import LocalTarget
from clusterctl.targets.processes import kill, tagged
from planners.spec.fleet import Limits

SPEC = """
name: stand-in
stages:
  - {kind: rlcef, model: clusterctl/quickstart, steps: 4, prompts_per_step: 2, samples_per_prompt: 2}
fleet: {targets: [local], machines: [{target: local, name: here, vcpus: 2, memory_gib: 8, usd_per_hour: 3.6}]}
"""
TRAINER = textwrap.dedent("""
    import json, pathlib, sys, time, datetime
    folder, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])
    marks = folder / "marks.jsonl"
    done = len(marks.read_text().splitlines()) if marks.exists() else 0
    for step in range(done + 1, 5):
        time.sleep(seconds)
        at = datetime.datetime.now(datetime.timezone.utc).isoformat()
        row = {"at": at, "stage": "rlcef", "step": step, "of": 4, "phases": {"generate": seconds}, "metrics": {"reward": step / 4}}
        with marks.open("a") as out:
            out.write(json.dumps(row) + "\\n")
    (folder / "result.json").write_text("{}")
""")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(str(tmp_path / "ledger.db")) as opened:
        yield opened
    for process in tagged(tmp_path):  # whatever a failing test has left
        kill(process)


@pytest.fixture
def run(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> runs.OpenRun:
    return started(tmp_path, ledger, monkeypatch)


def started(
    store: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, *, seconds: float = 0.1, spec: str = SPEC
) -> runs.OpenRun:
    """A run of the stand-in jobs, wanted and not yet started."""
    (store / "spec.yaml").write_text(spec, encoding="utf-8")
    plan = Planner(now=datetime(2026, 11, 23, tzinfo=UTC)).plan(open_source(str(store / "spec.yaml")))

    def jobs(_: object, folder: object) -> dict[str, Job]:
        path = str(folder.path)  # type: ignore[attr-defined]
        return {
            "sandbox": Job(command=(sys.executable, "-c", "import time; time.sleep(600)")),
            "trainer": Job(command=(sys.executable, "-c", TRAINER, path, str(seconds))),
        }

    monkeypatch.setattr(runs, "local_jobs", jobs)
    return runs.open_run(ledger, store, prepare(ledger, store, plan))


def watch(run: runs.OpenRun, *, seconds: float = 20.0, until: int | None = None) -> bool:
    """Ticks until the run has ended, or has done `until` steps; False when it has ended."""
    supervisor = Supervisor(run)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not supervisor.tick():
            return False
        if until is not None and len(run.ledger.steps(run.run_id)) >= until:
            return True
        time.sleep(0.02)
    raise AssertionError("the run has not ended in time")


def live_roles(run: runs.OpenRun) -> list[str]:
    return sorted(instance.role for instance in run.target.observe(run.ref))


def test_a_run_starts_finishes_and_leaves_nothing(run: runs.OpenRun, tmp_path: Path) -> None:
    watch(run)
    row = run.ledger.get_run(run.run_id)
    assert (row.state, [step.step for step in run.ledger.steps(run.run_id)]) == ("finished", [1, 2, 3, 4])
    assert list(tagged(tmp_path)) == []
    launches = [event.role for event in run.ledger.events(run.run_id, kind="launch")]
    assert launches == ["sandbox", "trainer"]
    assert all(resource.state == "gone" for resource in run.ledger.resources(run.run_id))


def test_the_bill_is_the_hours_times_the_price(run: runs.OpenRun) -> None:
    before = time.monotonic()
    watch(run)
    took = time.monotonic() - before
    (node,) = [line for line in run.ledger.bill(run.run_id).lines if line.role == runs.NODE]
    assert 0.3 < node.seconds <= took + 0.5
    assert node.usd is not None
    assert abs(node.usd - Decimal(str(node.seconds)) * Decimal("3.6") / 3600) < Decimal("0.0001")
    assert {line.name for line in planned_against_actual(run)} >= {"dollars", "hours", "generate per step"}


def test_a_killed_trainer_is_started_again_and_goes_on(run: runs.OpenRun) -> None:
    assert watch(run, until=1)
    for instance in run.target.observe(run.ref):
        if instance.role == "trainer":
            os.kill(int(instance.address.partition(":")[0]), signal.SIGKILL)
    watch(run)
    assert run.ledger.get_run(run.run_id).state == "finished"
    assert [step.step for step in run.ledger.steps(run.run_id)] == [1, 2, 3, 4]
    assert len(run.ledger.events(run.run_id, kind="launch")) == 3


def test_a_new_supervisor_takes_over_what_runs(run: runs.OpenRun, tmp_path: Path) -> None:
    assert watch(run, until=1)
    before = {instance.address for instance in run.target.observe(run.ref)}
    again = runs.open_run(run.ledger, tmp_path, run.run_id)
    assert watch(again, until=2)
    assert {instance.address for instance in again.target.observe(again.ref)} == before
    watch(again)
    assert len(again.ledger.events(again.run_id, kind="launch")) == 2


def test_a_second_instance_cannot_start(run: runs.OpenRun) -> None:
    assert watch(run, until=1)
    job = run.jobs["sandbox"]
    from planners.run.reconcile import Action, Change

    run.target.launch(run.ref, Change(action=Action.LAUNCH, role="sandbox", resource_id="other", reason="test"), job)
    time.sleep(0.5)
    assert live_roles(run).count("sandbox") == 1


def test_down_ends_everything_from_any_state(run: runs.OpenRun, tmp_path: Path) -> None:
    assert watch(run, until=1)
    end_run(run)
    assert run.ledger.get_run(run.run_id).state == "stopped"
    assert list(tagged(tmp_path)) == []
    end_run(run)
    assert run.ledger.get_run(run.run_id).state == "stopped"


def test_a_run_that_was_never_started_can_be_ended(run: runs.OpenRun) -> None:
    end_run(run)
    assert run.ledger.get_run(run.run_id).state == "stopped"
    assert run.ledger.bill(run.run_id).usd == 0


def test_the_limit_stops_the_run(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    run = started(tmp_path, ledger, monkeypatch, seconds=5.0)
    half_a_second = run.spec.model_copy(update={"limits": Limits(usd=0.0005)})  # at 3.60 $/h; the plan itself is longer
    watch(dataclasses.replace(run, spec=half_a_second))
    row = ledger.get_run(run.run_id)
    assert row.state == "stopped"
    assert "the limit is reached" in row.note
    assert [event.kind for event in ledger.events(run.run_id)].count("limit") == 1
    assert ledger.bill(run.run_id).known_usd < Decimal("0.003")


def test_a_clock_that_jumps_bills_nothing(run: runs.OpenRun, tmp_path: Path) -> None:
    assert watch(run, until=1)
    jumped = SteadyClock(run.folder.beat, wall=lambda: datetime(2036, 1, 1, tzinfo=UTC))
    watch(dataclasses.replace(runs.open_run(run.ledger, tmp_path, run.run_id), clock=jumped))
    assert run.ledger.bill(run.run_id).known_usd < Decimal("0.05")
    ended = run.ledger.get_run(run.run_id).ended_at
    assert ended is not None
    assert ended.year < 2036


def test_the_same_plan_resumes_and_another_of_its_name_is_refused(run: runs.OpenRun, tmp_path: Path) -> None:
    assert prepare(run.ledger, tmp_path, run.plan) == run.run_id
    other = run.plan.model_copy(update={"id": "0123456789abcdef"})
    with pytest.raises(StateError, match="live with another plan"):
        prepare(run.ledger, tmp_path, other)
    end_run(run)
    assert prepare(run.ledger, tmp_path, run.plan) != run.run_id


def test_sweep_finds_what_no_live_run_owns(run: runs.OpenRun, tmp_path: Path) -> None:
    assert watch(run, until=1)
    target = LocalTarget(tmp_path)
    assert target.leftovers(frozenset({run.run_id})) == []
    found = target.leftovers(frozenset())
    assert {item.kind for item in found} == {"process", "folder"}
    for item in found:
        target.remove(item)
    assert live_roles(run) == []
    with contextlib.suppress(StateError):
        assert target.leftovers(frozenset()) == []
