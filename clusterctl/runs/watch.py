"""One run under watch: each tick looks, decides and does.

It reads what is wanted (ledger), what is there (target) and what the job says (its reports), decides by `reconcile` and
`check_limits`, and does it.  A new watcher could read all of it again.  What must end is ended first; book-keeping
comes after, and what of it fails is said once and tried again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import LIVE, Run, RunState
from clusterctl.runs.alert_process import AlertProcess
from clusterctl.runs.apply_changes import ChangeApplier
from clusterctl.runs.capacity import offer_of
from clusterctl.runs.idleness import Idleness
from clusterctl.runs.limit_guard import LimitGuard
from clusterctl.runs.metrics import RunMetrics
from clusterctl.runs.observer import Observer
from clusterctl.runs.recorder import Recorder
from clusterctl.runs.replanning import in_force
from clusterctl.runs.run import OpenRun
from clusterctl.runs.standing import what_stays
from clusterctl.runs.waiting import stage_of, waiting_machines
from clusterctl.targets.base import Observed, Unreachable
from clusterctl.targets.role_logs import last_error, note_times
from clusterctl.targets.wishes import Wish, heed
from planners.runs.limits import STANDING, LimitState
from planners.runs.reconcile import Cause, Instance, InstancePhase, reconcile

ENDS, REPLACED = "the run is to end", "its plan is another; it goes on from what it saves"
"""Why all roles are asked to end."""
WRITE_SECONDS = 1.0
"""Between two beats and two extensions of the bill: each waits for the disk."""


class Watch:
    """One run under watch.  Raises StateError where the ledger can't be used; then `hold`, and `tick` again."""

    def __init__(self, run: OpenRun) -> None:
        self.ledger, self.limits = run.ledger, LimitGuard(run)
        self._alerts = AlertProcess(run.folder.path.parent.parent)
        self._at(in_force(run))
        self._first, self._ending = True, False
        self._unreachable_since: datetime | None = None
        self._written = float("-inf")
        self._wish: Wish | None = None
        """One that is not in the ledger yet."""

    def tick(self) -> bool:
        """Looks, decides, does.  False when the run has ended and nothing of it is left."""
        self._try("wishes", self._heed)
        row = self.ledger.get_run(self.run.run_id)
        if row.state not in LIVE:
            return False
        replaced = row.plan_id != self.run.plan.id
        if replaced and (following := in_force(self.run)).plan.id != self.run.plan.id:
            self._at(following)
            replaced = row.plan_id != self.run.plan.id
        down = row.desired == "down"
        if not down and self._ending:  # wanted again before it has ended
            self.recorder = Recorder(self.run)
        self._ending = down
        self._try("job reports", lambda: self.run.target.fetch(self.run.ref))
        done = self.run.ref.result.exists()
        try:
            observed, machines_ready = self._look(row, wanted=not (down or done or replaced), leave=down or done)
        except Unreachable as error:
            self._pay_on(row, error.message)
            return True
        self._unreachable_since = None
        done = done or self._is_done(observed)
        wanted = not (down or done or replaced)
        present = self.recorder.present(observed)
        self._nothing_lives = not present
        if not wanted:
            self._act(present, done=done, end=down or replaced, why_end=ENDS if down else REPLACED)
        self._keep_books(row, observed, wanted=wanted)
        if wanted:
            down = self._must_stop(row, present) or self._act(present, launch=machines_ready)
        for kind, text, identity in waiting_machines(observed):
            self._event(kind, text, identity)
        state = "stopping" if down else stage_of(present, observed) or row.state
        if state != row.state:
            self.ledger.set_state(row.run_id, state, at=self.run.clock.now())
        if present or replaced or not (down or done):
            return True
        return self._end(observed, done=done)

    def _heed(self) -> None:
        """Does what people elsewhere wish.  Raises ClusterctlError for what is no wish."""
        home = self.run.target.home
        self._wish = home.wished(self.run.run_id) or self._wish
        if self._wish is not None:
            if self._wish.plan_id not in {"", self.run.plan.id}:
                home.bring_plan(self.ledger, self.run.run_id, self._wish.plan_id)
            heed(self.ledger, self.run.run_id, self._wish, at=self.run.clock.now())
            home.heeded(self._wish)
            self._wish = None

    def _look(self, row: Run, *, wanted: bool, leave: bool) -> tuple[Observed, bool]:
        """What is there, once the machines are asked for; and whether all of them are ready for roles.

        leave: no machine is needed once nothing lives on it.  Raises Unreachable.
        """
        run = self.run
        if self._first:
            self._try("folder", lambda: run.folder.ended.unlink(missing_ok=True))  # before anything is made
            if not self.observer.observe().instances:
                self.recorder.close_unwatched()
            self._first = False
        offer = offer_of(run, row, since=self.recorder.wanted_at, record=self._event) if wanted else None
        leave, self._released = leave and self._nothing_lives, False
        requests = () if leave else self.recorder.request_machines(offer or row, make=offer is not None)
        run.target.apply(run.ref, requests, make=offer is not None)
        self._released = leave
        observed = self.observer.observe(anew=run.target.standing_machine is not None)
        ready = {machine.resource_id for machine in observed.machines if machine.phase is InstancePhase.READY}
        return observed, offer is not None and ready.issuperset(request.resource_id for request in requests)

    def _is_done(self, observed: Observed) -> bool:
        """Whether the place says that every role that ends by itself has done its work at this stage."""
        over = {instance.resource_id: instance for instance in observed.instances if instance.cause is Cause.DONE}
        mine = [r for r in self.ledger.resources(self.run.run_id) if r.resource_id in over] if over else []
        done = {over[r.resource_id].role for r in mine if self.recorder.is_of_stage(r)}
        ending = [role.name for role in self.run.roles if role.until_done]
        return bool(ending) and done.issuperset(ending)

    def _act(
        self,
        present: Sequence[Instance],
        *,
        done: bool = False,
        end: bool = False,
        launch: bool = False,
        why_end: str = ENDS,
    ) -> bool:
        """Does what must be done; whether the run has failed.  launch: there are machines to launch on."""
        run, now = self.run, self.run.clock.now()
        decided = reconcile(
            run.roles,
            present,
            run_id=run.run_id,
            history=self.recorder.history(),
            done=done,
            now=now,
            end=end,
            why_end=why_end,
        )
        self._applier.apply(decided.changes, present, launch=launch)
        if not decided.failed or end:
            return False
        last = last_error(run.folder.logs / f"{decided.failed.split(maxsplit=1)[0]}.log")  # what the role said last
        note = ": ".join(filter(None, ("failed", decided.failed, last)))
        self.ledger.set_desired(run.run_id, "down", note=note)
        return True

    def _keep_books(self, row: Run, observed: Observed, *, wanted: bool) -> None:
        """Job reports, bill, beat, times of the logs, metrics: now or when it is time."""
        run = self.run
        self.recorder.reports.read(row)
        if time.monotonic() - self._written < WRITE_SECONDS and not self.recorder.lost_machine(observed.machines):
            return
        now = self.limits.gone_at or run.clock.now()
        self._bill_and_beat(observed, now)
        self._try("folder", lambda: self._renew(wanted=wanted))
        self._try("times of the logs", lambda: note_times(run.folder.logs, now))
        self._metrics.update()
        self._try("watch for alerts", self._alerts.ensure)

    def _bill_and_beat(self, observed: Observed | None, now: datetime) -> None:
        self._written = time.monotonic()
        self.recorder.bill(observed, now=now)
        self.ledger.beat(self.run.run_id, self.run.clock.beat())
        self._try("mirror", lambda: self.run.target.home.keep(self.run.run_id))

    def _renew(self, *, wanted: bool) -> None:
        """The moment from which on the place ends the run by itself."""
        if wanted:
            self.run.folder.ended.unlink(missing_ok=True)
        self.run.target.set_deadline(self.run.ref, self.limits.deadline(), self.run.clock.now())

    def _must_stop(self, row: Run, present: Sequence[Instance]) -> bool:
        """Whether the run must end now: its limits, or that nothing happens.  Warns at 80%."""
        run = self.run
        check = self.limits.check(row)
        if check.standing is LimitState.WARN:
            self._event("warn", check.reason, f"warn:{row.limit_usd}:{row.limit_hours}")
        reason = self._idleness.too_long(row, present, since=self.recorder.wanted_at)
        deleted = "" if run.folder.path.is_dir() else f"its folder {run.folder.path} has been deleted"
        if failure := deleted or self.recorder.refusal:
            reason = f"failed: {failure}"
        elif self.limits.held is not None:
            reason = self.limits.held
        elif check.standing is LimitState.STOP:
            reason = check.reason
        if reason:
            self._event("limit", reason, "limit")
            self.ledger.set_desired(run.run_id, "down", note=reason)
        return bool(reason)

    def _end(self, observed: Observed, *, done: bool) -> bool:
        """Nothing lives any more: once the machines are released, closes bill and run."""
        run = self.run
        while self.recorder.reports.read(self.ledger.get_run(run.run_id)):
            pass  # a job that was asked to end may have finished its step
        if not self._released or any(machine.phase is not InstancePhase.ENDED for machine in observed.machines):
            return True
        self.recorder.bill(observed, now=self.limits.gone_at or run.clock.now())
        if any(resource.kind != STANDING for resource in self.ledger.live_resources(run.run_id)):
            return True  # a machine that was asked for and may yet appear
        row = self.ledger.get_run(run.run_id)
        if row.desired == "up" and not done:
            return True  # wanted again meanwhile
        if row.desired == "up" and (following := run.next_stage) is not None:
            self._go_on_with(following)
            return True
        done = done and run.next_stage is None
        state: RunState = "finished" if done else "failed" if row.note.startswith("failed") else "stopped"
        self._try("times of the logs", lambda: note_times(run.folder.logs, run.clock.now()))
        self._try("folder", run.folder.ended.touch)  # a folder that a run leaves without a word is up for `sweep`
        self.ledger.set_state(row.run_id, state, at=run.clock.now())
        self._event("end", f"the run has {state}", f"end:{state}")
        if stays := what_stays(self.ledger, row.run_id):
            self._event("standing", stays, "standing")
        return False

    def _go_on_with(self, stage: str) -> None:
        """The work of a stage is done, and its machines are released: the next one begins."""
        before = self.run.ref.stage
        self.run.event("stage", f"{before} is done; {stage} begins", f"stage:{stage}:{self.run.run_id}")
        self.ledger.set_stage(self.run.run_id, stage)
        self._at(self.run.at_stage(stage))

    def _at(self, run: OpenRun) -> None:
        """Watch the run at its stage.  Raises SpecError, before any machine is asked for, where no template fits it."""
        _ = run.roles
        self.run, self.recorder, self._metrics = run, Recorder(run), RunMetrics(run)
        self.observer, self._applier = Observer(run.target, run.ref), ChangeApplier(run, self._event)
        self._nothing_lives, self._idleness = False, Idleness(run)
        self._released = False  # whether the place was asked at this tick to release all machines

    def _pay_on(self, row: Run, why: str) -> None:
        """Nothing is known of what is there: nothing changes but that the limits hold, and what was there is paid."""
        since = self._unreachable_since = self._unreachable_since or self.run.clock.now()
        self._event("unreachable", why, f"unreachable:{since.isoformat()}")
        if row.desired == "up":
            self._must_stop(row, ())
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self._bill_and_beat(None, self.run.clock.now())

    def hold(self) -> None:
        """While the ledger can't be used: ends everything as soon as a limit must have been reached."""
        if self.limits.known is None:
            return
        run, now = self.run, self.run.clock.now()
        with contextlib.suppress(ClusterctlError, OSError):
            run.target.home.note(run.run_id)
            run.target.set_deadline(run.ref, self.limits.deadline(), now)
        if not self.limits.must_be_reached():
            return
        with contextlib.suppress(Unreachable):
            there = self.observer.observe(anew=True).instances
            self.limits.seen(self.run.clock.now(), there=bool(there))
            self._applier.end_all(there)

    def _try(self, what: str, act: Callable[[], object]) -> None:
        """Book-keeping in the run's folder, which the job can have made unusable: said once, and tried again."""
        try:
            act()
        except (ClusterctlError, OSError, ValueError) as error:
            self._event("problem", f"the {what} of the run can't be kept: {error}", f"problem:{what}:{error}")

    def _event(self, kind: str, message: str, identity: str, role: str | None = None) -> None:
        """Once for each time that the run was asked for."""
        self.run.event(kind, message, f"{identity}:{self.run.run_id}:{self.recorder.times_wanted}", role)
