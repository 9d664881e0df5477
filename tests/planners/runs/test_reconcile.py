"""Decide: properties of the changes for any roles, instances and histories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from planners.runs.reconcile import (
    MAX_RESTARTS,
    Action,
    Instance,
    InstancePhase,
    Role,
    RoleHistory,
    reconcile,
    slot_name,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ROLES = (Role(name="sandbox", count=3), Role(name="trainer", after=("sandbox",), until_done=True))
SLOTS = [("sandbox", 0), ("sandbox", 1), ("sandbox", 2), ("sandbox", 3), ("trainer", 0), ("stranger", 0)]
WANTED = {slot_name(role.name, index) for role in ROLES for index in range(role.count)}
PHASES = st.sampled_from(InstancePhase)


@st.composite
def instances(draw: st.DrawFn) -> list[Instance]:
    slots = draw(st.lists(st.tuples(st.sampled_from(SLOTS), PHASES), max_size=8))
    return [
        Instance(
            role=role,
            index=index,
            resource_id=f"run/{slot_name(role, index)}/{n}",
            address=str(n),
            started_at=NOW - timedelta(seconds=n),
            phase=phase,
        )
        for n, ((role, index), phase) in enumerate(slots)
    ]


@st.composite
def histories(draw: st.DrawFn) -> dict[str, RoleHistory]:
    counts = st.integers(0, MAX_RESTARTS + 2)
    return {
        name: RoleHistory(
            starts=starts,
            restarts_without_progress=min(starts, draw(counts)),
            last_seen=NOW - timedelta(seconds=draw(st.integers(0, 20))),
        )
        for name in sorted(WANTED)
        for starts in [draw(counts)]
    }


@given(instances(), histories(), st.booleans(), st.booleans())
def test_never_two_of_a_slot_and_nothing_forgotten(
    seen: list[Instance], history: dict[str, RoleHistory], done: bool, up: bool
) -> None:
    decided = reconcile(ROLES, seen, run_id="run", history=history, done=done, now=NOW, end=not up)
    acts = {action: [c for c in decided.changes if c.action is action] for action in Action}
    there = {i.address: i for i in seen if i.phase is not InstancePhase.ENDED}
    assert {c.address for c in acts[Action.KEEP] + acts[Action.STOP]} == set(there)
    assert all(there[c.address].phase is not InstancePhase.ENDING for c in acts[Action.STOP]), (
        "it has been asked already"
    )
    launched = [slot_name(c.role, c.index) for c in acts[Action.LAUNCH]]
    present = [i.slot for i in there.values()]
    assert len(launched) == len(set(launched))
    assert not set(launched) & set(present), "what is queued, starting or ending is there"
    assert set(launched) <= WANTED
    if acts[Action.LAUNCH] and any(c.role == "trainer" for c in acts[Action.LAUNCH]):
        ready = {i.slot for i in there.values() if i.phase is InstancePhase.READY}
        assert {"sandbox", "sandbox-2", "sandbox-3"} <= ready
    if any(i.role == "trainer" for i in there.values()):
        stopped = [c for c in acts[Action.STOP] if c.role == "sandbox"]
        assert all(c.reason.startswith("second") for c in stopped), "the trainer before the sandboxes that it asks"
    if not up or decided.failed or done:
        assert acts[Action.LAUNCH] == []


@given(instances())
def test_once_done_there_is_nothing_left_to_stop(seen: list[Instance]) -> None:
    decided = reconcile(ROLES, seen, run_id="run", history={}, done=False, now=NOW)
    kept = {c.address for c in decided.changes if c.action is Action.KEEP}
    survivors = [i for i in seen if i.address in kept and i.phase is not InstancePhase.ENDED]
    launched = [
        Instance(role=c.role, index=c.index, resource_id=c.resource_id, address=f"new {n}", started_at=NOW)
        for n, c in enumerate(decided.changes)
        if c.action is Action.LAUNCH
    ]
    again = reconcile(ROLES, survivors + launched, run_id="run", history={}, done=False, now=NOW)
    assert not [c for c in again.changes if c.action is Action.STOP and not c.reason.startswith("not wanted")]
    assert {c.role for c in again.changes if c.action is Action.LAUNCH} <= {"trainer"}


@given(instances(), st.booleans())
def test_ending_again_and_again_leaves_nothing(seen: list[Instance], done: bool) -> None:
    there = [i for i in seen if i.phase is not InstancePhase.ENDED]
    for _ in range(len(there) + 1):
        decided = reconcile(ROLES, there, run_id="run", history={}, done=done, now=NOW, end=True)
        stopped = {c.address for c in decided.changes if c.action is Action.STOP}
        there = [i for i in there if i.address not in stopped and i.phase is not InstancePhase.ENDING]
    assert there == []


def test_ids_are_the_same_before_and_after_a_crash() -> None:
    first = reconcile(ROLES, [], run_id="run", history={}, done=False, now=NOW)
    assert [c.resource_id for c in first.changes] == ["run/sandbox/1", "run/sandbox-2/1", "run/sandbox-3/1"]
    assert first == reconcile(ROLES, [], run_id="run", history={}, done=False, now=NOW)


def test_a_role_that_brings_nothing_fails_the_run() -> None:
    tried = RoleHistory(starts=9, restarts_without_progress=MAX_RESTARTS + 1, last_seen=NOW - timedelta(hours=1))
    decided = reconcile(ROLES, [], run_id="run", history={"sandbox-2": tried}, done=False, now=NOW)
    assert decided.failed == f"sandbox-2 ended {MAX_RESTARTS + 1} times without progress"
    assert all(change.action is Action.KEEP for change in decided.changes)


def test_a_restart_waits() -> None:
    one = (Role(name="sandbox"),)
    tried = {"sandbox": RoleHistory(starts=3, restarts_without_progress=3, last_seen=NOW)}
    assert reconcile(one, [], run_id="run", history=tried, done=False, now=NOW).changes == ()
    later = NOW + timedelta(seconds=3)
    assert len(reconcile(one, [], run_id="run", history=tried, done=False, now=later).changes) == 1


def test_a_run_goes_on_without_a_role_that_is_not_vital() -> None:
    roles = (Role(name="sandbox"), Role(name="telemetry", vital=False))
    starts = MAX_RESTARTS + 1
    tried = {"telemetry": RoleHistory(starts=starts, restarts_without_progress=starts, last_seen=NOW)}
    decided = reconcile(roles, [], run_id="run", history=tried, done=False, now=NOW)
    assert (decided.failed, [change.role for change in decided.changes]) == ("", ["sandbox"])
