"""`down`: stop what runs and look at what is left.  Idempotent, from any state, with or without a supervisor, whatever
the run's folder looks like; without a readable ledger what carries the run's tags is ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from clusterctl.errors import StateError
from clusterctl.ledger.locks import LockHeldError, run_lock
from clusterctl.ledger.rows import LIVE
from clusterctl.runs.apply_changes import STOP_GRACE_SECONDS
from clusterctl.runs.run import OpenRun
from clusterctl.runs.watch import Watch
from clusterctl.runs.watching import HUNG_SECONDS, Watched, fence, silent_seconds, watched
from clusterctl.targets import targets
from clusterctl.targets.base import SUPERVISOR, Leftover

POLL_SECONDS = 0.1
SUPERVISOR_LEAVES_SECONDS = 5.0
"""From the end of a run to the end of the process that has watched it."""


def end_run(run: OpenRun, *, go_on: Callable[[], bool] = lambda: True) -> bool:
    """Ends everything of the run.  A live supervisor does it; without one, or where it hangs, this process does.

    go_on: asked between two acts; False leaves the rest to whoever comes next.  Whether the run has ended.
    Raises StateError when it has not ended in time.
    """
    _want_down(run)
    patience = HUNG_SECONDS + STOP_GRACE_SECONDS * (len(run.roles) + 1)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if run.ledger.get_run(run.run_id).state not in LIVE:
            return True
        if not go_on():
            return False
        try:
            with run_lock(run.ledger, run.run_id, SUPERVISOR):
                watch = Watch(run)
                while watch.tick() and time.monotonic() < deadline:
                    if not go_on():
                        return False
                    time.sleep(POLL_SECONDS)
        except LockHeldError:
            fence(run)
            time.sleep(POLL_SECONDS)  # the supervisor that holds the lock is ending the run
    raise StateError(
        f"{run.run_id} has not ended within {patience:.0f} s",
        hint=f"`clusterctl events {run.run_id}` says what was tried; then repeat `clusterctl down {run.run_id}`",
    )


def _want_down(run: OpenRun) -> None:
    """Notes that the run is to end.  A supervisor that hangs in the middle of a write locks the ledger: it is ended.

    Raises StateError where the ledger can't be written for another reason.
    """
    deadline = time.monotonic() + HUNG_SECONDS + run.ledger.wait_seconds
    while True:
        try:
            return run.ledger.set_desired(run.run_id, "down")
        except StateError:
            beats = silent_seconds(run) < run.ledger.wait_seconds
            if beats or watched(run) is Watched.NO or time.monotonic() > deadline:
                raise
            fence(run)


def look(run: OpenRun) -> Sequence[Leftover]:
    """What is left of a run that has ended, after its supervisor has had time to leave."""
    deadline = time.monotonic() + SUPERVISOR_LEAVES_SECONDS
    while True:
        live = frozenset(row.run_id for row in run.ledger.runs(states=LIVE))
        left = [item for item in run.target.leftovers(live, live | {run.run_id}) if item.run_id == run.run_id]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(POLL_SECONDS)


def tagged_things(store: Path, text: str) -> Sequence[Leftover]:
    """What lives and carries the tags of the run with this id, or of the runs whose id begins so: without a ledger."""
    folders = store / "runs"
    names = [folder.name for folder in folders.iterdir()] if folders.is_dir() else []
    runs = frozenset([text, *(name for name in names if name.startswith(f"{text}-"))])
    left = [item for target in targets(store) for item in target.leftovers(frozenset(), runs)]
    mine = [item for item in left if item.run_id in runs and item.kind != "folder"]
    return sorted(mine, key=lambda item: item.role != SUPERVISOR)  # it would start again what is ended before it


def end_tagged(store: Path, things: Sequence[Leftover]) -> None:
    """Ends them."""
    for target in targets(store):
        for thing in things:
            target.remove(thing)
