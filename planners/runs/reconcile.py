"""(wanted, seen, now) -> changes.  The same function starts, resumes, adopts, repairs and ends a run on every target.

Words: a *role* is a job of the run (sandbox, trainer); an *instance* is one live thing that plays it, with the id of
the resource it was started as.  Ids are deterministic, so that an act that was recorded and not done, or done and not
recorded, is recognised.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

MAX_RESTARTS = 5
"""A role that died this often without any progress of the run is not started again: the run has failed."""
RESTART_WAIT_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0)
"""Before each restart, so that a role that cannot start does not burn the machine."""


class Action(StrEnum):
    """What is done to an instance; the values are the marks that people see."""

    KEEP = " "
    LAUNCH = "+"
    STOP = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A job that the run needs."""

    name: str
    after: tuple[str, ...] = ()
    """Roles that must be live before this one starts."""
    until_done: bool = False
    """True: it ends by itself when its work is done (a trainer); False: it serves until it is stopped."""
    vital: bool = True
    """False: the run goes on without it when it can't be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Something live that plays a role, as the target sees it."""

    role: str
    resource_id: str
    address: str
    """Where it is: pid and start time here, a cloud's id elsewhere."""
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleHistory:
    """What the ledger knows of a role: how often it was started, and when one was last seen live."""

    starts: int = 0
    fruitless: int = 0
    """Starts since the run last made progress."""
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One act, with the reason that people read."""

    action: Action
    role: str
    resource_id: str
    reason: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """All that must be done now, in order, and whether the run is over."""

    changes: tuple[Change, ...]
    failed: str = ""
    """Why the run cannot go on; empty while it can."""

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return all(change.action is Action.KEEP for change in self.changes)


def resource_id(run_id: str, role: str, start: int) -> str:
    """Id of the nth start (from 1) of a role: the same before and after a crash."""
    return f"{run_id}/{role}/{start}"


def reconcile(
    roles: Sequence[Role],
    seen: Sequence[Instance],
    *,
    run_id: str,
    past: Mapping[str, RoleHistory],
    done: bool,
    now: datetime,
    end: bool = False,
) -> Changes:
    """What to do to make `seen` become `roles`, or nothing where the run must `end`.  Pure: same input, same answer.

    past: by role name; done: the work itself is complete, so nothing is started any more.
    Of several instances of a role the oldest is kept.  Launches wait for the roles they come after, and for their
    restart delay; who needs others ends before them.
    """
    wanted = {} if end else {role.name: role for role in roles}
    acts: list[Change] = []
    live: dict[str, Instance] = {}
    for instance in sorted(seen, key=lambda i: (i.started_at, i.resource_id, i.address)):
        reason = _why_not(instance, wanted, live, done=done)
        if reason:
            acts.append(_act(Action.STOP, instance, reason))
        else:
            live[instance.role] = instance
            acts.append(_act(Action.KEEP, instance, ""))
    failed = ""
    for role in wanted.values():
        if role.name in live or done:
            continue
        before = past.get(role.name, RoleHistory())
        if before.fruitless > MAX_RESTARTS:
            failed = failed or (f"{role.name} ended {before.fruitless} times without progress" if role.vital else "")
        elif all(name in live for name in role.after) and _rested(before, now):
            reason = "wanted" if before.starts == 0 else f"gone; start {before.starts + 1}"
            launched = resource_id(run_id, role.name, before.starts + 1)
            acts.append(Change(action=Action.LAUNCH, role=role.name, resource_id=launched, reason=reason))
    if failed:
        acts = [
            act if act.action is Action.STOP else replace(act, action=Action.STOP, reason="the run has failed")
            for act in acts
            if act.action is not Action.LAUNCH
        ]
    return Changes(changes=_in_order(acts, roles), failed=failed)


def _in_order(acts: Sequence[Change], roles: Sequence[Role]) -> tuple[Change, ...]:
    """Ends come before launches; who needs others ends before them, and who is no role first of all."""
    place = {role.name: number for number, role in enumerate(roles)}
    ends = [act for act in acts if act.action is Action.STOP]
    ends.sort(key=lambda act: -place.get(act.role, len(place)))
    return (*ends, *(act for act in acts if act.action is not Action.STOP))


def _why_not(instance: Instance, wanted: Mapping[str, Role], live: Mapping[str, Instance], *, done: bool) -> str:
    """Why an instance must end; empty if it may stay."""
    role = wanted.get(instance.role)
    if role is None:
        return "not wanted" if wanted else "the run is to end"
    if instance.role in live:
        return f"second {instance.role}"
    return "the work is done" if done and not role.until_done else ""


def _rested(past: RoleHistory, now: datetime) -> bool:
    if past.fruitless == 0 or past.last_seen is None:
        return True
    wait = RESTART_WAIT_SECONDS[min(past.fruitless, len(RESTART_WAIT_SECONDS)) - 1]
    return (now - past.last_seen).total_seconds() >= wait


def _act(action: Action, instance: Instance, reason: str) -> Change:
    where = {"role": instance.role, "resource_id": instance.resource_id, "address": instance.address}
    return Change(action=action, reason=reason, **where)
