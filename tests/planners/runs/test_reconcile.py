"""Decide: properties of the changes for any roles, instances and pasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from planners.runs.reconcile import MAX_RESTARTS, Action, Instance, Role, RoleHistory, reconcile

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ROLES = (Role(name="sandbox"), Role(name="trainer", after=("sandbox",), until_done=True))
NAMES = st.sampled_from(["sandbox", "trainer", "stranger"])


@st.composite
def instances(draw: st.DrawFn) -> list[Instance]:
    names = draw(st.lists(NAMES, max_size=6))
    return [
        Instance(role=name, resource_id=f"run/{name}/{n}", address=str(n), started_at=NOW - timedelta(seconds=n))
        for n, name in enumerate(names)
    ]


@st.composite
def pasts(draw: st.DrawFn) -> dict[str, RoleHistory]:
    counts = st.integers(0, MAX_RESTARTS + 2)
    return {
        name: RoleHistory(
            starts=starts,
            fruitless=min(starts, draw(counts)),
            last_seen=NOW - timedelta(seconds=draw(st.integers(0, 20))),
        )
        for name in ("sandbox", "trainer")
        for starts in [draw(counts)]
    }


@given(instances(), pasts(), st.booleans(), st.booleans())
def test_never_two_of_a_role_and_nothing_forgotten(
    seen: list[Instance], past: dict[str, RoleHistory], done: bool, up: bool
) -> None:
    decided = reconcile(ROLES, seen, run_id="run", past=past, done=done, now=NOW, end=not up)
    acts = {action: [c for c in decided.changes if c.action is action] for action in Action}
    assert {c.address for c in acts[Action.KEEP] + acts[Action.STOP]} == {i.address for i in seen}
    after = [c.role for c in acts[Action.KEEP] + acts[Action.LAUNCH]]
    assert len(after) == len(set(after))
    assert set(after) <= {role.name for role in ROLES}
    stopped = [c.role for c in acts[Action.STOP] if c.role != "stranger"]
    assert stopped == sorted(stopped, reverse=True), "the trainer before the sandbox that it asks"
    if not up or decided.failed:
        assert after == []
    if done:
        assert acts[Action.LAUNCH] == []
        assert "sandbox" not in after


@given(instances())
def test_once_done_there_is_nothing_left_to_do(seen: list[Instance]) -> None:
    decided = reconcile(ROLES, seen, run_id="run", past={}, done=False, now=NOW)
    survivors = [i for i in seen if i.address in {c.address for c in decided.changes if c.action is Action.KEEP}]
    launched = [
        Instance(role=c.role, resource_id=c.resource_id, address=f"new {c.role}", started_at=NOW)
        for c in decided.changes
        if c.action is Action.LAUNCH
    ]
    again = reconcile(ROLES, survivors + launched, run_id="run", past={}, done=False, now=NOW)
    assert not [c for c in again.changes if c.action is Action.STOP]
    once_more = [c.role for c in again.changes if c.action is Action.LAUNCH]
    assert set(once_more) <= {"trainer"}


def test_ids_are_the_same_before_and_after_a_crash() -> None:
    first = reconcile(ROLES, [], run_id="run", past={}, done=False, now=NOW)
    assert [c.resource_id for c in first.changes] == ["run/sandbox/1"]
    assert first == reconcile(ROLES, [], run_id="run", past={}, done=False, now=NOW)


def test_a_role_that_brings_nothing_fails_the_run() -> None:
    past = {"sandbox": RoleHistory(starts=9, fruitless=MAX_RESTARTS + 1, last_seen=NOW - timedelta(hours=1))}
    decided = reconcile(ROLES, [], run_id="run", past=past, done=False, now=NOW)
    assert decided.failed == f"sandbox ended {MAX_RESTARTS + 1} times without progress"
    assert decided.settled


def test_a_restart_waits() -> None:
    past = {"sandbox": RoleHistory(starts=3, fruitless=3, last_seen=NOW)}
    assert reconcile(ROLES, [], run_id="run", past=past, done=False, now=NOW).changes == ()
    later = NOW + timedelta(seconds=3)
    assert len(reconcile(ROLES, [], run_id="run", past=past, done=False, now=later).changes) == 1


def test_a_run_goes_on_without_a_role_that_is_not_vital() -> None:
    roles = (*ROLES, Role(name="telemetry", vital=False))
    tried = {"telemetry": RoleHistory(starts=MAX_RESTARTS + 1, fruitless=MAX_RESTARTS + 1, last_seen=NOW)}
    decided = reconcile(roles, [], run_id="run", past=tried, done=False, now=NOW)
    assert (decided.failed, [change.role for change in decided.changes]) == ("", ["sandbox"])
