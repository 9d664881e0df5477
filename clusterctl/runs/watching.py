"""Whether somebody watches a run, and seeing to it that somebody does."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import LIVE
from clusterctl.targets.base import SUPERVISOR, Unreachable
from clusterctl.targets.home import supervisor_environment
from clusterctl.targets.role_logs import last_error, log_file
from clusterctl.targets.wishes import last_beat

if TYPE_CHECKING:
    from clusterctl.runs.run import OpenRun

START_SECONDS = 60.0
"""For a new supervisor to take its lock: an interpreter's start on a very busy machine.  A dead one is noticed."""
POLL_SECONDS = 0.05


class Watched(StrEnum):
    """Whether somebody watches a run."""

    NO = "nobody"
    YES = "watched"
    HANGS = "hangs"


def watched(run: OpenRun) -> Watched:
    """Whether there is a supervisor, and whether it has beaten lately."""
    home = run.target.home
    if not home.watches(run.ledger, run.run_id):
        return Watched.NO
    return Watched.HANGS if silent_seconds(run) > home.hung_seconds else Watched.YES


def refresh(run: OpenRun, *, logs: bool = False) -> bool:
    """Bring here what the supervisor of a run that is watched elsewhere has written; whether its place could be asked.

    What keeps it from being asked is noted, and `status` says it.
    """
    try:
        run.target.home.pull(run.ledger, run.ref, logs=logs)
    except Unreachable:
        return False
    return True


def silent_seconds(run: OpenRun) -> float:
    """Since the supervisor's last sign: its last beat, what it noted while the ledger was away, or its start.

    Of several supervisors the oldest holds the lock: a younger one waits for it, or is this process.
    """
    beat, noted = last_beat(run.ledger.get_run(run.run_id)), run.target.home.noted_seconds(run.run_id)
    signs = [run.target.home.beat_seconds(beat)] if beat is not None else []
    signs += [noted] if noted is not None else []
    ages = [run.target.home.age_seconds(address) for address in run.target.home.find(run.run_id)]
    return min([*signs, *([max(ages)] if ages else [])], default=0.0)


def fence(run: OpenRun) -> bool:
    """Ends the supervisors of a run whose supervisor hangs; what they watch goes on.  Whether one was ended."""
    if watched(run) is not Watched.HANGS:
        return False
    home, silent = run.target.home, silent_seconds(run)
    hanging = [address for address in home.find(run.run_id) if home.age_seconds(address) > home.hung_seconds]
    for address in hanging:
        home.end(address)
    if hanging:
        message = f"its supervisor gave no sign for {silent:.0f} s and was ended"
        run.ledger.record_event(run.run_id, "fence", message, role=SUPERVISOR)
    return bool(hanging)


def ensure_watched(run: OpenRun, *, wait: bool = False) -> Watched:
    """Starts the run's supervisor unless one watches; what was found.  One that hangs is ended first.

    wait: until the new one watches the run.  Raises ClusterctlError where it does not, Unreachable where nobody knows.
    """
    run.target.home.pull(run.ledger, run.ref, anew=True)
    if run.ledger.get_run(run.run_id).state not in LIVE:
        return Watched.YES  # it has ended elsewhere
    found = watched(run)
    if found is Watched.YES:
        return found
    if found is Watched.HANGS and not fence(run):
        return found  # it hangs elsewhere: its own place ends it
    home = run.target.home
    starting: list[str] = []
    if found is Watched.NO:
        starting = [a for a in home.find(run.run_id) if home.age_seconds(a) < START_SECONDS]
    address = starting[0] if starting else home.start(run.ledger, run.ref, supervisor_environment())
    if wait:
        _wait_until_watched(run, address)
    return Watched.YES if starting else found


def _wait_until_watched(run: OpenRun, address: str) -> None:
    def is_unwatched() -> bool:
        return watched(run) is Watched.NO and run.ledger.get_run(run.run_id).state in LIVE

    deadline = time.monotonic() + START_SECONDS
    while is_unwatched():
        if time.monotonic() > deadline or not run.target.home.alive(address):
            if not is_unwatched():
                return  # by another, that was a moment earlier; or it was a short run
            log = log_file(run.folder.path, SUPERVISOR)
            raise ClusterctlError(
                f"the supervisor of {run.run_id} has not started: {last_error(log) or 'it said nothing'}",
                hint=f"`clusterctl up {run.run_id}` tries again; `clusterctl down {run.run_id}` ends what was started",
            )
        time.sleep(POLL_SECONDS)
