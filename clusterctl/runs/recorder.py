"""What the watcher of a run writes down: what its job reports, what has gone, the bill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from clusterctl.ledger.rows import Intent, PhaseSeconds, ReportBatch, ReportedCost, Resource, Run, Step
from clusterctl.runs.job_reports import MOST_USD, CostReport, read_report
from clusterctl.runs.run import LINES, PROCESS, OpenRun
from clusterctl.runs.usage_prices import UsagePrices
from clusterctl.targets.base import TAG_PREFIX, Machine, MachineRequest, Observed
from planners.costs.tables import MACHINE
from planners.runs.offers import CHOICE
from planners.runs.reconcile import NOBODYS_FAULT, Action, Cause, Change, Instance, Phase, RoleHistory

UNKNOWN_PROVIDER = "unknown"
"""Provider of what a job reports without naming one."""
REPORTS_AT_ONCE = 20_000
"""Lines that one transaction takes: a second's work, so that the limits are looked at in between."""


def slot_of(resource: Resource) -> str:
    """Slot of an instance or a machine, as its id names it."""
    return resource.resource_id.split("/")[1]


def histories(resources: Sequence[Resource], *, since: datetime) -> dict[str, RoleHistory]:
    """By slot: its starts, those after `since` that nobody but the role is to blame for, and when it was last seen."""
    found: dict[str, RoleHistory] = {}
    for resource in resources:
        if resource.kind == PROCESS:
            old = found.get(slot_of(resource), RoleHistory())
            in_vain = resource.intended_at > since and resource.cause not in NOBODYS_FAULT
            found[slot_of(resource)] = RoleHistory(
                starts=old.starts + 1,
                restarts_without_progress=old.restarts_without_progress + (1 if in_vain else 0),
                last_seen=resource.gone_at or resource.live_at,
            )
    return found


def restarts_without_progress(run: OpenRun) -> dict[str, int]:
    """How often each slot has been started since the run last made progress."""
    return {slot: past.restarts_without_progress for slot, past in Recorder(run).history().items()}


