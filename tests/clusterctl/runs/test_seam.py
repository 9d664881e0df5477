"""The same machinery on a place that is far away: machines that come late, listings that lag, no capacity, lost nodes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from run_world import PAUSE_SECONDS, kinds, opened

from clusterctl.errors import ClusterctlError
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import Step
from clusterctl.runs.capacity import next_try
from clusterctl.runs.run import NODE, OpenRun, open_run
from clusterctl.runs.run_forecast import hourly_rate, stages_of, usage
from clusterctl.runs.run_status import state_of
from clusterctl.runs.watch import Watch
from clusterctl.sandbox.orphaned_sandboxes import owner_mark
from clusterctl.targets.base import Unreachable
from clusterctl.targets.fake import FakeTarget
from clusterctl.targets.local import LocalTarget
from planners.runs.reconcile import Action, Cause, Change, InstancePhase

SPEC = """
name: far-away
objective: time
stages:
  - {kind: rlcef, model: clusterctl/quickstart, steps: 6, prompts_per_step: 6, samples_per_prompt: 6}
fleet: {targets: [fake], machines: [{target: fake, name: pretend, nodes: 3, vcpus: 2, memory_gib: 8, usd_per_hour: 3.6}]}
"""
"""Three nodes at a tenth of a cent a second each."""
LOCAL = SPEC.replace("[fake]", "[local]").replace("target: fake", "target: local")


def behave(store: Path, **settings: object) -> None:
    """How the place behaves from now on."""
    (store / "fake").mkdir(exist_ok=True)
    (store / "fake" / "settings.json").write_text(json.dumps(settings))


@pytest.fixture
def far(tmp_path: Path, ledger: Ledger) -> OpenRun:
    behave(tmp_path, step_seconds=0.5, machine_seconds=0.2, start_seconds=0.1, end_seconds=0.1)
    return opened(tmp_path, ledger, SPEC)


def watch_until(run: OpenRun, reached: Callable[[], bool], *, seconds: float = 60.0) -> Watch:
    """Ticks of one watcher until something is so; checks at each that nothing is there twice."""
    watched, deadline = Watch(run), time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not reached: {kinds(run)}"
        if not watched.tick():
            break
        with suppress(Unreachable):
            slots = [i.slot for i in watched.observer.observe().instances if i.phase is not InstancePhase.ENDED]
            assert len(slots) == len(set(slots)), "never two of a slot"
        time.sleep(PAUSE_SECONDS)
    return watched


def ended(run: OpenRun) -> bool:
    return run.ledger.get_run(run.run_id).state in {"finished", "failed", "stopped"}


def machines(run: OpenRun) -> list[str]:
    return [resource.resource_id for resource in run.ledger.resources(run.run_id) if resource.role == NODE]


def steps_done(run: OpenRun) -> int:
    return len(run.ledger.steps(run.run_id))


def test_each_node_is_billed_by_itself_while_it_is_there(far: OpenRun) -> None:
    watch_until(far, lambda: steps_done(far) >= 2)
    assert far.plan.pools[0].nodes == 3
    assert hourly_rate(far.ledger, far.run_id).usd_per_hour == Decimal("10.8"), "three nodes, not one"
    watch_until(far, lambda: ended(far))
    assert far.ledger.get_run(far.run_id).state == "finished"
    assert [step.step for step in far.ledger.steps(far.run_id)] == [1, 2, 3, 4, 5, 6]
    nodes = [line for line in far.ledger.bill(far.run_id).lines if line.role == NODE]
    assert len(nodes) == 3
    for line in nodes:
        assert line.usd is not None
        assert abs(line.usd - Decimal(str(line.seconds)) * Decimal("3.6") / 3600) < Decimal("0.00001")
    used = usage(far.ledger, far.run_id)
    longest = max(line.seconds for line in nodes)
    assert longest - 0.001 < float(used.hours) * 3600 < longest + 1, "hours of the run, not of its nodes"
    assert used.known_usd == sum((line.known_usd for line in nodes), Decimal(0))
    assert far.target.leftovers(frozenset(), frozenset({far.run_id})) == []


def test_one_sandbox_for_each_node_and_the_trainer_after_all_of_them(far: OpenRun) -> None:
    watch_until(far, lambda: steps_done(far) >= 1)
    launches = [event.message.partition(":")[0] for event in far.ledger.events(far.run_id, kind="launch")]
    assert launches == ["sandbox", "sandbox", "sandbox", "trainer"]
    watch_until(far, lambda: ended(far))
    assert all(resource.state == "gone" for resource in far.ledger.resources(far.run_id))


def test_a_lagging_list_launches_nothing_twice(tmp_path: Path, far: OpenRun) -> None:
    behave(tmp_path, step_seconds=0.1, machine_seconds=0.2, start_seconds=0.1, lag_seconds=0.7)
    watch_until(far, lambda: ended(far))
    assert (far.ledger.get_run(far.run_id).state, kinds(far).count("launch")) == ("finished", 4)


def test_a_place_that_cannot_be_asked_is_not_empty(tmp_path: Path, far: OpenRun) -> None:
    watch_until(far, lambda: steps_done(far) >= 1)
    paid = usage(far.ledger, far.run_id).known_usd
    cut = [{"on": "observe", "error": "the network is cut", "times": 15}]
    behave(tmp_path, step_seconds=0.3, machine_seconds=0.2, errors=cut)
    watch_until(far, lambda: "unreachable" in kinds(far))
    watch_until(far, lambda: ended(far))
    assert (far.ledger.get_run(far.run_id).state, kinds(far).count("launch")) == ("finished", 4)
    assert usage(far.ledger, far.run_id).known_usd > paid
    for resource in machines(far):
        intervals = sorted(_intervals(far, resource))
        assert all(before[1] <= after[0] for before, after in pairwise(intervals))
    assert len(machines(far)) == 3, "no machine was taken for gone"


def test_a_time_out_after_creation_makes_no_second_machine(tmp_path: Path, far: OpenRun) -> None:
    late = [
        {"on": "apply", "error": "timed out", "after": True, "times": 2},
        {"on": "launch", "error": "timed out", "after": True},
    ]
    behave(tmp_path, step_seconds=0.1, machine_seconds=0.2, start_seconds=0.1, errors=late)
    watch_until(far, lambda: ended(far))
    assert far.ledger.get_run(far.run_id).state == "finished"
    assert len(machines(far)) == 3
    launched = {r.resource_id for r in far.ledger.resources(far.run_id) if r.role != NODE}
    assert launched == {f"{far.run_id}/{slot}/1" for slot in ("sandbox", "sandbox-2", "sandbox-3", "trainer")}


def test_a_lost_node_is_replaced_and_the_run_goes_on_from_its_checkpoint(tmp_path: Path, far: OpenRun) -> None:
    behave(tmp_path, step_seconds=2.0, machine_seconds=0.2, start_seconds=0.1, end_seconds=0.1)
    watch_until(far, lambda: steps_done(far) >= 1)
    assert isinstance(far.target, FakeTarget)
    far.target.disturb(far.run_id, machines(far)[1], Cause.NODE_LOST)
    behave(tmp_path, step_seconds=0.1, machine_seconds=0.2, start_seconds=0.1, end_seconds=0.1)
    watch_until(far, lambda: ended(far))
    assert far.ledger.get_run(far.run_id).state == "finished"
    assert len(machines(far)) == 4, kinds(far)
    assert [step.step for step in far.ledger.steps(far.run_id)] == [1, 2, 3, 4, 5, 6]
    assert any("node lost" in event.message for event in far.ledger.events(far.run_id, kind="machine"))


def test_no_capacity_is_an_answer_and_no_failure(tmp_path: Path, far: OpenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(tmp_path, step_seconds=0.1, machine_seconds=0.2, no_capacity=["pretend"])
    monkeypatch.setattr("clusterctl.runs.capacity.FIRST_PAUSE_SECONDS", 0.1)
    watch_until(far, lambda: kinds(far).count("capacity") >= 6)
    assert far.ledger.get_run(far.run_id).state in {"wanted", "queued", "provisioning"}
    assert (usage(far.ledger, far.run_id).known_usd, kinds(far).count("launch")) == (0, 0)
    behave(tmp_path, step_seconds=0.1, machine_seconds=0.2)
    watch_until(far, lambda: ended(far))
    assert far.ledger.get_run(far.run_id).state == "finished"


def test_what_the_place_refuses_ends_the_run_at_once_and_says_why(tmp_path: Path, far: OpenRun) -> None:
    behave(tmp_path, step_seconds=0.1, machine_seconds=0.2, refused=["pretend"])
    watch_until(far, lambda: ended(far))
    row = far.ledger.get_run(far.run_id)
    assert (row.state, row.note.startswith("failed: pool.rlcef.")) == ("failed", True), row.note
    assert "is refused: " in row.note
    assert (usage(far.ledger, far.run_id).known_usd, kinds(far).count("launch")) == (0, 0)
    assert len(machines(far)) == 3, "asked for once"


def cheap_or_dear() -> str:
    """A spec of which the plan has two offers."""
    machine = "{target: fake, name: %s, vcpus: %s, memory_gib: 8, usd_per_hour: %s}"
    both = f"[{machine % ('cheap', 2, 0.36)}, {machine % ('dear', 8, 3.6)}]"
    return (
        SPEC[: SPEC.index("fleet:")].replace("objective: time\n", "")
        + f"fleet: {{targets: [fake], machines: {both}}}\n"
    )


def test_where_there_is_no_capacity_the_next_offer_within_the_limit_is_asked_for(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(tmp_path, step_seconds=0.1, machine_seconds=0.2, start_seconds=0.1, no_capacity=["cheap"])
    monkeypatch.setattr("clusterctl.runs.capacity.FIRST_PAUSE_SECONDS", 0.2)
    run = opened(tmp_path, ledger, cheap_or_dear())
    watch_until(run, lambda: kinds(run).count("capacity") >= 2)
    assert "offer" not in kinds(run), "nobody has agreed to more dollars"
    ledger.set_limits(run.run_id, usd=Decimal(1), hours=None)
    watch_until(run, lambda: ended(run))
    assert ledger.get_run(run.run_id).state == "finished"
    assert "goes on with 1 × dear" in ledger.events(run.run_id, kind="offer")[0].message
    assert [r.usd_per_hour for r in ledger.resources(run.run_id) if r.role == NODE][-1] == Decimal("3.6")


def test_a_launcher_that_fails_says_nothing_of_capacity_and_is_asked_again_for_the_same(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(tmp_path, step_seconds=0.1, machine_seconds=0.2, start_seconds=0.1, launcher_fails=["cheap"])
    monkeypatch.setattr("clusterctl.runs.capacity.FIRST_PAUSE_SECONDS", 0.2)
    run = opened(tmp_path, ledger, cheap_or_dear())
    ledger.set_limits(run.run_id, usd=Decimal(1), hours=None)  # enough for the other offer
    watch_until(run, lambda: kinds(run).count("launcher") >= 2)
    assert "launcher failed" in ledger.events(run.run_id, kind="launcher")[0].message
    behave(tmp_path, step_seconds=0.1, machine_seconds=0.2, start_seconds=0.1)
    watch_until(run, lambda: ended(run))
    assert ledger.get_run(run.run_id).state == "finished"
    assert not {"offer", "capacity"} & set(kinds(run))


def test_pauses_grow_from_half_a_minute_to_ten(far: OpenRun) -> None:
    events = []
    since = far.clock.now()
    for _ in range(8):
        events.append(far.ledger.record_event(far.run_id, "capacity", "none", at=since))
    pauses = [(next_try(events[:n], since=since) - since).total_seconds() for n in range(9)]
    assert pauses == [0, 30, 60, 120, 240, 480, 600, 600, 600]


def test_the_place_ends_the_run_at_its_limit_although_nobody_watches(tmp_path: Path, far: OpenRun) -> None:
    behave(tmp_path, step_seconds=60, machine_seconds=0.1, start_seconds=0.1)
    far.ledger.set_limits(far.run_id, usd=None, hours=Decimal("0.001"))
    watched = watch_until(far, lambda: hourly_rate(far.ledger, far.run_id).known_usd_per_hour > 10)
    now = far.clock.now()
    far.target.set_deadline(far.ref, now, now)  # nobody ticks from here on
    time.sleep(0.3)
    assert all(i.phase is InstancePhase.ENDED for i in far.target.observe(far.ref).instances)
    assert watched.tick()


def test_a_new_watcher_goes_on_where_the_last_one_was_killed(tmp_path: Path, far: OpenRun) -> None:
    seen = 0
    while not ended(far):
        run = open_run(far.ledger, tmp_path, far.run_id)
        watched = Watch(run)
        for _ in range(4):
            if not watched.tick():
                break
            seen += 1
            time.sleep(0.05)
        assert seen < 500
    assert (far.ledger.get_run(far.run_id).state, kinds(far).count("launch"), len(machines(far))) == ("finished", 4, 3)


def test_this_machine_refuses_more_than_itself(tmp_path: Path, ledger: Ledger) -> None:
    run = opened(tmp_path, ledger, LOCAL)
    assert isinstance(run.target, LocalTarget)
    with pytest.raises(ClusterctlError, match="planned on 3 machines, and `local` is this machine alone"):
        run.target.check(run.plan)


def test_the_end_of_an_instance_ends_sandboxes_that_were_stopped_as_they_started(
    tmp_path: Path, ledger: Ledger
) -> None:
    run = opened(tmp_path, ledger, LOCAL)
    with subprocess.Popen(["sleep", "60"]) as gone:
        mark = owner_mark(gone.pid)  # while it is alive: of a dead one nobody knows when it started
        gone.kill()
    launcher = subprocess.Popen([mark, "60"], executable="/bin/sleep")
    try:
        launcher.send_signal(signal.SIGSTOP)
        stop = Change(action=Action.STOP, role="sandbox", resource_id="gone", reason="it ends")
        run.target.stop(run.ref, stop, force=True)
        assert launcher.wait(timeout=60) == -signal.SIGKILL
    finally:
        launcher.kill()
        launcher.wait()


def _intervals(run: OpenRun, resource_id: str) -> list[tuple[object, object]]:
    from sqlalchemy import select

    from clusterctl.ledger.ledger_tables import COSTS

    query = select(COSTS.c.from_at, COSTS.c.to_at).where(COSTS.c.resource_id == resource_id)
    return run.ledger.transact(lambda connection: [tuple(row) for row in connection.execute(query)])


TWO_STAGES = """
name: in-turn
objective: time
stages:
  - {name: first, kind: rlcef, model: clusterctl/quickstart, steps: 3, prompts_per_step: 6, samples_per_prompt: 6}
  - {name: second, kind: rlcef, model: clusterctl/quickstart, steps: 2, prompts_per_step: 6, samples_per_prompt: 6}
