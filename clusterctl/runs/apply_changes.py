"""Does to the roles of a run what was decided: the intent is written before each act, its result after."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from clusterctl.errors import ClusterctlError
from clusterctl.runs.run import OpenRun
from clusterctl.targets.base import Unreachable
from planners.runs.reconcile import Action, Change, Instance

STOP_GRACE_SECONDS = 30.0
"""From TERM, which asks a role to save its work and end, to KILL: terminationGracePeriodSeconds of Kubernetes,
KillWait of Slurm."""


class ChangeApplier:
    """Applies changes to one run.  record: writes an event (kind, message, identity, role)."""

    def __init__(self, run: OpenRun, record: Callable[[str, str, str, str], None]) -> None:
        self._run, self._ledger, self._record = run, run.ledger, record
        self._asked: dict[str, datetime] = {}
        """What was asked to end, by resource, and when."""

    def apply(self, changes: Iterable[Change], present: Sequence[Instance], *, launch: bool) -> None:
        """Launches and stops; ends what was asked to and is late.  launch: there are machines to launch on."""
        for change in changes:
            if change.action is Action.STOP:
                self._stop(change)
            elif change.action is Action.LAUNCH and launch:
                self._launch(change)
        self._end_late(present)

    def _stop(self, change: Change) -> None:
        run, now = self._run, self._run.clock.now()
        try:
            run.target.stop(run.ref, change, force=False)
        except Unreachable:
            return  # asked again at the next tick
        self._asked.setdefault(change.resource_id, now)
        if any(resource.resource_id == change.resource_id for resource in self._ledger.live_resources(run.run_id)):
            self._ledger.ask_stop(change.resource_id, at=now)
        self._record("stop", f"{change.role}: {change.reason}", f"stop:{change.resource_id}", change.role)

    def _launch(self, change: Change) -> None:
        run, role, identity, now = self._run, change.role, change.resource_id, self._run.clock.now()
        self._ledger.intend(run.instance_intent(identity, role), at=now)
        try:
            address = run.target.launch(run.ref, change, run.jobs[role])
        except Unreachable as error:  # it may have been launched: the place will show it, or not
            self._record("launch", f"{role}: {error}", f"unsure:{identity}", role)
        except ClusterctlError as error:
            self._record("launch", f"{role}: {error}", f"refused:{identity}", role)
            self._ledger.mark_gone(identity, at=now, cause="refused")
        else:
            self._ledger.mark_live(identity, address=address, at=now)
            self._record("launch", f"{role}: {change.reason}", f"launch:{identity}", role)

    def _end_late(self, present: Sequence[Instance]) -> None:
        """What was asked to end and has not within its grace is ended."""
        run, now = self._run, self._run.clock.now()
        asked = {r.resource_id: r.stop_asked_at for r in self._ledger.live_resources(run.run_id)}
        for instance in present:
            asked_at = asked.get(instance.resource_id) or self._asked.get(instance.resource_id)
            if asked_at is None or (now - asked_at).total_seconds() < STOP_GRACE_SECONDS:
                continue
            with contextlib.suppress(Unreachable):  # again at the next tick
                run.target.stop(run.ref, _stop_of(instance, "late"), force=True)
            text = f"{instance.slot} was killed: it did not end within {STOP_GRACE_SECONDS:.0f} s"
            self._record("stop", text, f"killed:{instance.resource_id}", instance.slot)

    def end_all(self, instances: Sequence[Instance]) -> None:
        """Asks all to end, and ends what is late, without the ledger; what others come after ends after them."""
        run, now = self._run, self._run.clock.now()
        after = {role.name: role.after for role in run.target.roles(run.plan, run.ref.stage)}
        needed = {name for instance in instances for name in after.get(instance.role, ())}
        for instance in instances:
            if instance.role not in needed:
                asked_at = self._asked.setdefault(instance.resource_id, now)
                late = (now - asked_at).total_seconds() >= STOP_GRACE_SECONDS
                if late or asked_at == now:
                    with contextlib.suppress(ClusterctlError):
                        run.target.stop(run.ref, _stop_of(instance, "the limit is reached"), force=late)


def _stop_of(instance: Instance, reason: str) -> Change:
    identity, address = instance.resource_id, instance.address
    return Change(action=Action.STOP, role=instance.role, resource_id=identity, address=address, reason=reason)
