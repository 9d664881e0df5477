"""Queue, times and errors of a run's sandbox servers, where no agent is beside them: the supervisor asks the servers.

Rows of the table `sandbox` in the run's store, as agents write them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from clusterctl.store import RUN_STORE
from clusterctl.targets.accounting import Row, write_rows
from clusterctl.targets.base import RunRef
from clusterctl.telemetry.compaction import Compaction
from clusterctl.telemetry.sandbox_scraper import SandboxScraper

WRITE_SECONDS = 60.0
WRITER = "sandboxes"
"""Whose files of the store they are."""


class SandboxMeter:
    """Of one run.  token: what its servers ask for."""

    def __init__(self, run: RunRef, token: str) -> None:
        self._run, self._token = run, token
        self._compaction = Compaction(str(run.folder / RUN_STORE))
        self._followed: dict[str, threading.Event] = {}
        self._rows: list[Row] = []
        self._lock = threading.Lock()
        self._failures: dict[str, str | None] = {}
        self._written = time.monotonic()

    def follow(self, nodes: Mapping[str, str]) -> None:
        """From now on these servers, by URL the node of each; others are asked once more.  Raises OSError."""
        for url in self._followed.keys() - nodes.keys():
            self._followed.pop(url).set()
        for url in nodes.keys() - self._followed.keys():
            stopping = self._followed[url] = threading.Event()
            told = partial(self._add, nodes[url]), partial(self._went, nodes[url])
            threading.Thread(
                target=SandboxScraper(url, self._token).follow, args=(stopping, *told), daemon=True
            ).start()
        if time.monotonic() - self._written >= WRITE_SECONDS or not nodes:
            self._write()

    def _add(self, node: str, **columns: Any) -> None:
        with self._lock:
            row = {"at": datetime.now(tz=UTC), "node": node, "run": self._run.run_id, **columns}
            self._rows.append(("sandbox", row))

    def _went(self, node: str, subject: str, failure: str | None) -> None:
        """A failure once, and once that it works again."""
        with self._lock:
            if self._failures.get(subject) != failure:
                self._failures[subject] = failure
                note = {
                    "at": datetime.now(tz=UTC),
                    "node": node,
                    "kind": "error",
                    "subject": subject,
                    "text": failure or "works again",
                }
                self._rows.append(("notes", note))

    def _write(self) -> None:
        self._written = time.monotonic()
        with self._lock:
            rows, self._rows = self._rows, []
        if rows:
            write_rows(self._run.folder / RUN_STORE, WRITER, rows)
            self._compaction.start_when_due()
