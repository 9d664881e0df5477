"""The agent of a node: `python -m clusterctl.telemetry.agent SETTINGS` measures until it is told to stop.

`clusterctl telemetry agent` becomes this process, so that nothing of a command line stays in its memory.
"""

from __future__ import annotations

import contextlib
import gc
import glob
import io
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clusterctl.access import read_token
from clusterctl.errors import ClusterctlError
from clusterctl.paths import user_data_dir
from clusterctl.store import open_object_store
from clusterctl.store.writer import Writer
from clusterctl.telemetry import metrics_server
from clusterctl.telemetry.collector import Collector
from clusterctl.telemetry.compaction import Compaction
from clusterctl.telemetry.exposition import Families, merge, read_file, write
from clusterctl.telemetry.parquet import batches
from clusterctl.telemetry.sandbox_scraper import TIMEOUT_SECONDS, SandboxScraper
from clusterctl.telemetry.settings import OFF, AgentSettings

MAX_WAITING_BYTES = 8 * 2**20
"""Batches that wait for a store that can't be written; a day of 8 GPUs at 10 s is half of it."""
STALE_SECONDS = 60.0
"""A file of metrics that was not written for so long says nothing about now."""
FINAL_SECONDS = 5.0
"""For the last flush: half of what a run gives its roles to end."""
CLOCK_SECONDS = 1.0
"""A wall clock that falls back by more is worth a note; smaller steps are its being set right."""


