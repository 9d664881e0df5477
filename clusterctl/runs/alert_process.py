"""Sees to it that alerts are told while a run is watched: its supervisor starts `clusterctl alerts --watch` beside it.

A process of its own: whatever becomes of it and of its receivers, the supervisor neither waits nor fails.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from clusterctl.targets import processes
from clusterctl.targets.home import KEPT_ENVIRONMENT, SUPERVISOR_VARIABLES

RULES_FILE, ALERTS_LOCK, LOG = "alerts.yaml", "alerts.lock", "alerts.log"
"""In the data folder."""
LOOK_SECONDS, LONGEST_SECONDS = 60.0, 1800.0
"""How often it is looked whether somebody tells of alerts; twice as long after each start, as one may end at once."""
COMMAND = ("alerts", "--watch", "--while-runs-live")


class AlertProcess:
    """Call `ensure` at every tick."""

    def __init__(self, store: Path) -> None:
        self._store, self._looked, self._pause = store, float("-inf"), 0.0

    def ensure(self) -> None:
        """Start one where the data folder has rules, nobody tells of alerts, and none was started lately.

        Raises ClusterctlError, OSError.
        """
        if time.monotonic() < self._looked + max(self._pause, LOOK_SECONDS):
            return
        self._looked = time.monotonic()
        if not (self._store / RULES_FILE).is_file():
            return
        try:
            FileLock(self._store / ALERTS_LOCK, timeout=0).acquire().lock.release()
        except Timeout:
            self._pause = 0.0
            return
        self._pause = min(max(2 * self._pause, LOOK_SECONDS), LONGEST_SECONDS)
        names = {*KEPT_ENVIRONMENT, *SUPERVISOR_VARIABLES}
        environment = {name: os.environ[name] for name in names if name in os.environ}
        environment |= {"CLUSTERCTL_HOME": str(self._store)}
        command = [sys.executable, "-P", "-c", "from clusterctl.cli import main; main()", *COMMAND]
        log = processes.log_or_nothing(self._store / LOG)
        processes.spawn(command, folder=self._store, environment=environment, log=log)
