"""What the watcher of a run writes down: what has gone, which machines the run has, and the bill."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from clusterctl.ledger.rows import Resource, Run
from clusterctl.runs.capacity import ASKED_AGAIN
from clusterctl.runs.report_reader import ReportReader
from clusterctl.runs.run import PROCESS, OpenRun
from clusterctl.targets.base import Machine, MachineRequest, Observed
from planners.runs.limits import MACHINE, STANDING
from planners.runs.next_offer import CHOICE
from planners.runs.reconcile import NOBODYS_FAULT, Action, Cause, Change, Instance, InstancePhase, RoleHistory


class Recorder:
    """The ledger's side of one run under watch, since it was last asked for."""

    def __init__(self, run: OpenRun) -> None:
        self.run, self.ledger = run, run.ledger
        row = self.ledger.get_run(run.run_id)
        wanted = self.ledger.events(run.run_id, kind="wanted")
        self.times_wanted = len(wanted)
        """How often the run was asked for."""
        self.wanted_at = max([row.created_at, *(event.at for event in wanted)])
        """When the run was last asked for: what went wrong before that is forgiven."""
        begun = [event.at for event in self.ledger.events(run.run_id, kind="stage")]
        self.stage_at = max(begun, default=None)
        """When it came to its stage; None for the first one."""
        self.reports = ReportReader(run, row, self.wanted_at)
        self.refusal = ""
        """Why what the run has asked for will never be had."""
        self._missed: dict[str, tuple[datetime, datetime]] = {}
        """By resource: the first and the last observation that did not show it."""

    def present(self, observed: Observed) -> tuple[Instance, ...]:
        """What is there: what the place shows, and what was launched and may not be shown yet, or not any more.

        An instance that the ledger holds for live has gone when two complete observations and a look-up by its own
        name don't show it.  An instance that was asked to end is ending until it has gone.
        """
        shown = {i.resource_id: i for i in observed.instances if i.phase is not InstancePhase.ENDED}
        ended = {i.resource_id: i for i in observed.instances if i.phase is InstancePhase.ENDED}
        live = self.ledger.live_resources(self.run.run_id)
        refused = {
            machine.resource_id: machine.message for machine in observed.machines if machine.cause is Cause.REFUSED
        }
        whys = [f"{r.slot} is refused: {refused[r.resource_id]}" for r in live if r.resource_id in refused]
        self.refusal = next(iter(whys), self.refusal)
        recorded = [r for r in live if r.kind == PROCESS]
        found = [shown[identity] for identity in shown.keys() - {resource.resource_id for resource in recorded}]
        for resource in recorded:
            instance = shown.get(resource.resource_id)
            if instance is not None:
                self._missed.pop(resource.resource_id, None)
            if instance is None and self._has_gone(resource, observed, ended.get(resource.resource_id)):
                self._settle(resource, ended.get(resource.resource_id))
            else:
                found.append(_as_recorded(instance, resource))
        return tuple(found)

    def _has_gone(self, resource: Resource, observed: Observed, ended: Instance | None) -> bool:
        """Whether an instance has ended, or is missing and can't be found by its own name either."""
        if ended is not None:
            return True
        return self._is_missing(resource, observed) and not self.run.target.find(self.run.ref, resource.resource_id)

    def _is_missing(self, resource: Resource, observed: Observed) -> bool:
        """Whether two complete observations don't show it, although it has had the time to appear."""
        pace, asked_at = self.run.target.pace, resource.live_at or resource.intended_at
        if resource.stop_asked_at is None and (observed.at - asked_at).total_seconds() < pace.appear_seconds:
            return False
        since, last = self._missed.setdefault(resource.resource_id, (observed.at, observed.at))
        if observed.at > last and (observed.at - since).total_seconds() >= pace.observe_seconds:
            return True
        self._missed[resource.resource_id] = (since, observed.at)
        return self.run.target.standing_machine is not None and resource.kind == MACHINE

    def _settle(self, resource: Resource, ended: Instance | None) -> None:
        """It has gone: what it has left behind is ended, too."""
        run, now = self.run, self.run.clock.now()
        left = Change(action=Action.STOP, role=resource.role, resource_id=resource.resource_id, reason="gone")
        run.target.stop(run.ref, left, force=True)
        cause = ended.cause if ended is not None else Cause.NONE
        if resource.stop_asked_at is not None:
            cause = Cause.STOPPED
        self.ledger.mark_gone(resource.resource_id, at=now, cause=cause)
        slot = resource.slot
        if resource.stop_asked_at is not None:
            took = (now - resource.stop_asked_at).total_seconds()
            text = f"{slot} ended {took:.1f} s after it was asked to"
            self.run.event("stop", text, f"stopped:{resource.resource_id}", slot)
            return
        what = "ended" if resource.state == "live" else "was never started"
        why = ": ".join(filter(None, (cause, ended.message))) if ended is not None else ""
        text = f"{slot} {what}" + (f" ({why})" if why else "")
        self.run.event("gone", text, f"gone:{resource.resource_id}", slot)

    def history(self) -> dict[str, RoleHistory]:
        """By slot: its starts, those since the last step that nobody but the role is to blame for, and when it was last
        seen."""
        since = max(self.wanted_at, self.reports.last_step_at, *filter(None, [self.stage_at]))
        found: dict[str, RoleHistory] = {}
        for resource in self.ledger.resources(self.run.run_id):
            if resource.kind == PROCESS:
                old = found.get(resource.slot, RoleHistory())
                in_vain = resource.intended_at > since and resource.cause not in NOBODYS_FAULT
                earlier = not self.is_of_stage(resource)
                found[resource.slot] = RoleHistory(
                    starts=old.starts + 1,
                    starts_before=old.starts_before + earlier,
                    restarts_without_progress=old.restarts_without_progress + in_vain,
                    last_seen=resource.gone_at or resource.live_at,
                )
        return found

    def is_of_stage(self, resource: Resource) -> bool:
        """Whether it was asked for since the run came to its stage."""
        return self.stage_at is None or resource.intended_at >= self.stage_at

    def request_machines(self, row: Run, *, make: bool) -> list[MachineRequest]:
        """The nodes that the run has; make: and those that it lacks, each recorded before it is asked for.

        What is not rented is paid from here on: before the first role starts on it.
        """
        run, now = self.run, self.run.clock.now()
        resources = self.ledger.resources(run.run_id)
        requests = run.machine_requests(resources, now, alternative=row.alternative)
        if not make:
            there = {resource.resource_id for resource in resources if resource.state != "gone"}
            return [request for request in requests if request.resource_id in there]
        for request in requests:
            resource = self.ledger.intend(run.machine_intent(request), at=now)
            if resource.state == "intended" and (here := run.target.standing_machine) is not None:
                self.ledger.mark_live(request.resource_id, address=here, at=now)
        return requests

    def lost_machine(self, machines: Sequence[Machine]) -> bool:
        """Whether one of the machines has ended that the ledger holds for there."""
        over = {machine.resource_id for machine in machines if machine.phase is InstancePhase.ENDED}
        return bool(over) and any(r.resource_id in over for r in self.ledger.live_resources(self.run.run_id))

    def bill(self, observed: Observed | None, *, now: datetime) -> None:
        """Each machine is paid from its allocation to its release, under its own price; what stands is paid until now.

        observed: None = nobody knows what is there, and machines are paid on.
        """
        shown = {machine.resource_id: machine for machine in observed.machines} if observed else {}
        for resource in self.ledger.live_resources(self.run.run_id):
            if resource.kind == STANDING:
                self.ledger.extend_cost(resource.resource_id, until=now)
            if resource.kind != MACHINE:
                continue
            machine = shown.get(resource.resource_id)
            if machine is not None:
                self._missed.pop(resource.resource_id, None)
            if machine is not None and machine.since is not None and resource.state == "intended":
                address = machine.address or resource.resource_id
                self.ledger.mark_live(resource.resource_id, address=address, at=min(machine.since, now))
            gone = observed is not None and machine is None and self._is_missing(resource, observed)
            released = machine.until if machine is not None else now if gone else None
            self.ledger.extend_cost(resource.resource_id, until=released or now)
            if released is not None or (machine is not None and machine.phase is InstancePhase.ENDED):
                self._release(resource, machine, at=released or now)

    def _release(self, resource: Resource, machine: Machine | None, *, at: datetime) -> None:
        cause = machine.cause if machine is not None else Cause.STOPPED
        self.ledger.settle_cost(resource.resource_id, until=at)
        self.ledger.mark_gone(resource.resource_id, at=max(at, resource.live_at or at), cause=cause)
        if cause in {Cause.PREEMPTED, Cause.NODE_LOST, Cause.REFUSED, *ASKED_AGAIN}:
            kind = ASKED_AGAIN.get(cause, "machine")
            what = ": ".join(filter(None, (f"{resource.slot}: {cause}", machine.message if machine else "")))
            alternative = self.ledger.get_run(self.run.run_id).alternative or CHOICE
            self.run.event(kind, what, f"{kind}:{resource.resource_id}", alternative=alternative)

    def close_unwatched(self) -> None:
        """At the start of a watch, where nothing lives: machines that are paid only while the run uses them were used
        up to the last sign of life."""
        if self.run.target.standing_machine is None:
            return
        for resource in self.ledger.live_resources(self.run.run_id):
            if resource.kind == MACHINE:
                until = self._last_sign()
                self.ledger.extend_cost(resource.resource_id, until=until)
                self.ledger.mark_gone(resource.resource_id, at=max(until, resource.live_at or until))

    def _last_sign(self) -> datetime:
        """When the run was last known to live: a watcher's beat or anything the job wrote, if its clock was right."""
        now, beat = self.run.clock.now(), self.run.clock.last
        signs = [moment for moment in (self.run.folder.last_sign(), beat.at if beat else None) if moment is not None]
        return max((moment for moment in signs if moment <= now), default=now)


def _as_recorded(instance: Instance | None, resource: Resource) -> Instance:
    """An instance as the place shows it, else as the ledger knows it; ending once it was asked to."""
    phase = InstancePhase.STARTING if instance is None else instance.phase
    index = int(slot.rpartition("-")[2]) - 1 if (slot := resource.slot) != resource.role else 0
    return Instance(
        role=resource.role,
        index=index,
        resource_id=resource.resource_id,
        address=(instance.address if instance else resource.address) or "",
        started_at=instance.started_at if instance else resource.intended_at,
        phase=phase if resource.stop_asked_at is None else InstancePhase.ENDING,
        cause=instance.cause if instance else Cause.NONE,
        message=instance.message if instance else "",
    )
