"""`up` of a spec that was edited while its run lives: the run goes on by the new plan, in its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from far_world import SPEC as FAR_SPEC
from far_world import Far, far_place, seen, started, until
from run_world import kinds, planned, tick_until, wanted
from test_seam import SPEC, behave, ended, machines, steps_done, watch_until

from clusterctl.errors import StateError
from clusterctl.ledger.ledger import Ledger
from clusterctl.runs.run import OpenRun, open_run
from clusterctl.runs.starting import UpAction, decide, prepare
from clusterctl.runs.watch import Watch
from planners.plan.value import Plan
from planners.runs.limits import RunLimits
from planners.runs.plan_change import PlanChange

Run = Callable[..., Any]
SLOW = 4.0
"""Seconds of a step, until the plan has changed."""
FAST = {"step_seconds": 0.05, "machine_seconds": 0.2, "start_seconds": 0.1, "end_seconds": 0.1}


@pytest.fixture
def run(tmp_path: Path, ledger: Ledger) -> OpenRun:
    behave(tmp_path, step_seconds=SLOW, machine_seconds=0.2, start_seconds=0.1, end_seconds=0.1)
    return open_run(ledger, tmp_path, wanted(ledger, tmp_path, planned(tmp_path, SPEC)))


def change(run: OpenRun, store: Path, plan: Plan) -> PlanChange:
    """What `up` of another plan does."""
    launch = decide(run.ledger, store, plan)
    assert (launch.action, launch.run_id) == (UpAction.CHANGE, run.run_id)
    prepare(run.ledger, store, plan, launch, RunLimits.of(plan))
    assert launch.change is not None
    return launch.change


def test_more_nodes_are_had_in_place_and_the_work_goes_on(run: OpenRun, tmp_path: Path) -> None:
    edited = planned(tmp_path, SPEC.replace("nodes: 3", "nodes: 4").replace("steps: 6", "steps: 9"))
    watched = watch_until(run, lambda: steps_done(run) >= 1)
    first, before = machines(run), run.plan.id
    edit = change(run, tmp_path, edited)
    assert edit.restarts
    assert "sandbox: 3 → 4 × pretend" in edit.text
    assert "rlcef: 6 → 9 steps" in edit.text
    tick_until(watched, lambda: watched.run.plan.id == edited.id)
    behave(tmp_path, **FAST)
    tick_until(watched, lambda: ended(run))
    row = run.ledger.get_run(run.run_id)
    assert (row.state, row.plan_id != before) == ("finished", True)
    assert [step.step for step in run.ledger.steps(run.run_id)] == list(range(1, 10)), "no step is done twice"
    assert {r.split("/")[-1] for r in machines(run) if r not in first} == {"1", "2"}, "all nodes of a pool together"
    assert len(machines(run)) == 7
    (event,) = run.ledger.events(run.run_id, kind="plan")
    assert event.message == edit.text
    assert run.ledger.get_plan(before).content, "both plans are kept"
    launched = [r for r in run.ledger.resources(run.run_id) if r.role == "trainer"]
    assert [r.tags["clusterctl.dev/plan-id"] for r in launched] == [before, row.plan_id]
    assert decide(run.ledger, tmp_path, edit.before).action is UpAction.START, "the old spec is another run then"
    assert decide(run.ledger, tmp_path, edit.before).run_id != run.run_id


def test_what_jobs_are_not_made_from_changes_while_they_run(run: OpenRun, tmp_path: Path) -> None:
    edited = planned(tmp_path, SPEC + "limits: {usd: 7, hours: 3}\n")
    watched = watch_until(run, lambda: steps_done(run) >= 1)
    edit = change(run, tmp_path, edited)
    assert not edit.restarts
    for _ in range(5):
        watched.tick()
    assert watched.run.plan.id == edit.after.id
    behave(tmp_path, **FAST)
    assert kinds(run).count("launch") == 4, "three sandboxes and a trainer, once"
    row = run.ledger.get_run(run.run_id)
    assert (row.limit_usd, row.limit_hours) == (Decimal(7), Decimal(3))
    watch_until(run, lambda: ended(run))
    assert len(machines(run)) == 3


def test_a_supervisor_that_is_killed_in_the_middle_of_a_change_is_followed_by_another(
    run: OpenRun, tmp_path: Path
) -> None:
    edited = planned(tmp_path, SPEC.replace("nodes: 3", "nodes: 2"))
    watch_until(run, lambda: steps_done(run) >= 1)
    edit = change(run, tmp_path, edited)
    following = Watch(open_run(run.ledger, tmp_path, run.run_id))
    assert following.run.plan.id == edit.before.id, "what it has made ends first, by it"
    while following.tick() and following.run.plan.id == edit.before.id:
        following = Watch(open_run(run.ledger, tmp_path, run.run_id))
    behave(tmp_path, **FAST)
    watch_until(open_run(run.ledger, tmp_path, run.run_id), lambda: ended(run))
    assert [step.step for step in run.ledger.steps(run.run_id)] == [1, 2, 3, 4, 5, 6]
    assert len(machines(run)) == 5


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (
            "model: clusterctl/quickstart,",
            "model: clusterctl/quickstart-llama,",
            "is done or under way, and has another model",
        ),
        ("[fake]", "[local]", "it lives on fake, and would live on local"),
        ("steps: 6", "steps: 1", r"step [2-6] of rlcef is done, and the edit ends at 1"),
    ],
)
def test_what_a_run_can_not_go_on_with_is_said(run: OpenRun, tmp_path: Path, old: str, new: str, why: str) -> None:
    behave(tmp_path, step_seconds=0.2, machine_seconds=0.1, start_seconds=0.1)
    watch_until(run, lambda: steps_done(run) >= 2)
    spec = SPEC.replace(old, new)
    with pytest.raises(StateError, match=why) as caught:
        decide(
            run.ledger,
            tmp_path,
            planned(tmp_path, spec.replace("target: fake", f"target: {new[1:-1]}") if old == "[fake]" else spec),
        )
    assert f"`clusterctl down {run.run_id}` ends it" in str(caught.value.hint)
    assert run.ledger.get_run(run.run_id).plan_id == run.plan.id


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    (tmp_path / "run.yaml").write_text(FAR_SPEC)
    with far_place(tmp_path) as place:
        yield place


def test_a_supervisor_elsewhere_takes_the_new_plan_over_and_another_laptop_sees_it(
    in_process: Run, far: Far, tmp_path: Path
) -> None:
    a, b = far.laptop(tmp_path / "a"), far.laptop(tmp_path / "b")
    name = started(in_process, a, "--limit-usd", "900")
    until(lambda: seen(in_process, a, name)["step"] > 0)
    assert seen(in_process, b, name)["step"] > 0, "it has taken the run up"
    (tmp_path / "run.yaml").write_text(FAR_SPEC.replace("nodes: 3", "nodes: 2") + "limits: {usd: 1000}\n")
    shown = in_process("up", "run.yaml", "--dry-run", CLUSTERCTL_HOME=str(a))
    assert shown.returncode == 0, shown.stderr
    assert f"changes {name}" in shown.stdout
    assert "~ sandbox: 3 → 2 × pretend (fake)" in shown.stdout
    assert "start anew from there" in shown.stdout
    assert "an hour cost $108" in shown.stdout
    assert "an hour costs $72" in shown.stdout
    assert "limits   $1,000" in shown.stdout, "an edit of the spec's limits wins over --limit-usd of before"
    assert started(in_process, a) == name
    until(lambda: seen(in_process, b, name)["limit_usd"] in {"1000", "1000.0"})

    def nodes() -> int:
        return sum(until_at is None for _, until_at in far.nodes(name).values())

    until(lambda: nodes() == 2)
    events = json.loads(in_process("events", name, "--json", CLUSTERCTL_HOME=str(b)).stdout)
    assert [e for e in events if e["kind"] == "plan" and "sandbox: 3 → 2" in e["message"]]
    far.behave(step_seconds=0.005, machine_seconds=0.2, start_seconds=0.1, end_seconds=0.1)
    until(lambda: seen(in_process, a, name)["state"] == "finished")
    assert seen(in_process, a, name)["step"] == 400
