"""Batches on their way to a store: a bounded queue in memory, before a bucket a bounded folder too, and what was lost.

Knows no polars: the agent writes through it too, with less memory than polars takes.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clusterctl.store import partitions
from clusterctl.store.object_store import PART

if TYPE_CHECKING:
    from clusterctl.store.object_store import ObjectStore

MAX_WAITING_BYTES = 64 * 2**20
"""What waits in memory for a disk that is full: weeks of one node with 8 GPUs at 10 s."""
MAX_SPOOL_BYTES = 2**30
"""What waits on disk for a bucket that does not answer: months of such a node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows of one table and partition, encoded."""

    table: str
    partition: str
    content: bytes
    rows: int
    first: datetime
    last: datetime


@dataclass(slots=True, kw_only=True)
class _Lost:
    """What had to be dropped of one table."""

    first: datetime
    last: datetime
    rows: int | None
    """None when nobody counted them."""
    why: str


class Outbox:
    """One writer of a store: its segments have its name and a number.  `add` never waits for a disk or network.

    A segment's name is made once: what is written again, or sent again by another process, is not there twice.
    """

    def __init__(
        self,
        objects: ObjectStore,
        *,
        node: str | None = None,
        max_bytes: int = MAX_WAITING_BYTES,
        max_spool_bytes: int = MAX_SPOOL_BYTES,
    ) -> None:
        self.objects, self.node = objects, node or socket.gethostname()
        self.name = f"{re.sub(r'[^A-Za-z0-9._]', '_', self.node)[:80]}-{secrets.token_hex(4)}"
        self.failure: str | None = None
        """Why the last `send` failed; None when it did not."""
        self._max_bytes, self._max_spool_bytes = max_bytes, max_spool_bytes
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._waiting: deque[tuple[str, Batch]] = deque()
        self._number = self._bytes = 0
        self._lost: dict[str, _Lost] = {}

    def add(self, segment: Batch) -> None:
        """Queue; the oldest are dropped while too many bytes wait."""
        with self._lock:
            self._number += 1
            key = partitions.segment_key(segment.table, segment.partition, self.name, self._number, segment.content)
            self._waiting.append((key, segment))
            self._bytes += len(segment.content)
            while self._bytes > self._max_bytes:
                oldest = self._remove()
                self._lose(oldest.table, oldest.first, oldest.last, oldest.rows)

    def waiting_rows(self) -> int:
        """Rows that are not yet safe on a disk."""
        with self._lock:
            return sum(segment.rows for _, segment in self._waiting)

    def send(self) -> None:
        """Write what waits, oldest first; what can't be written stays, and `failure` says why."""
        disk = self.objects.spool or self.objects
        with self._sending:
            self.failure = None
            try:
                while self._waiting:
                    key, segment = head = self._waiting[0]
                    disk.put(key, segment.content)
                    with self._lock:
                        if self._waiting and self._waiting[0] is head:  # else it was dropped, though it is written
                            self._remove()
            except OSError as error:
                self.failure = f"{disk.where} can't be written: {error.strerror or error}"
            if self.objects.spool:
                self._empty_spool()

    def gaps(self) -> list[dict[str, Any]]:
        """Rows of `notes` that say what was dropped since this was last asked."""
        with self._lock:
            lost, self._lost = self._lost, {}
        return [
            {
                "at": gap.last,
                "node": self.node,
                "kind": "gap",
                "subject": table,
                "text": f"{'' if gap.rows is None else f'{gap.rows} '}rows from "
                f"{gap.first.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC on were dropped: {gap.why}",
            }
            for table, gap in lost.items()
        ]

    def _empty_spool(self) -> None:
        """Send what waits on disk, oldest first, also what a killed process left; drop what is too much."""
        spool = self.objects.spool
        assert spool is not None
        try:
            waiting = [entry for entry in spool.entries("") if not entry.key.endswith(PART)]
            waiting.sort(key=lambda entry: entry.modified, reverse=True)
            while waiting:
                with suppress(FileNotFoundError):  # another process sent it
                    self.objects.put(waiting[-1].key, spool.local(waiting[-1].key).read_bytes())
                    spool.delete([waiting[-1].key])
                waiting.pop()
        except OSError as error:
            self.failure = self.failure or f"{self.objects.where} can't be written: {error.strerror or error}"
            size = sum(entry.size_bytes for entry in waiting)
            while size > self._max_spool_bytes:
                oldest = waiting.pop()
                size -= oldest.size_bytes
                spool.delete([oldest.key])
                with self._lock:
                    self._lose(oldest.key.split("/")[1], oldest.modified, oldest.modified, None)

    def _remove(self) -> Batch:
        segment = self._waiting.popleft()[1]
        self._bytes -= len(segment.content)
        return segment

    def _lose(self, table: str, first: datetime, last: datetime, rows: int | None) -> None:
        why = self.failure or "too much waited"
        was = self._lost.setdefault(table, _Lost(first=first, last=last, rows=0, why=why))
        was.first, was.last, was.why = min(first, was.first), max(last, was.last), why
        was.rows = None if rows is None or was.rows is None else was.rows + rows
