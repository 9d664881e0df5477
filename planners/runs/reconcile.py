"""(wanted, seen, now) -> changes.  The same function starts, resumes, adopts, repairs and ends a run on every target.

Words: a *role* is a job of the run (sandbox, trainer) with a number of *instances*; an instance is one thing that
plays it, with the id of the resource it was started as.  Ids are deterministic, so that an act that was recorded and
not done, or done and not recorded, is recognised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

MAX_RESTARTS = 5
"""An instance that ended this often without any progress of the run is not started again: the run has failed."""
RESTART_WAIT_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0)
"""Before each restart, so that an instance that cannot start does not burn the machine."""


class InstancePhase(StrEnum):
    """How far an instance or a machine is.  QUEUED costs nothing."""

    QUEUED = "queued"
    STARTING = "starting"
    READY = "ready"
    ENDING = "ending"
    ENDED = "ended"


class Cause(StrEnum):
    """Why an instance or a machine ended."""

    NONE = ""
    DONE = "done"
    FAILED = "failed"
    PREEMPTED = "preempted"
    NODE_LOST = "node lost"
    NO_CAPACITY = "no capacity"
    LAUNCHER = "launcher failed"
    """What asks the place for machines; it says nothing about whether there are any."""
    REFUSED = "refused"
    STOPPED = "stopped"


NOBODYS_FAULT = frozenset({Cause.PREEMPTED, Cause.NODE_LOST, Cause.NO_CAPACITY, Cause.LAUNCHER, Cause.STOPPED})
"""Ends that say nothing about whether the role can run: they don't count as restarts without progress."""


