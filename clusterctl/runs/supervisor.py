"""Watches one run until it has ended: `python -m clusterctl.runs.supervisor STORE RUN`.  Detached; needs no terminal.

One supervisor a run: it takes the run's lock first, and keeps it while a ledger that is full, locked or out of reach is
tried again; the limits hold meanwhile.  One whose lock is held leaves, unless the holder hangs: then it takes over.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.ledger import lock_store, open_ledger
from clusterctl.ledger.locks import LockHeldError, LockLostError, run_lock
from clusterctl.machine import collect_garbage_rarely
from clusterctl.runs.run import open_run
from clusterctl.runs.watch import Watch
from clusterctl.runs.watching import fence
from clusterctl.targets.base import SUPERVISOR
from clusterctl.targets.in_place import home_here
from planners.runs.limits import STANDING

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

TICK_SECONDS = 0.25
RETRY_SECONDS = 2.0
LOCK_SECONDS = 1.0
"""Whoever only asks whether the run is watched holds its lock for a moment."""


class Supervisor:
    """The supervisor of one run."""

    def __init__(self, store: Path, run_id: str) -> None:
        self._store, self._run_id, self._home = store, run_id, home_here(store)
        self._ledger: Ledger | None = None
        self._watch: Watch | None = None
        self._said = ""

    def run(self) -> None:
        """Ticks until the run has ended.  A second supervisor of the same run leaves at once."""
        while True:
            try:
                with (
                    lock_store() as locks,
                    run_lock(locks, self._run_id, SUPERVISOR, wait_seconds=LOCK_SECONDS) as check,
                ):
                    self._watch_under_lock(check)
                    return
            except LockHeldError:
                if not self._fence():
                    return
            except SpecError as error:
                _say(str(error))
                return
            except ClusterctlError as error:  # the server that has the lock is away, and the lock with it
                self._failed(error)

    def _watch_under_lock(self, check: Callable[[], None]) -> None:
        """Until the run has ended.  Raises LockLostError when another may have the lock, LockHeldError when one has."""
        if self._home.enter(self._run_id):
            self._ledger = self._watch = None
        while True:
            try:
                check()
                self._ledger = self._ledger or open_ledger()
                self._watch = self._watch or Watch(open_run(self._ledger, self._store, self._run_id))
                while self._watch.tick():
                    check()
                    self._home.check(self._run_id)
                    self._said = ""
                    time.sleep(TICK_SECONDS)
                self._home.leave(self._run_id)
                return
            except LockLostError:
                raise
            except SpecError as error:
                if self._refused(error):
                    return
                self._failed(error)
            except (ClusterctlError, OSError) as error:
                self._home.check(self._run_id)
                self._failed(error)

    def _refused(self, error: SpecError) -> bool:
        """A run that no template can launch has failed.  False while something of it may live, or nobody knows.

        Raises SpecError where there is no such run.
        """
        ledger = self._ledger
        if ledger is None:
            return False
        ledger.get_run(self._run_id)  # no such run: whatever else is wrong, there is nothing to do
        if any(resource.kind != STANDING for resource in ledger.live_resources(self._run_id)):
            return False
        _say(f"error: {error}")
        ledger.set_state(self._run_id, "failed", note=f"failed: {error}")
        ledger.record_event(self._run_id, "end", f"the run has failed: {error}")
        self._home.leave(self._run_id)
        return True

    def _failed(self, error: Exception) -> None:
        if str(error) != self._said:
            self._said = str(error)
            _say(f"{error}; trying again, and holding the limits meanwhile")
        if self._watch is not None:
            self._watch.hold()
        time.sleep(RETRY_SECONDS)

    def _fence(self) -> bool:
        """Ends the supervisor that holds the lock if it hangs; whether it did."""
        try:
            with open_ledger() as ledger:
                return fence(open_run(ledger, self._store, self._run_id))
        except ClusterctlError:
            return False  # nobody can say how long ago it beat


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the log may be on the disk that is full
        sys.stderr.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {text}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    collect_garbage_rarely()
    Supervisor(Path(sys.argv[1]), sys.argv[2]).run()
