"""`down`: stop what runs and look at what is left.  Idempotent, from any state, with or without a supervisor, whatever
the run's folder looks like; without a readable ledger what carries the run's tags is ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from clusterctl.errors import ClusterctlError, StateError
from clusterctl.ledger.locks import LockHeldError
from clusterctl.ledger.rows import LIVE
from clusterctl.runs.apply_changes import STOP_GRACE_SECONDS
from clusterctl.runs.run import OpenRun
from clusterctl.runs.watch import Watch
from clusterctl.runs.watching import Watched, ensure_watched, fence, refresh, silent_seconds, watched
from clusterctl.targets import targets
from clusterctl.targets.base import SUPERVISOR, Leftover, Unreachable
from clusterctl.targets.wishes import Wish
from planners.runs.limits import MACHINE, STANDING
from planners.runs.reconcile import Cause

POLL_SECONDS = 0.1
SUPERVISOR_LEAVES_SECONDS = 5.0
"""From the end of a run to the end of the process that has watched it."""
FORGET_SECONDS = 100.0
"""For a cloud to list no longer what has been deleted.  Assumption: AWS names no bound for its tagging API."""
ANSWER_SECONDS = 180.0
"""For the supervisor of a run that is watched elsewhere to acknowledge that it is to end: a node's start, or a short
queue.  After that the run is ended by its place, from here."""


def end_run(run: OpenRun, *, go_on: Callable[[], bool] = lambda: True) -> bool:
    """Ends everything of the run.  A live supervisor does it; without one, or where it hangs, this process does.

    go_on: asked between two acts; False leaves the rest to whoever comes next.  Whether the run has ended.
    Raises StateError when it has not ended in time.
    """
    _want_down(run)
    home, begun = run.target.home, time.monotonic()
    stops_seconds = STOP_GRACE_SECONDS * (len(run.role_names) + 1)
    patience = max(home.hung_seconds + stops_seconds, ANSWER_SECONDS + STOP_GRACE_SECONDS)
    deadline = begun + patience
    while time.monotonic() < deadline:
        there = refresh(run)
        if run.ledger.get_run(run.run_id).state not in LIVE:
            return True
        if not go_on():
            return False
        looked = home.looked(run.run_id)
        if looked is not None and not looked.heeded and time.monotonic() - begun > ANSWER_SECONDS and there:
            return _end_by_place(run)
        try:
            _end_or_wait(run, lambda: go_on() and time.monotonic() < deadline)
        except StateError:
            raise
        except Unreachable:
            pass  # it goes on there
        except ClusterctlError:  # no template launches it any more, or no supervisor can be started there
            return _end_by_place(run)
        time.sleep(POLL_SECONDS)
    refresh(run)
    if looked is not None and (looked := home.looked(run.run_id)) is not None and looked.unreachable_since:
        raise Unreachable(
            f"{run.run_id} is asked to end, and whether it has is not known: {looked.why}",
            hint=f"`clusterctl down {run.run_id}` again looks; it also ends by itself, at its limit",
        )
    raise StateError(
        f"{run.run_id} has not ended within {patience:.0f} s",
        hint=f"`clusterctl events {run.run_id}` says what was tried; then repeat `clusterctl down {run.run_id}`",
    )


def _end_or_wait(run: OpenRun, go_on: Callable[[], bool]) -> None:
    """Ends the run here; one that a supervisor watches is left to it, and one that hangs is replaced."""
    home = run.target.home
    try:
        with home.may_take_over(run.ledger, run.run_id):
            watch = Watch(run)
            while watch.tick() and go_on():
                time.sleep(POLL_SECONDS)
    except LockHeldError:
        if home.looked(run.run_id) is None:
            fence(run)
        else:
            ensure_watched(run)


def _want_down(run: OpenRun) -> None:
    """Notes that the run is to end.  A supervisor that hangs in the middle of a write locks the ledger: it is ended.

    Raises StateError where the ledger can't be written for another reason.
    """
    deadline = time.monotonic() + run.target.home.hung_seconds + run.ledger.wait_seconds
    while True:
        try:
            row = run.ledger.get_run(run.run_id)
            wish = Wish(desired="down", limit_usd=row.limit_usd, limit_hours=row.limit_hours)
            return run.target.home.wish(run.ledger, run.ref, wish)
        except StateError:
            beats = silent_seconds(run) < run.ledger.wait_seconds
            if beats or watched(run) is Watched.NO or time.monotonic() > deadline:
                raise
            fence(run)


def _end_by_place(run: OpenRun) -> bool:
    """Ends a run that no supervisor ends: its jobs by their place, then its bill as far as it is known.

    Raises Unreachable where it has a cluster of its own, which can be removed with all that is in it.
    """
    home, ledger, run_id = run.target.home, run.ledger, run.run_id
    if run.target.cluster_maker is not None:  # what is in its cluster goes with that
        raise Unreachable(f"the supervisor of {run_id} does not answer")
    for address in home.find(run_id):
        home.end(address)
    others = frozenset(row.run_id for row in ledger.runs(states=LIVE)) - {run_id}
    for item in run.target.leftovers(others, others | {run_id}):
        if item.run_id == run_id:
            run.target.remove(item)
    if left := look(run):
        names = ", ".join(f"{item.role or item.kind} {item.address}" for item in left)
        raise StateError(f"{run_id}: still there: {names}", hint=f"`clusterctl down {run_id}` again")
    close_unseen(run, "ended by its place without its supervisor: it is billed to that moment")
    home.give(ledger, run_id)
    return True


def close_unseen(run: OpenRun, note: str) -> None:
    """Closes the books of a run of which nothing is left, and whose supervisor could not do it."""
    ledger, run_id, now = run.ledger, run.run_id, run.clock.now()
    for resource in ledger.live_resources(run_id):
        if resource.kind == STANDING:
            continue  # until its cluster is removed
        if resource.kind == MACHINE:
            ledger.extend_cost(resource.resource_id, until=now)
        ledger.mark_gone(resource.resource_id, at=now, cause=Cause.STOPPED)
    ledger.set_state(run_id, "stopped", at=now, note=note)
    ledger.record_event(run_id, "end", note, event_id=f"end:by-place:{now.isoformat()}", at=now)


def look(run: OpenRun) -> Sequence[Leftover]:
    """What is left of a run that has ended, after its supervisor has had time to leave, and a cloud to forget."""
    in_cloud = run.target.cluster_maker is not None
    deadline = time.monotonic() + (FORGET_SECONDS if in_cloud else SUPERVISOR_LEAVES_SECONDS)
    while True:
        live = frozenset(row.run_id for row in run.ledger.runs(states=LIVE))
        left = [item for item in run.target.leftovers(live, live | {run.run_id}) if item.run_id == run.run_id]
        if all(item.note for item in left) or time.monotonic() > deadline:
            return left
        time.sleep(FORGET_SECONDS / 20 if in_cloud else POLL_SECONDS)


def tagged_things(store: Path, text: str) -> Sequence[Leftover]:
    """What lives and carries the tags of the run with this id, or of the runs whose id begins so: without a ledger."""
    folders = store / "runs"
    names = [folder.name for folder in folders.iterdir()] if folders.is_dir() else []
    runs = frozenset([text, *(name for name in names if name.startswith(f"{text}-"))])
    places = [target for target in targets(store) if target.cluster_maker is None]  # of clouds `sweep` asks
    left = [item for target in places for item in target.leftovers(frozenset(), runs)]
    mine = [item for item in left if item.run_id in runs and item.kind != "folder"]
    return sorted(mine, key=lambda item: item.role != SUPERVISOR)  # it would start again what is ended before it


def end_tagged(store: Path, things: Sequence[Leftover]) -> None:
    """Ends them."""
    for target in targets(store):
        for thing in things:
            target.remove(thing)
