"""How long a run has done nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from clusterctl.ledger.rows import Run
from clusterctl.runs.run import OpenRun
from planners.runs.limits import idle_seconds
from planners.runs.reconcile import Instance, InstancePhase


class Idleness:
    """Ask at each tick: it counts while all vital roles are ready, and begins anew when one was not."""

    def __init__(self, run: OpenRun) -> None:
        self._run = run
        self._all_ready_at: datetime | None = None

    def too_long(self, row: Run, present: Sequence[Instance], *, since: datetime) -> str:
        """`idle: no step for 30 minutes`; empty where that is allowed.  since: when the run was asked for."""
        run, now = self._run, self._run.clock.now()
        ready = {instance.role for instance in present if instance.phase is InstancePhase.READY}
        if not all(role.name in ready for role in run.roles if role.vital):
            self._all_ready_at = None
            return ""
        self._all_ready_at = self._all_ready_at or now
        idle = (now - max(row.progress_at or since, since, self._all_ready_at)).total_seconds()
        patience = idle_seconds(run.spec.limits.idle_minutes, run.planned_step_seconds)
        return f"idle: no step for {patience / 60:.3g} minutes" if idle > patience else ""