fleet: {targets: [fake], machines: [{target: fake, name: pretend, nodes: 3, vcpus: 2, memory_gib: 8, usd_per_hour: 3.6}]}
"""


def test_stages_run_one_after_the_other_each_on_its_own_machines(tmp_path: Path, ledger: Ledger) -> None:
    behave(tmp_path, step_seconds=0.3, machine_seconds=0.2, start_seconds=0.1, end_seconds=0.1)
    run = opened(tmp_path, ledger, TWO_STAGES)
    watch_until(run, lambda: ledger.get_run(run.run_id).stage == "second")
    assert (run.folder.path / "result-first.json").exists()
    first = machines(run)
    assert {ledger.get_resource(machine).state for machine in first} == {"gone"}, "released before the next are asked"
    run = open_run(ledger, tmp_path, run.run_id)
    watched = watch_until(run, lambda: steps_done(run) == 4)
    again = open_run(ledger, tmp_path, run.run_id)  # another supervisor goes on at the stage
    watch_until(again, lambda: ended(again))
    assert not watched.tick()
    assert ledger.get_run(run.run_id).state == "finished"
    assert [(step.stage, step.step) for step in ledger.steps(run.run_id)] == [
        ("first", 1),
        ("first", 2),
        ("first", 3),
        ("second", 1),
        ("second", 2),
    ]
    assert (run.folder.path / "result-second.json").exists()
    second = set(machines(run)) - set(first)
    assert len(first) == len(second) == 3
    begun = min(ledger.get_resource(machine).intended_at for machine in second)
    assert begun >= max(ledger.get_resource(machine).gone_at for machine in first)
    launches = [event.message for event in ledger.events(run.run_id, kind="launch")]
    assert launches == ["sandbox: wanted"] * 3 + ["trainer: wanted"] + ["sandbox: wanted"] * 3 + ["trainer: wanted"]
    assert usage(ledger, run.run_id).known_usd == sum(line.known_usd for line in ledger.bill(run.run_id).lines)


def test_a_stage_that_another_has_followed_is_over_with_fewer_steps_than_it_had_thought(
    tmp_path: Path, ledger: Ledger
) -> None:
    run = opened(tmp_path, ledger, TWO_STAGES)
    at = ledger.now()
    done = [("first", 1, 3), ("first", 2, 3), ("second", 1, 2)]
    steps = [Step(run_id=run.run_id, stage=name, step=step, of=of, at=at, metrics={}) for name, step, of in done]
    first, second = stages_of(run.plan, steps)
    assert ((first.done, first.steps), (second.done, second.steps)) == ((3, 3), (1, 2))
    (first, _) = stages_of(run.plan, steps[:2])
    assert (first.done, first.steps) == (2, 3)


def test_what_a_machine_waits_for_is_said_with_how_long(tmp_path: Path, far: OpenRun) -> None:
    behave(tmp_path, machine_seconds=600.0)
    watch_until(far, lambda: far.ledger.get_run(far.run_id).state == "queued")
    problems = [problem.what for problem in state_of(far).problems]
    assert any(re.fullmatch(r"\S+ is queued: Resources, for \d+ s", problem) for problem in problems), problems
    watch_until(far, lambda: kinds(far).count("queued") == 3)
    assert usage(far.ledger, far.run_id).known_usd == 0, "a queue costs nothing"
