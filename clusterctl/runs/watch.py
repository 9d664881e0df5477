"""One run under watch: each tick looks, decides and does.

It reads what is wanted (ledger), what is there (target) and what the job says (marks), decides by `reconcile` and
`judge`, and does it.  A new watcher could read all of it again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import LIVE, Run, RunState
from clusterctl.runs.forecast import usage
from clusterctl.runs.recorder import Records
from clusterctl.runs.run import OpenRun
from clusterctl.targets.log_times import last_error, note_times
from clusterctl.telemetry.run_metrics import RunMetrics
from planners.runs.limits import SECONDS_PER_HOUR, LimitState, Usage, check_limits, idle_seconds
from planners.runs.reconcile import Action, Change, Instance, reconcile

STOP_GRACE_SECONDS = 30.0
"""From TERM, which asks a role to save its work and end, to KILL: terminationGracePeriodSeconds of Kubernetes,
KillWait of Slurm."""
WRITE_SECONDS = 1.0
"""Between two beats and two extensions of the bill: each waits for the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """The run was ended while the ledger was away."""

    reason: str
    at: datetime


class Watch:
    """One run under watch.  Raises StateError where the ledger can't be used; then `hold`, and `tick` again."""

    def __init__(self, run: OpenRun) -> None:
        self.run, self.ledger, self.records = run, run.ledger, Records(run)
        self._metrics = RunMetrics(run)
        self._known: tuple[Run, Usage, datetime] | None = None
        """The run as last read, its use, and when: what `hold` goes on from."""
        self._cut: _Cut | None = None
        self._ending = False
        self._written = float("-inf")
        self._warned: object = None

    def tick(self) -> bool:
        """Looks, decides, does.  False when the run has ended and nothing of it is left."""
        run, records = self.run, self.records
        row = self.ledger.get_run(run.run_id)
        if row.state not in LIVE:
            return False
        if row.desired == "up" and self._ending:  # wanted again before it has ended
            records = self.records = Records(run)
        self._ending = row.desired == "down"
        lost = not run.folder.plan.exists()
        run.folder.path.mkdir(parents=True, exist_ok=True)
        run.folder.ended.unlink(missing_ok=True)
        records.read_marks()
        seen = run.target.observe(run.ref)
        records.settle_gone(seen)
        done = run.folder.result.exists()
        self._write(seen, held=row.desired == "up" and not done)
        reason = self._stop_reason(row, lost=lost) if row.desired == "up" and not done else ""
        up = row.desired == "up" and not reason
        decided = reconcile(
            run.roles, seen, run_id=run.run_id, past=records.past(), done=done, now=run.clock.now(), end=not up
        )
        self._move(row, live=bool(seen))
        for change in decided.changes:
            self._do(change)
        if decided.failed:
            up = False
            self.ledger.set_desired(run.run_id, "down", note="failed: " + self._why(decided.failed))
        live = seen if decided.settled else run.target.observe(run.ref)
        if live or (up and not done):
            self._write(live, held=up and not done, at_once=not decided.settled)
            return True
        records.read_marks()  # a job that was asked to end may have finished its step
        records.settle_gone(live)  # and one that was seen may have ended by itself
        records.bill(live, held=False, now=self._cut.at if self._cut else run.clock.now())
        row = self.ledger.get_run(run.run_id)
        if row.desired == "up" and not done:
            return True  # wanted again meanwhile
        self._end("finished" if done else "failed" if row.note.startswith("failed") else "stopped")
        return False

    def hold(self) -> None:
        """While the ledger can't be used: ends everything as soon as a limit must have been reached."""
        if self._known is None or self._cut is not None:
            return
        run, (row, use, at) = self.run, self._known
        hours = Decimal(str((run.clock.now() - at).total_seconds())) / SECONDS_PER_HOUR
        dollars = hours * (run.usd_per_hour or Decimal(0))  # what has no known price is no proof
        use = replace(use, hours=use.hours + hours, known_usd=use.known_usd + dollars)
        verdict = check_limits(use, limit_usd=row.limit_usd, limit_hours=row.limit_hours)
        if verdict.standing is LimitState.STOP:
            seen = run.target.observe(run.ref)
            ends = reconcile(run.roles, seen, run_id=run.run_id, past={}, done=False, now=at, end=True)
            for change in ends.changes:
                run.target.stop(run.ref, change, grace_seconds=STOP_GRACE_SECONDS)
            self._cut = _Cut(reason=f"{verdict.reason}, while the ledger was away", at=run.clock.now())
        with contextlib.suppress(ClusterctlError):  # a full disk; the time counts in memory
            run.clock.beat()

    def _write(self, live: Sequence[Instance], *, held: bool, at_once: bool = False) -> None:
        """Bill, beat and the times of the logs, now or when it is time."""
        if not at_once and time.monotonic() - self._written < WRITE_SECONDS:
            return
        now = self.run.clock.now()
        self.records.bill(live, held=held and self._cut is None, now=self._cut.at if self._cut else now)
        self.run.clock.beat()
        self._metrics.update()
        note_times(self.run.folder.logs, now)
        self._written = time.monotonic()

    def _stop_reason(self, row: Run, *, lost: bool) -> str:
        """Why the run must end now: its limits, or that nothing happens; empty while it may go on.  Warns at 80 %."""
        run, now = self.run, self.run.clock.now()
        use = usage(self.ledger, run.run_id)
        self._known = (row, use, now)
        verdict = check_limits(use, limit_usd=row.limit_usd, limit_hours=row.limit_hours)
        limits = (row.limit_usd, row.limit_hours)
        if verdict.standing is LimitState.WARN and self._warned != limits:
            self._warned = limits
            self._event("warn", verdict.reason, f"warn:{limits}")
        patience = idle_seconds(run.spec.limits.idle_minutes, run.planned_step_seconds)
        idle_since = max(run.clock.progress_at or self.records.wanted_at, self.records.wanted_at)
        reason = ""
        if lost:
            reason = f"failed: its folder {run.folder.path} has been deleted"
        elif self._cut is not None:
            reason = self._cut.reason
        elif verdict.standing is LimitState.STOP:
            reason = verdict.reason
        elif (now - idle_since).total_seconds() > patience:
            reason = f"idle: no step for {patience / 60:.3g} minutes"
        if reason:
            self._event("limit", reason, "limit")
            self.ledger.set_desired(run.run_id, "down", note=reason)
        return reason

    def _move(self, row: Run, *, live: bool) -> None:
        """The run's state, where it changes before its end."""
        state: RunState = "stopping" if row.desired == "down" else "running" if live else row.state
        if state != row.state:
            self.ledger.set_state(self.run.run_id, state, at=self.run.clock.now())

    def _do(self, change: Change) -> None:
        """One act: intent before, result after."""
        run, ledger = self.run, self.ledger
        if change.action is Action.KEEP:
            return
        if change.action is Action.STOP:
            began = time.monotonic()
            itself = run.target.stop(run.ref, change, grace_seconds=STOP_GRACE_SECONDS)
            ledger.mark_gone(change.resource_id, at=run.clock.now())
            took = f"{time.monotonic() - began:.1f} s"
            how = f"ended {took} after it was asked to" if itself else f"killed, for it did not end within {took}"
            self._event("stop", f"{change.role}: {change.reason}; {how}", f"stop:{change.resource_id}", change.role)
            return
        ledger.intend(run.intent(change.resource_id, change.role), at=run.clock.now())
        address = run.target.launch(run.ref, change, run.jobs[change.role])
        ledger.mark_live(change.resource_id, address=address, at=run.clock.now())
        self._event("launch", f"{change.role}: {change.reason}", f"launch:{change.resource_id}", change.role)

    def _why(self, failed: str) -> str:
        """With what the role said last: where to look is worth more than that it failed."""
        said = last_error(self.run.folder.logs / f"{failed.split(maxsplit=1)[0]}.log")
        return f"{failed}: {said}" if said else failed

    def _end(self, state: RunState) -> None:
        """The folder says so first: a folder that a run has left behind without a word is up for `sweep`."""
        note_times(self.run.folder.logs, self.run.clock.now())
        self.run.folder.ended.touch()
        self.ledger.set_state(self.run.run_id, state, at=self.run.clock.now())
        self._event("end", f"the run has {state}", f"end:{state}")

    def _event(self, kind: str, message: str, identity: str, role: str | None = None) -> None:
        """Once for each time that the run was asked for."""
        event_id = f"{identity}:{self.run.run_id}:{self.records.stretch}"
        self.ledger.record_event(self.run.run_id, kind, message, role=role, event_id=event_id, at=self.run.clock.now())
