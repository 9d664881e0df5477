"""`down`: stop what runs and look at what is left.  Idempotent, from any state, with or without a supervisor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from clusterctl.errors import StateError
from clusterctl.ledger.locks import LockHeldError, run_lock
from clusterctl.ledger.rows import LIVE
from clusterctl.runs.run import OpenRun
from clusterctl.runs.watch import STOP_GRACE_SECONDS, Watch
from clusterctl.targets.base import Leftover
from clusterctl.targets.local import SUPERVISOR

POLL_SECONDS = 0.1
SUPERVISOR_LEAVES_SECONDS = 5.0
"""From the end of a run to the end of the process that has watched it."""


def end_run(run: OpenRun, *, go_on: Callable[[], bool] = lambda: True) -> bool:
    """Ends everything of the run.  A live supervisor does it; without one this process takes its place.

    go_on: asked between two acts; False leaves the rest to whoever comes next.  Whether the run has ended.
    Raises StateError when a live supervisor doesn't finish in time.
    """
    run.ledger.set_desired(run.run_id, "down")
    patience = STOP_GRACE_SECONDS * (len(run.roles) + 1)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if run.ledger.get_run(run.run_id).state not in LIVE:
            return True
        if not go_on():
            return False
        try:
            with run_lock(run.ledger, run.run_id, SUPERVISOR):
                watch = Watch(run)
                while watch.tick():
                    if not go_on():
                        return False
                    time.sleep(POLL_SECONDS)
        except LockHeldError:
            time.sleep(POLL_SECONDS)  # the supervisor holds the lock and is ending the run
    raise StateError(
        f"the supervisor of {run.run_id} has not ended the run within {patience:.0f} s",
        hint=f"`clusterctl logs {run.run_id} --role supervisor` says what it is doing; `clusterctl down` again goes on",
    )


def look(run: OpenRun) -> Sequence[Leftover]:
    """What is left of a run that has ended, after its supervisor has had time to leave."""
    deadline = time.monotonic() + SUPERVISOR_LEAVES_SECONDS
    while True:
        live = frozenset(row.run_id for row in run.ledger.runs(states=LIVE))
        left = [item for item in run.target.leftovers(live, live | {run.run_id}) if item.run_id == run.run_id]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(POLL_SECONDS)
