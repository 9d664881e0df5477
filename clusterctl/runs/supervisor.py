"""Watches one run until it has ended: `python -m clusterctl.runs.supervisor STORE RUN`.  Detached; needs no terminal.

A ledger that is full, locked or out of reach ends nothing: it is tried again, and the limits hold meanwhile.
"""

from __future__ import annotations

import contextlib
import sys
import time
from datetime import datetime
from pathlib import Path

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.locks import LockHeldError, run_lock
from clusterctl.runs.run import open_run
from clusterctl.runs.watch import Watch
from clusterctl.targets.local import SUPERVISOR

TICK_SECONDS = 0.25
RETRY_SECONDS = 2.0
LOCK_SECONDS = 1.0
"""Whoever only asks whether the run is watched holds its lock for a moment."""


def supervise(store: Path, run_id: str) -> None:
    """Ticks until the run has ended.  A second supervisor of the same run leaves at once."""
    with open_ledger() as ledger:
        watch, said = None, ""
        while True:
            try:
                with run_lock(ledger, run_id, SUPERVISOR, wait_seconds=LOCK_SECONDS) as check:
                    watch = watch or Watch(open_run(ledger, store, run_id))
                    while watch.tick():
                        check()
                        said = ""
                        time.sleep(TICK_SECONDS)
                    return
            except (LockHeldError, SpecError):
                return
            except (ClusterctlError, OSError) as error:
                if str(error) != said:
                    said = str(error)
                    _say(f"{said}; trying again, and holding the limits meanwhile")
                if watch is not None:
                    watch.hold()
                time.sleep(RETRY_SECONDS)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the log may be on the disk that is full
        sys.stderr.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {text}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), sys.argv[2])