class Action(StrEnum):
    """What is done to an instance; the values are the marks that people see."""

    KEEP = " "
    LAUNCH = "+"
    STOP = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A job that the run needs."""

    name: str
    count: int = 1
    """Instances that run at once."""
    after: tuple[str, ...] = ()
    """Roles whose instances must all be ready before this one starts."""
    until_done: bool = False
    """True: it ends by itself when its work is done (a trainer); False: it serves until it is stopped."""
    vital: bool = True
    """False: the run goes on without it when it can't be started."""

    @property
    def slots(self) -> list[str]:
        """Names of its instances, by index."""
        return [slot_name(self.name, index) for index in range(self.count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Something that plays a role, as the target sees it."""

    role: str
    index: int = 0
    """From 0 to the role's count - 1."""
    resource_id: str
    address: str
    """Where it is: pid and start time here, a cloud's id elsewhere."""
    started_at: datetime
    phase: InstancePhase = InstancePhase.READY
    cause: Cause = Cause.NONE
    message: str = ""
    """What the target says of it: a scheduler's reason, the last line of an error."""

    @property
    def slot(self) -> str:
        """Role and index."""
        return slot_name(self.role, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleHistory:
    """What the ledger knows of an instance's slot: how often it was started, and when one was last seen."""

    starts: int = 0
    starts_before: int = 0
    """Of them, those of earlier stages."""
    restarts_without_progress: int = 0
    """Starts since the run last made progress."""
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One act, with the reason that people read."""

    action: Action
    role: str
    index: int = 0
    resource_id: str
    reason: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """All that must be done now, in order, and whether the run is over."""

    changes: tuple[Change, ...]
    failed: str = ""
    """Why the run cannot go on; empty while it can."""


def slot_name(role: str, index: int) -> str:
    """`trainer`, `sandbox-2`: the first instance is called like its role."""
    return role if index == 0 else f"{role}-{index + 1}"


def resource_id(run_id: str, slot: str, start: int) -> str:
    """Id of the nth start (from 1) of an instance or a machine: the same before and after a crash."""
    return f"{run_id}/{slot}/{start}"


def reconcile(
    roles: Sequence[Role],
    seen: Sequence[Instance],
    *,
    run_id: str,
    history: Mapping[str, RoleHistory],
    done: bool,
    now: datetime,
    end: bool = False,
    why_end: str = "the run is to end",
) -> Changes:
    """What to do to make `seen` become `roles`, or nothing where the run must `end`.  Pure: same input, same answer.

    history: by slot; done: the work itself is complete, so nothing is started any more.  What is queued, starting or
    ending is there: no second one is launched; only what is ready lets those start that come after it.  Of several
    instances of a slot a ready one is kept, among equals the oldest.  What others come after ends after them.
    """
    wanted = {} if end else {slot: role for role in roles for slot in role.slots}
    present: dict[str, Instance] = {}
    reasons: list[tuple[Instance, str]] = []
    there = [instance for instance in seen if instance.phase is not InstancePhase.ENDED]
    for instance in sorted(
        there, key=lambda i: (i.phase is not InstancePhase.READY, i.started_at, i.resource_id, i.address)
    ):
        reason = _why_not(instance, wanted, present, done=done, why_end=why_end)
        if not reason:
            present[instance.slot] = instance
        reasons.append((instance, reason))
    failed = "" if done else _failed(wanted, present, history)
    acts = [_keep_or_stop(instance, reason or (failed and "the run has failed")) for instance, reason in reasons]
    if not failed and not done and not end:
        acts += _launches(roles, present, run_id=run_id, history=history, now=now)
    return Changes(changes=_in_order(acts, roles, seen), failed=failed)


def _why_not(
    instance: Instance, wanted: Mapping[str, Role], present: Mapping[str, Instance], *, done: bool, why_end: str
) -> str:
    """Why an instance must end; empty if it may stay."""
    role = wanted.get(instance.slot)
    if role is None:
        return "not wanted" if wanted else why_end
    if instance.slot in present:
        return f"second {instance.slot}"
    return "the work is done" if done and not role.until_done else ""


def _keep_or_stop(instance: Instance, reason: str) -> Change:
    """A stop for a reason, unless the instance is ending already."""
    stops = bool(reason) and instance.phase is not InstancePhase.ENDING
    return Change(
        action=Action.STOP if stops else Action.KEEP,
        role=instance.role,
        index=instance.index,
        resource_id=instance.resource_id,
        address=instance.address,
        reason=reason if stops else "",
    )


def _failed(wanted: Mapping[str, Role], present: Mapping[str, Instance], history: Mapping[str, RoleHistory]) -> str:
    """Why the run cannot go on: a vital instance that is not there and has been started too often in vain."""
    for slot, role in wanted.items():
        tried = history.get(slot, RoleHistory()).restarts_without_progress
        if role.vital and slot not in present and tried > MAX_RESTARTS:
            return f"{slot} ended {tried} times without progress"
    return ""


def _launches(
    roles: Sequence[Role],
    present: Mapping[str, Instance],
    *,
    run_id: str,
    history: Mapping[str, RoleHistory],
    now: datetime,
) -> Iterator[Change]:
    """Launches of what is missing, has rested, and comes after roles that are ready."""
    ready_slots = {slot for slot, instance in present.items() if instance.phase is InstancePhase.READY}
    ready = {role.name for role in roles if ready_slots.issuperset(role.slots)}
    for role in roles:
        for index, slot in enumerate(role.slots):
            before = history.get(slot, RoleHistory())
            spent = before.restarts_without_progress > MAX_RESTARTS
            if slot not in present and not spent and ready.issuperset(role.after) and _rested(before, now):
                start = before.starts + 1
                yield Change(
                    action=Action.LAUNCH,
                    role=role.name,
                    index=index,
                    resource_id=resource_id(run_id, slot, start),
                    reason="wanted" if before.starts == before.starts_before else f"gone; start {start}",
                )


def _rested(history: RoleHistory, now: datetime) -> bool:
    if history.restarts_without_progress == 0 or history.last_seen is None:
        return True
    wait = RESTART_WAIT_SECONDS[min(history.restarts_without_progress, len(RESTART_WAIT_SECONDS)) - 1]
    return (now - history.last_seen).total_seconds() >= wait


def _in_order(acts: Sequence[Change], roles: Sequence[Role], seen: Sequence[Instance]) -> tuple[Change, ...]:
    """Stops before launches.  A role is stopped only when no instance is left of the roles that come after it."""
    there = {instance.role for instance in seen if instance.phase is not InstancePhase.ENDED}
    needed = {name for role in roles if role.name in there for name in role.after}
    ordered = [
        replace(act, action=Action.KEEP, reason="until what comes after it has ended")
        if act.action is Action.STOP and act.role in needed and not act.reason.startswith("second")
        else act
        for act in acts
    ]
    return tuple(sorted(ordered, key=lambda act: act.action is not Action.STOP))
