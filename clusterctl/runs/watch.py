"""One run under watch: each tick looks, decides and does.

It reads what is wanted (ledger), what is there (target) and what the job says (its reports), decides by `reconcile` and
`check_limits`, and does it.  A new watcher could read all of it again.  What must end is ended first; book-keeping
comes after, and what of it fails is said once and tried again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import LIVE, Run, RunState
from clusterctl.runs.capacity import next_try, refused
from clusterctl.runs.forecast import hourly_rate, usage
from clusterctl.runs.metrics import RunMetrics
from clusterctl.runs.observer import Look, Observer
from clusterctl.runs.recorder import Recorder
from clusterctl.runs.run import OpenRun
from clusterctl.targets.base import Observed, Unreachable
from clusterctl.targets.logs import last_error, note_times
from planners.runs.limits import SECONDS_PER_HOUR, LimitState, Rate, Usage, check_limits, idle_seconds
from planners.runs.offers import CHOICE, next_alternative
from planners.runs.reconcile import Action, Cause, Change, Instance, Phase, reconcile

STOP_GRACE_SECONDS = 30.0
"""From TERM, which asks a role to save its work and end, to KILL: terminationGracePeriodSeconds of Kubernetes,
KillWait of Slurm."""
WRITE_SECONDS = 1.0
"""Between two beats and two extensions of the bill: each waits for the disk."""
DEADLINE_GRACE = timedelta(seconds=60)
"""From the moment at which a limit must be reached to that at which the place ends the run by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What was last read of a run: what `hold` goes on from while the ledger is away."""

    row: Run
    used: Usage
    rate: Rate
    at: datetime


class Watch:
    """One run under watch.  Raises StateError where the ledger can't be used; then `hold`, and `tick` again."""

    def __init__(self, run: OpenRun) -> None:
        self.run, self.ledger, self.recorder = run, run.ledger, Recorder(run)
        self.observer = Observer(run.target, run.ref)
        self._metrics = RunMetrics(run)
        self._known: _Known | None = None
        self._held: tuple[str, datetime] | None = None
        """Why and when the run was ended while the ledger was away."""
        self._first, self._ending, self._nothing_lives = True, False, False
        self._released = False
        """Whether the place was asked at this tick to release all machines."""
        self._written = float("-inf")
        self._all_ready_at: datetime | None = None
        self._asked: dict[str, datetime] = {}
        """What this watcher has asked to end, by resource, and when."""

    def tick(self) -> bool:
        """Looks, decides, does.  False when the run has ended and nothing of it is left."""
        row = self.ledger.get_run(self.run.run_id)
        if row.state not in LIVE:
            return False
        if row.desired == "up" and self._ending:  # wanted again before it has ended
            self.recorder = Recorder(self.run)
        self._ending = row.desired == "down"
        self._try("job reports", lambda: self.run.target.fetch(self.run.ref))
        done = self.run.folder.result.exists()
        wanted = row.desired == "up" and not done
        look, machines_ready = self._look(wanted=wanted)
        if look.observed is None:
            self._unreachable(row, look)
            return True
        done = done or self._is_done(look.observed)
        wanted = wanted and not done
        present = self.recorder.present(look.observed)
        self._nothing_lives = not present
        if not wanted:
            self._act(present, done=done, end=row.desired == "down")
        self._keep_books(look.observed, wanted=wanted)
        if wanted and not self._stop_reason(row, present):
            self._act(present, done=False, end=False, launch=machines_ready)
        self._move(row, present, look.observed)
        if present or (self.ledger.get_run(self.run.run_id).desired == "up" and not done):
            return True
        return self._end(look.observed, done=done)

    def _look(self, *, wanted: bool) -> tuple[Look, bool]:
        """What is there, once the machines are asked for; and whether all of them are ready for roles."""
        run = self.run
        if self._first:
            look = self.observer.look()
            if look.observed is None:
                return look, False
            if not look.observed.instances:
                self.recorder.close_unwatched()
            self._first = False
        make = wanted and self._may_ask()
        leave, self._released = not wanted and self._nothing_lives, False
        requests = () if leave else self.recorder.request_machines(make=make)
        try:
            run.target.apply(run.ref, requests, make=make)
        except Unreachable as error:
            return Look(observed=None, why=error.message, since=run.clock.now()), False
        self._released = leave
        look = self.observer.look(anew=not run.target.rented)
        ready = {machine.resource_id for machine in self.observer.machines() if machine.phase is Phase.READY}
        return look, make and ready.issuperset(request.resource_id for request in requests)

    def _is_done(self, observed: Observed) -> bool:
        """Whether the place says that every role that ends by itself has done its work."""
        done = {instance.role for instance in observed.instances if instance.cause is Cause.DONE}
        ending = [role.name for role in self.run.roles if role.until_done]
        return bool(ending) and done.issuperset(ending)

    def _may_ask(self) -> bool:
        """Whether machines may be asked for: after a refusal not before its pause is over, and then for the next offer
        of the plan, if one is within what was agreed to."""
        run, now = self.run, self.run.clock.now()
        refusals = self.ledger.events(run.run_id, kind="capacity")
        if now < next_try(refusals, since=self.recorder.wanted_at):
            return False
        row, gone = self.ledger.get_run(run.run_id), refused(refusals, now=now)
        if (row.alternative or CHOICE) in gone:
            offer = next_alternative(run.plan, refused=gone, limit_usd=row.limit_usd)
            if offer is not None:
                self.ledger.set_alternative(run.run_id, offer.number)
                said = f"no capacity for what it has asked for: it goes on with {offer.fleet} in {offer.region}"
                self._event("offer", said, f"offer:{len(refusals)}")
        return True

    def _act(self, present: Sequence[Instance], *, done: bool, end: bool, launch: bool = False) -> None:
        """Does what must be done.  launch: there are machines to launch on."""
        run, now = self.run, self.run.clock.now()
        decided = reconcile(
            run.roles, present, run_id=run.run_id, history=self.recorder.history(), done=done, now=now, end=end
        )
        for change in decided.changes:
            if launch or change.action is not Action.LAUNCH:
                self._do(change)
        self._end_late(present, now)
        if decided.failed and not end:
            self.ledger.set_desired(run.run_id, "down", note="failed: " + self._why(decided.failed))

    def _do(self, change: Change) -> None:
        """One act: intent before, result after."""
        run, ledger, now = self.run, self.ledger, self.run.clock.now()
        if change.action is Action.STOP:
            try:
                run.target.stop(run.ref, change, force=False)
            except Unreachable:
                return  # asked again at the next tick
            self._asked.setdefault(change.resource_id, now)
            if any(resource.resource_id == change.resource_id for resource in ledger.live_resources(run.run_id)):
                ledger.ask_stop(change.resource_id, at=now)
            self._event("stop", f"{change.role}: {change.reason}", f"stop:{change.resource_id}", change.role)
        elif change.action is Action.LAUNCH:
            ledger.intend(run.instance_intent(change.resource_id, change.role), at=now)
            try:
                address = run.target.launch(run.ref, change, run.jobs[change.role])
            except Unreachable as error:  # it may have been launched: the place will show it, or not
                self._event("launch", f"{change.role}: {error}", f"unsure:{change.resource_id}", change.role)
                return
            except ClusterctlError as error:
                self._event("launch", f"{change.role}: {error}", f"refused:{change.resource_id}", change.role)
                ledger.mark_gone(change.resource_id, at=now, cause="refused")
                return
            ledger.mark_live(change.resource_id, address=address, at=now)
            self._event("launch", f"{change.role}: {change.reason}", f"launch:{change.resource_id}", change.role)

    def _end_late(self, present: Sequence[Instance], now: datetime) -> None:
        """What was asked to end and has not within its grace is ended."""
        asked = {r.resource_id: r.stop_asked_at for r in self.ledger.live_resources(self.run.run_id)}
        for instance in present:
            asked_at = asked.get(instance.resource_id) or self._asked.get(instance.resource_id)
            if asked_at is None or (now - asked_at).total_seconds() < STOP_GRACE_SECONDS:
                continue
            with contextlib.suppress(Unreachable):  # again at the next tick
                self.run.target.stop(self.run.ref, _stop_of(instance, "late"), force=True)
            said = f"{instance.slot} was killed: it did not end within {STOP_GRACE_SECONDS:.0f} s"
            self._event("stop", said, f"killed:{instance.resource_id}", instance.slot)

    def _keep_books(self, observed: Observed, *, wanted: bool) -> None:
        """Job reports, bill, beat, times of the logs, metrics: now or when it is time."""
        run = self.run
        self.recorder.read_reports()
        if time.monotonic() - self._written < WRITE_SECONDS and not self.recorder.lost_machine(observed.machines):
            return
        self._written = time.monotonic()
        now = self._held[1] if self._held else run.clock.now()
        self.recorder.bill(observed, now=now)
        beat = run.clock.beat()
        self.ledger.beat(run.run_id, at=beat.at, boot_id=beat.boot_id, uptime_seconds=beat.uptime_seconds)
        self._try("folder", lambda: self._renew(wanted=wanted))
        self._try("times of the logs", lambda: note_times(run.folder.logs, now))
        self._metrics.update()

    def _renew(self, *, wanted: bool) -> None:
        """The moment from which on the place ends the run by itself."""
        if wanted:
            self.run.folder.ended.unlink(missing_ok=True)
        now = self.run.clock.now()
        self.run.target.set_deadline(self.run.ref, self._deadline(), now)

    def _deadline(self) -> datetime | None:
        """When the first limit is reached at the present rate, and a grace; None without a limit that can be."""
        known = self._known
        if known is None:
            return None
        hours_left = []
        if known.row.limit_hours is not None:
            hours_left.append(known.row.limit_hours - known.used.hours)
        if known.row.limit_usd is not None and known.rate.known_usd_per_hour:
            hours_left.append((known.row.limit_usd - known.used.known_usd) / known.rate.known_usd_per_hour)
        if not hours_left:
            return None
        with contextlib.suppress(OverflowError):
            return known.at + timedelta(hours=float(max(min(hours_left), Decimal(0)))) + DEADLINE_GRACE
        return None

    def _stop_reason(self, row: Run, present: Sequence[Instance]) -> str:
        """Why the run must end now: its limits, or that nothing happens; empty while it may go on.  Warns at 80 %."""
        run, now = self.run, self.run.clock.now()
        used = usage(self.ledger, run.run_id)
        self._known = _Known(row=row, used=used, rate=hourly_rate(self.ledger, run.run_id), at=now)
        check = check_limits(used, limit_usd=row.limit_usd, limit_hours=row.limit_hours)
        if check.standing is LimitState.WARN:
            self._event("warn", check.reason, f"warn:{row.limit_usd}:{row.limit_hours}")
        patience = idle_seconds(run.spec.limits.idle_minutes, run.planned_step_seconds)
        idle = self._idle_seconds(row, present, now)
        reason = ""
        if not run.folder.path.is_dir():
            reason = f"failed: its folder {run.folder.path} has been deleted"
        elif self._held is not None:
            reason = self._held[0]
        elif check.standing is LimitState.STOP:
            reason = check.reason
        elif idle is not None and idle > patience:
            reason = f"idle: no step for {patience / 60:.3g} minutes"
        if reason:
            self._event("limit", reason, "limit")
            self.ledger.set_desired(run.run_id, "down", note=reason)
        return reason

    def _idle_seconds(self, row: Run, present: Sequence[Instance], now: datetime) -> float | None:
        """How long no step was done, counted while all vital roles are ready; None while one is not."""
        ready = {instance.role for instance in present if instance.phase is Phase.READY}
        if not all(role.name in ready for role in self.run.roles if role.vital):
            self._all_ready_at = None
            return None
        self._all_ready_at = self._all_ready_at or now
        since = max(row.progress_at or self.recorder.wanted_at, self.recorder.wanted_at, self._all_ready_at)
        return (now - since).total_seconds()

    def _move(self, row: Run, present: Sequence[Instance], observed: Observed) -> None:
        """The run's state, where it changes before its end."""
        state: RunState = row.state
        if self.ledger.get_run(self.run.run_id).desired == "down":
            state = "stopping"
        elif any(instance.phase in {Phase.STARTING, Phase.READY} for instance in present):
            state = "running"
        elif Phase.QUEUED in {*(i.phase for i in present), *(m.phase for m in observed.machines)}:
            state = "queued"
        elif any(machine.phase is Phase.STARTING for machine in observed.machines):
            state = "provisioning"
        if state != row.state:
            self.ledger.set_state(self.run.run_id, state, at=self.run.clock.now())

    def _end(self, observed: Observed, *, done: bool) -> bool:
        """Nothing lives any more: once the machines are released, closes bill and run."""
        run = self.run
        while self.recorder.read_reports():  # a job that was asked to end may have finished its step
            pass
        if not self._released or any(machine.phase is not Phase.ENDED for machine in observed.machines):
            return True
        now = self._held[1] if self._held else run.clock.now()
        self.recorder.bill(observed, now=now)
        if self.ledger.live_resources(run.run_id):
            return True  # a machine that was asked for and may yet appear
        row = self.ledger.get_run(run.run_id)
        if row.desired == "up" and not done:
            return True  # wanted again meanwhile
        state: RunState = "finished" if done else "failed" if row.note.startswith("failed") else "stopped"
        self._try("times of the logs", lambda: note_times(run.folder.logs, run.clock.now()))
        self._try("folder", run.folder.ended.touch)  # a folder that a run leaves without a word is up for `sweep`
        self.ledger.set_state(run.run_id, state, at=run.clock.now())
        self._event("end", f"the run has {state}", f"end:{state}")
        return False

    def _unreachable(self, row: Run, look: Look) -> None:
        """Nothing is known of what is there: nothing changes but that the limits hold, and what was there is paid."""
        self._event("unreachable", look.why, f"unreachable:{look.since.isoformat()}")
        if row.desired == "up":
            self._stop_reason(row, ())
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self._written = time.monotonic()
            self.recorder.bill(None, now=self.run.clock.now())
            beat = self.run.clock.beat()
            self.ledger.beat(self.run.run_id, at=beat.at, boot_id=beat.boot_id, uptime_seconds=beat.uptime_seconds)

    def hold(self) -> None:
        """While the ledger can't be used: ends everything as soon as a limit must have been reached."""
        known = self._known
        if known is None:
            return
        run, now = self.run, self.run.clock.now()
        with contextlib.suppress(ClusterctlError, OSError):
            run.target.home.note(run.run_id)
            run.target.set_deadline(run.ref, self._deadline(), now)
        hours = Decimal(str((now - known.at).total_seconds())) / SECONDS_PER_HOUR
        used = replace(
            known.used,
            hours=known.used.hours + hours,
            known_usd=known.used.known_usd + hours * known.rate.known_usd_per_hour,
        )
        check = check_limits(used, limit_usd=known.row.limit_usd, limit_hours=known.row.limit_hours)
        if check.standing is not LimitState.STOP:
            return
        self._held = self._held or (f"{check.reason}, while the ledger was away", now)
        look = self.observer.look(anew=True)
        roles = {role.name: role for role in run.target.roles(run.plan)}
        instances = look.observed.instances if look.observed else ()
        needed = {name for instance in instances if instance.role in roles for name in roles[instance.role].after}
        for instance in instances:
            if instance.role not in needed:
                asked_at = self._asked.setdefault(instance.resource_id, now)
                late = (now - asked_at).total_seconds() >= STOP_GRACE_SECONDS
                if late or asked_at == now:
                    with contextlib.suppress(ClusterctlError):
                        run.target.stop(run.ref, _stop_of(instance, "the limit is reached"), force=late)

    def _why(self, failed: str) -> str:
        """With what the role said last: where to look is worth more than that it failed."""
        said = last_error(self.run.folder.logs / f"{failed.split(maxsplit=1)[0]}.log")
        return f"{failed}: {said}" if said else failed

    def _try(self, what: str, act: Callable[[], object]) -> None:
        """Book-keeping in the run's folder, which the job can have made unusable: said once, and tried again."""
        try:
            act()
        except (ClusterctlError, OSError, ValueError) as error:
            self._event("problem", f"the {what} of the run can't be kept: {error}", f"problem:{what}:{error}")

    def _event(self, kind: str, message: str, identity: str, role: str | None = None) -> None:
        """Once for each time that the run was asked for."""
        event_id = f"{identity}:{self.run.run_id}:{self.recorder.times_wanted}"
        self.ledger.record_event(self.run.run_id, kind, message, role=role, event_id=event_id, at=self.run.clock.now())


def _stop_of(instance: Instance, reason: str) -> Change:
    return Change(
        action=Action.STOP,
        role=instance.role,
        index=instance.index,
        resource_id=instance.resource_id,
        address=instance.address,
        reason=reason,
    )
