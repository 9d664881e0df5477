"""Watches one run until it has ended: `python -m clusterctl.run.supervisor STORE RUN`.  Detached; needs no
terminal.

Each tick reads what is wanted (ledger), what is there (target) and what the job says (marks), decides by `reconcile`
and `judge`, and
does it.  Nothing is remembered between ticks that a new supervisor could not read again.
"""

from __future__ import annotations

import contextlib
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.ledger import open_ledger
from clusterctl.ledger.locks import LockHeldError, run_lock
from clusterctl.ledger.rows import LIVE
from clusterctl.run.runs import NODE, open_run
from planners.run.money import Standing, Use, judge
from planners.run.reconcile import Action, Change, Past, reconcile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clusterctl.ledger.rows import RunState
    from clusterctl.run.runs import OpenRun
    from planners.run.reconcile import Instance

TICK_SECONDS = 0.25
STOP_GRACE_SECONDS = 10.0
IDLE_STOP_SECONDS = 1800.0
"""A run whose job reports no step for this long is stopped: machines that wait for nothing cost the same."""
SECONDS_PER_HOUR = Decimal(3600)


class Supervisor:
    """One run under watch."""

    def __init__(self, run: OpenRun) -> None:
        self.run = run
        self.ledger = run.ledger
        self._position = 0
        self._progress_at: datetime | None = None
        self._warned = False

    def tick(self) -> bool:
        """Looks, decides, does.  False when the run has ended and nothing of it is left."""
        run, now = self.run, self.run.clock.now()
        row = self.ledger.get_run(run.run_id)
        if row.state not in LIVE:
            return False
        self._read_marks()
        seen = run.target.observe(run.ref)
        self._settle_gone(seen)
        done = run.folder.result.exists()
        wanted = run.target.roles() if row.desired == "up" else ()
        decided = reconcile(wanted, seen, run_id=run.run_id, past=self._past(), done=done, now=now)
        for change in decided.changes:
            self._do(change)
        if decided.failed:
            self.ledger.set_desired(run.run_id, "down", note=decided.failed)
        live = run.target.observe(run.ref)
        if live and row.state == "wanted":
            self.ledger.set_state(run.run_id, "running", at=now)
        self._bill(live)
        if row.desired == "up" and not done:
            self._watch_limits()
        run.clock.beat()
        if live or (row.desired == "up" and not done):
            return True
        self._read_marks()  # a job that was asked to end may have finished its step
        self._end("finished" if done else "failed" if decided.failed or row.note.startswith("failed") else "stopped")
        return False

    def _do(self, change: Change) -> None:
        """One act: intent before, result after."""
        run, ledger = self.run, self.ledger
        if change.action is Action.KEEP:
            return
        if change.action is Action.STOP:
            run.target.stop(run.ref, change, grace_seconds=STOP_GRACE_SECONDS)
            ledger.mark_gone(change.resource_id, at=run.clock.now())
            ledger.record_event(run.run_id, "stop", f"{change.role}: {change.reason}", role=change.role,
                                event_id=f"stop:{change.resource_id}")  # fmt: skip
            return
        ledger.intend(run.intent(change.resource_id, change.role), at=run.clock.now())
        address = run.target.launch(run.ref, change, run.jobs[change.role])
        ledger.mark_live(change.resource_id, address=address, at=run.clock.now())
        ledger.record_event(run.run_id, "launch", f"{change.role}: {change.reason}", role=change.role,
                            event_id=f"launch:{change.resource_id}")  # fmt: skip

    def _settle_gone(self, seen: Sequence[Instance]) -> None:
        """Resources that the ledger holds for live and the target does not see have gone."""
        ids = {instance.resource_id for instance in seen}
        for resource in self.ledger.live_resources(self.run.run_id):
            if resource.role != NODE and resource.resource_id not in ids:
                left = Change(action=Action.STOP, role=resource.role, resource_id=resource.resource_id, reason="gone")
                self.run.target.stop(self.run.ref, left, grace_seconds=0.0)
                self.ledger.mark_gone(resource.resource_id, at=self.run.clock.now())
                self.ledger.record_event(self.run.run_id, "gone", f"{resource.role} ended", role=resource.role,
                                         event_id=f"gone:{resource.resource_id}")  # fmt: skip

    def _past(self) -> dict[str, Past]:
        """Starts of every role, and how many of them brought no step."""
        past: dict[str, Past] = {}
        progress = self.ledger.last_step_at(self.run.run_id)
        for resource in self.ledger.resources(self.run.run_id):
            if resource.role == NODE:
                continue
            old = past.get(resource.role, Past())
            fruitless = old.fruitless + (1 if progress is None or resource.intended_at > progress else 0)
            past[resource.role] = Past(
                starts=old.starts + 1, fruitless=fruitless, last_seen=resource.gone_at or resource.live_at
            )
        return past

    def _read_marks(self) -> None:
        """New marks into the ledger; a step that is known already changes nothing."""
        for position, mark in self.run.folder.marks(self._position):
            self.ledger.record_step(
                self.run.run_id, mark.stage, mark.step, of=mark.of, at=mark.at, metrics=mark.metrics
            )
            for phase, seconds in mark.phases.items():
                self.ledger.record_phase(self.run.run_id, mark.stage, phase, mark.step, seconds=seconds, at=mark.at)
            self._position = position
            self._progress_at = self.run.clock.now()

    def _bill(self, live: Sequence[Instance]) -> None:
        """The node is paid from the first live role to the last; between two watchers, to the last sign of life."""
        run, node = self.run, self.run.node_id
        known = {resource.resource_id: resource for resource in self.ledger.resources(run.run_id)}
        if live and node not in known:
            self.ledger.intend(run.intent(node, NODE), at=run.clock.now())
            self.ledger.mark_live(node, address=run.run_id, at=run.clock.now())
        if live:
            self.ledger.extend_cost(node, until=run.clock.now())
        elif node in known and known[node].gone_at is None:
            until = self._last_sign()
            self.ledger.extend_cost(node, until=until)
            self.ledger.mark_gone(node, at=until)

    def _last_sign(self) -> datetime:
        """When the run was last known to live: a beat of a watcher or anything the job wrote, never later than now."""
        sign, beat = self.run.folder.last_sign(), self.run.clock.last
        signs = [moment for moment in (sign, beat.at if beat else None) if moment is not None]
        return min(max(signs, default=self.run.clock.now()), self.run.clock.now())

    def _watch_limits(self) -> None:
        """Warn at 80 %, stop at 100 %; stop what reports nothing for too long."""
        run = self.run
        bill = self.ledger.bill(run.run_id)
        started = self.ledger.get_run(run.run_id).started_at or run.clock.now()
        use = Use(
            hours=Decimal(str((run.clock.now() - started).total_seconds())) / SECONDS_PER_HOUR,
            priced_usd=bill.known_usd, unpriced=tuple(bill.unpriced),
        )  # fmt: skip
        verdict = judge(use, limit_usd=run.limit_usd, limit_hours=run.limit_hours)
        if verdict.standing is Standing.WARN and not self._warned:
            self._warned = True
            self.ledger.record_event(run.run_id, "warn", verdict.reason, event_id=f"warn:{run.run_id}")
        if verdict.standing is Standing.STOP:
            self._stop(verdict.reason)
        idle_since = self._progress_at or started
        if (run.clock.now() - idle_since).total_seconds() > IDLE_STOP_SECONDS:
            self._stop(f"no step for {IDLE_STOP_SECONDS / 60:.0f} minutes")

    def _stop(self, reason: str) -> None:
        self.ledger.record_event(self.run.run_id, "limit", reason, event_id=f"limit:{self.run.run_id}")
        self.ledger.set_desired(self.run.run_id, "down", note=reason)

    def _end(self, state: RunState) -> None:
        run = self.run
        self.ledger.set_state(run.run_id, state, at=run.clock.now())
        self.ledger.record_event(run.run_id, "end", f"the run has {state}", event_id=f"end:{run.run_id}:{state}")
        run.folder.ended.touch()


def supervise(store: Path, run_id: str) -> None:
    """Ticks until the run has ended.  A second supervisor of the same run leaves at once."""
    with open_ledger() as ledger, contextlib.suppress(LockHeldError), run_lock(ledger, run_id, "supervisor"):
        supervisor = Supervisor(open_run(ledger, store, run_id))
        while supervisor.tick():
            time.sleep(TICK_SECONDS)


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), sys.argv[2])
