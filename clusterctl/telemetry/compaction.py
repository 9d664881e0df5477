"""Merging what lies in a store's folder, in a process of its own: it needs polars, for which an agent has no room."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

COMPACT_SECONDS = 600.0
"""How often.  For a bucket, which many agents share, somebody runs `clusterctl telemetry compact --every`."""
MARK = "compacted"
"""File of the folder whose time says when an agent last began: those of a run's nodes share one."""


class Compaction:
    """Call `start_when_due` after each write."""

    def __init__(self, store: str) -> None:
        self._store, self._tried = store, time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None

    def start_when_due(self) -> None:
        """Begins one unless it is too early, one goes on, or another agent has lately begun.  Raises OSError."""
        if "://" in self._store or time.monotonic() < self._tried + COMPACT_SECONDS:
            return
        self._tried = time.monotonic()
        mark = Path(self._store) / MARK
        with contextlib.suppress(FileNotFoundError):
            if time.time() - mark.stat().st_mtime < COMPACT_SECONDS:
                return
        if self._process is None or self._process.poll() is not None:
            command, quiet = [sys.executable, "-P", "-m", "clusterctl.store.compact", self._store], subprocess.DEVNULL
            mark.touch()
            self._process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)  # noqa: S603 - a list

    def end(self) -> None:
        """Which loses nothing: the next one does it again."""
        if self._process is not None:
            self._process.kill()