class Agent:
    """Holds the pieces together: one thread measures; others listen, serve, scrape and send."""

    def __init__(self, settings: AgentSettings) -> None:
        """Raises SpecError."""
        self.settings = settings
        self.stopping = threading.Event()
        self.run = os.environ.get("CLUSTERCTL_RUN") or None
        self._rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        if settings.store != OFF:
            store = open_object_store(settings.store)
            self._writer = Writer(store, node=settings.node, max_bytes=MAX_WAITING_BYTES)
        self._collector: Collector | None = None
        token = read_token(settings.sandbox_token_file)
        self._sandboxes = [SandboxScraper(url, token) for url in settings.sandboxes]
        self._failures: dict[str, str | None] = {}
        self._due = threading.Event()
        self._wall_seconds = 0.0
        self._waits = False  # for another agent to end
        self._began = time.monotonic()
        self._compaction = Compaction(settings.store)

    def main(self) -> None:
        """Until `stopping` is set; then the last rows are written."""
        settings = self.settings
        if settings.listen:
            say(f"metrics on {metrics_server.start(settings.listen, read_token(settings.token_file), self.page)}")
        threading.Thread(target=self._send_when_due, daemon=True).start()
        follow = (self.stopping, partial(self.add, "sandbox", run=self.run), self._went)
        scrapes = [threading.Thread(target=one.follow, args=follow, daemon=True) for one in self._sandboxes]
        for scrape in scrapes:
            scrape.start()
        lock = FileLock(user_data_dir() / "telemetry-agent.lock", blocking=False)
        next_tick, next_write = time.monotonic(), self._next_write()
        while not self.stopping.wait(max(next_tick - time.monotonic(), 0.0)):
            next_tick = max(next_tick + settings.interval_seconds, time.monotonic())
            try:
                if self._collector is None and self._is_first(lock):
                    self._collector = Collector(
                        node=settings.node, run=self.run, add=self.add, note=self.note, gpus=settings.gpus
                    )
                if self._collector is not None:
                    self._collector.tick(settings.interval_seconds)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong once, the next measurement may go well
                self._went("agent", f"{type(error).__name__}: {error}")
            if not self._clock_holds() or time.time() >= next_write:
                next_write = self._next_write()
                self.flush()
        for scrape in scrapes:
            scrape.join(TIMEOUT_SECONDS)
        self.flush()
        self._due.clear()
        final = threading.Thread(target=self._send, daemon=True)
        final.start()
        final.join(FINAL_SECONDS)
        self._compaction.end()

    def page(self) -> str:
        """All samples as they are now, for Prometheus."""
        families: Families = {}
        if self._collector is not None:
            self._collector.expose(families)
        of_run = {"run": self.run} if self.run else {}
        for server in self._sandboxes:
            merge(families, server.families, {"hostname": self.settings.node} | of_run)
        for file in sorted(file for pattern in self.settings.metrics_files for file in glob.glob(pattern)):  # noqa: PTH207
            try:
                merge(families, read_file(Path(file), max_age_seconds=STALE_SECONDS), {})
                self._went(file)
            except (OSError, ValueError) as error:
                self._went(file, str(error))
        return write(families)

    def flush(self) -> None:
        """Encode and queue what was measured; a thread writes it.  What can't be encoded is dropped and noted."""
        if self._collector is not None:
            self._collector.announce()
        with self._lock:
            rows, self._rows = self._rows, defaultdict(list)
        if self._writer is not None:
            rows["notes"] += [gap | {"at": round(1000 * gap["at"].timestamp())} for gap in self._writer.gaps()]
            for table, added in rows.items():
                try:
                    for batch in batches(table, added):
                        self._writer.add(batch)
                except Exception as error:  # noqa: BLE001 - one wrong value must not cost the other tables
                    self._went(table, f"{type(error).__name__}: {error}")
        self._due.set()
        old_driver = self._collector is not None and self._collector.gpus.replaced
        if old_driver and time.monotonic() - self._began > STALE_SECONDS:
            say("the driver was replaced: starting anew with its library")
            self._send()
            os.execv(sys.executable, self.settings.command())  # noqa: S606 - our own command, as a list

    def add(self, table: str, **columns: Any) -> None:
        """A row as of now; any thread may."""
        row = {"at": round(1000 * time.time()), "node": self.settings.node, **columns}
        with self._lock:
            self._rows[table].append(row)

    def note(self, kind: str, subject: str, text: str) -> None:
        """What is no number: into the store and the log, without escapes that a file's name or a server may hold."""
        subject, text = ("".join(c if c.isprintable() else "\ufffd" for c in words) for words in (subject, text))
        say(f"{kind} {subject}: {text}")
        self.add("notes", kind=kind, subject=subject, text=text)

    def _next_write(self) -> float:
        """Unix seconds; a whole multiple of `write_seconds`: rows of all nodes end at the same moments."""
        return self.settings.write_seconds * (time.time() // self.settings.write_seconds + 1)

    def _is_first(self, lock: FileLock) -> bool:
        """Whether this agent measures the node: of two agents of one user, the other waits until that one ends."""
        try:
            user_data_dir().mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            if not self._waits:
                say("another agent measures this node; this one follows its sandboxes, and waits")
            self._waits = True
            return False
        return True

    def _clock_holds(self) -> bool:
        """Whether the wall clock has not gone back since this was last asked."""
        now, before = time.time(), self._wall_seconds
        self._wall_seconds = now
        if now < before - CLOCK_SECONDS:
            self.note("gap", "clock", f"the clock went back by {before - now:.0f} s: times overlap from here on")
            return False
        return True

    def _send_when_due(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            self._send()
            self._compact()

    def _send(self) -> None:
        if self._writer is not None:
            self._writer.send()
            self._went("store", self._writer.failure)

    def _compact(self) -> None:
        try:
            self._compaction.start_when_due()
        except OSError as error:
            self._went("compaction", str(error.strerror))

    def _went(self, subject: str, failure: str | None = None) -> None:
        """Note a failure once, and once that it works again."""
        if self._failures.get(subject) != failure:
            self._failures[subject] = failure
            self.note("error", subject, failure or "works again")


def say(line: str) -> None:
    """One line on stdout, at once; with the time on a terminal, since logs have their own.

    A log that can't be written is no reason to stop measuring.
    """
    with contextlib.suppress(OSError, ValueError):
        time_of_day = f"{datetime.now().astimezone():%H:%M:%S} " if sys.stdout.isatty() else ""
        sys.stdout.write(f"{time_of_day}{line}\n")
        sys.stdout.flush()


def main() -> int:
    """Runs with the settings that are given as JSON; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # where it can take ASCII only
    settings = AgentSettings.parse(sys.argv[1])
    try:
        agent = Agent(settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: agent.stopping.set())
        gc.freeze()
        agent.main()
    except ClusterctlError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"\nhint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    say("stopped")
    os._exit(0)  # threads may hang in a driver; they must not hold up the end


if __name__ == "__main__":
    sys.exit(main())