class Recorder:
    """The ledger's side of one run under watch."""

    def __init__(self, run: OpenRun) -> None:
        self.run, self.ledger = run, run.ledger
        row = self.ledger.get_run(run.run_id)
        wanted = self.ledger.events(run.run_id, kind="wanted")
        self.times_wanted = len(wanted)
        """How often the run was asked for."""
        self.wanted_at = max([row.created_at, *(event.at for event in wanted)])
        """When the run was last asked for: what went wrong before that is forgiven."""
        self._last_step_at = last.at if (last := self.ledger.last_step(run.run_id)) else row.created_at
        self._prices = UsagePrices(run.plan)
        self._missed: dict[str, tuple[datetime, datetime]] = {}
        """By resource: the first and the last observation that did not show it."""
        self._reread: tuple[int, datetime] | None = None
        """Of reports that were cut: up to where they are read again, and after when their costs count."""

    def read_reports(self) -> bool:
        """New job reports into the ledger, many in one transaction, with the position up to which they are read.

        Whether there may be more.  A report whose clock is wrong is dated by ours; one that says nothing is named.
        """
        run, row = self.run, self.ledger.get_run(self.run.run_id)
        begin, now = self._begin(row), run.clock.now()
        end, steps, phases, costs, progress = begin, [], [], [], None
        for position, line in run.folder.report_lines(begin, most=REPORTS_AT_ONCE):
            end, report = position, read_report(line)
            if isinstance(report, str):
                self._report_problem(position, report)
                continue
            at = report.at if self._last_step_at <= report.at <= now else now
            if isinstance(report, CostReport):
                costs += self._cost(position, report, at)
                continue
            step = Step(
                run_id=run.run_id, stage=report.stage, step=report.step, of=report.of, at=at, metrics=report.metrics
            )
            steps.append(step)
            phases += [
                PhaseSeconds(run_id=run.run_id, stage=step.stage, phase=phase, step=step.step, seconds=seconds, at=at)
                for phase, seconds in report.phases.items()
            ]
            progress = self._last_step_at = at
        if end == row.reports_byte == begin:
            return False
        self.ledger.record_reports(
            run.run_id,
            ReportBatch(
                from_byte=row.reports_byte,
                to_byte=end,
                steps=tuple(steps),
                phases=tuple(phases),
                costs=tuple(costs),
                since=self.wanted_at,
                progress_at=None if progress is None else now,
            ),
        )
        return end > begin

    def _begin(self, row: Run) -> int:
        """Where to read on.  Reports that have become shorter are read again: steps count once by their number, costs
        by their time."""
        size = self.run.folder.reports_size()
        if size is None or size >= row.reports_byte:
            return row.reports_byte
        counted = [cost.to_at for cost in self.ledger.reported_costs(self.run.run_id)]
        self._reread = (size, max(counted, default=row.created_at))
        self._event("reports", f"{self.run.folder.reports} was cut; what was recorded stays", f"cut:{row.reports_byte}")
        return 0

    def _report_problem(self, position: int, why: str) -> None:
        """A line that counts for nothing; of those with one reason the first."""
        where = f"{self.run.folder.reports}, line {self.run.folder.report_number(position)}"
        self._event("report", f"{where} does not count, nor do more like it: {why}", f"report:{why[:200]}")

    def _cost(self, position: int, report: CostReport, at: datetime) -> list[ReportedCost]:
        """What the job says that it has used beside its machine, once."""
        run = self.run
        if self._reread is not None and position <= self._reread[0] and report.at <= self._reread[1]:
            return []
        usd_per_unit, source = self._prices.of(report)
        if usd_per_unit is not None and usd_per_unit * report.quantity > MOST_USD:
            self._report_problem(position, f"it comes to more than ${MOST_USD:,}")
            return []
        what = ": ".join(filter(None, (report.role, report.name)))  # as a plan's lines call tokens
        lines = "+".join(line.id for line in run.plan.lines if line.name == f"{what}, {report.unit}")
        own = {"role": report.role, "unit": report.unit, LINES: lines}
        intent = Intent(
            resource_id="/".join(filter(None, (run.run_id, report.role, report.cost, report.name, report.unit))),
            run_id=run.run_id,
            role=report.role,
            kind=report.cost,
            provider=report.provider or UNKNOWN_PROVIDER,
            price_source=source,
            tags={**run.ref.tags, **{f"{TAG_PREFIX}/{name}": value for name, value in own.items()}},
        )
        return [ReportedCost(intent=intent, quantity=report.quantity, usd_per_unit=usd_per_unit, usd=report.usd, at=at)]

    def present(self, observed: Observed) -> tuple[Instance, ...]:
        """What is there: what the place shows, and what was launched and may not be shown yet, or not any more.

        An instance that the ledger holds for live has gone when two complete observations and a look-up by its own
        name don't show it.  An instance that was asked to end is ending until it has gone.
        """
        shown = {i.resource_id: i for i in observed.instances if i.phase is not Phase.ENDED}
        ended = {i.resource_id: i for i in observed.instances if i.phase is Phase.ENDED}
        recorded = [r for r in self.ledger.live_resources(self.run.run_id) if r.kind != MACHINE]
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
        return not self.run.target.rented and resource.kind == MACHINE

    def _settle(self, resource: Resource, ended: Instance | None) -> None:
        """It has gone: what it has left behind is ended, too."""
        run, now = self.run, self.run.clock.now()
        left = Change(action=Action.STOP, role=resource.role, resource_id=resource.resource_id, reason="gone")
        run.target.stop(run.ref, left, force=True)
        cause = ended.cause if ended is not None else Cause.NONE
        if resource.stop_asked_at is not None:
            cause = Cause.STOPPED
        self.ledger.mark_gone(resource.resource_id, at=now, cause=cause)
        slot = slot_of(resource)
        if resource.stop_asked_at is not None:
            took = (now - resource.stop_asked_at).total_seconds()
            self._event(
                "stop", f"{slot} ended {took:.1f} s after it was asked to", f"stopped:{resource.resource_id}", slot
            )
            return
        what = "ended" if resource.state == "live" else "was never started"
        why = ": ".join(filter(None, (cause, ended.message))) if ended is not None else ""
        said = f"{slot} {what}" + (f" ({why})" if why else "")
        self._event("gone", said, f"gone:{resource.resource_id}", slot)

    def history(self) -> dict[str, RoleHistory]:
        """Starts of every slot, and how many of them brought no step."""
        since = max(self.wanted_at, self._last_step_at)
        return histories(self.ledger.resources(self.run.run_id), since=since)

    def request_machines(self, *, make: bool) -> list[MachineRequest]:
        """The nodes that the run has; make: and those that it lacks, each recorded before it is asked for.

        What is not rented is paid from here on: before the first role starts on it.
        """
        run, now = self.run, self.run.clock.now()
        resources = self.ledger.resources(run.run_id)
        alternative = self.ledger.get_run(run.run_id).alternative
        requests = run.machine_requests(resources, now, alternative=alternative)
        if not make:
            there = {resource.resource_id for resource in resources if resource.state != "gone"}
            return [request for request in requests if request.resource_id in there]
        for request in requests:
            resource = self.ledger.intend(run.machine_intent(request), at=now)
            if resource.state == "intended" and not run.target.rented:
                self.ledger.mark_live(request.resource_id, address=run.run_id, at=now)
        return requests

    def lost_machine(self, machines: Sequence[Machine]) -> bool:
        """Whether one of the machines has ended that the ledger holds for there."""
        over = {machine.resource_id for machine in machines if machine.phase is Phase.ENDED}
        return bool(over) and any(r.resource_id in over for r in self.ledger.live_resources(self.run.run_id))

    def bill(self, observed: Observed | None, *, now: datetime) -> None:
        """Each machine is paid from its allocation to its release, under its own price.

        observed: None = nobody knows what is there, and machines are paid on.
        """
        shown = {machine.resource_id: machine for machine in observed.machines} if observed else {}
        for resource in self.ledger.live_resources(self.run.run_id):
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
            if released is not None or (machine is not None and machine.phase is Phase.ENDED):
                self._release(resource, machine, at=released or now)

    def _release(self, resource: Resource, machine: Machine | None, *, at: datetime) -> None:
        cause = machine.cause if machine is not None else Cause.STOPPED
        self.ledger.settle_cost(resource.resource_id, until=at)
        self.ledger.mark_gone(resource.resource_id, at=max(at, resource.live_at or at), cause=cause)
        if cause in {Cause.NO_CAPACITY, Cause.PREEMPTED, Cause.NODE_LOST, Cause.REFUSED}:
            kind = "capacity" if cause is Cause.NO_CAPACITY else "machine"
            what = ": ".join(filter(None, (f"{slot_of(resource)}: {cause}", machine.message if machine else "")))
            alternative = self.ledger.get_run(self.run.run_id).alternative or CHOICE
            self._event(kind, what, f"{kind}:{resource.resource_id}", data={"alternative": alternative})

    def close_unwatched(self) -> None:
        """At the start of a watch, where nothing lives: machines that are paid only while the run uses them were used
        up to the last sign of life."""
        if self.run.target.rented:
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

    def _event(
        self, kind: str, message: str, identity: str, role: str | None = None, *, data: Mapping[str, int] | None = None
    ) -> None:
        self.ledger.record_event(
            self.run.run_id, kind, message, role=role, data=data, event_id=identity, at=self.run.clock.now()
        )


def _as_recorded(instance: Instance | None, resource: Resource) -> Instance:
    """An instance as the place shows it, else as the ledger knows it; ending once it was asked to."""
    phase = Phase.STARTING if instance is None else instance.phase
    index = int(slot.rpartition("-")[2]) - 1 if (slot := slot_of(resource)) != resource.role else 0
    return Instance(
        role=resource.role,
        index=index,
        resource_id=resource.resource_id,
        address=(instance.address if instance else resource.address) or "",
        started_at=instance.started_at if instance else resource.intended_at,
        phase=phase if resource.stop_asked_at is None else Phase.ENDING,
        cause=instance.cause if instance else Cause.NONE,
        message=instance.message if instance else "",
    )
