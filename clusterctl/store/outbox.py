"""Segments on their way to a store: a bounded queue that keeps what can't be written and counts what it had to drop.

Knows no polars: the agent writes through it too, with less memory than polars takes.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clusterctl.store import layout

if TYPE_CHECKING:
    from clusterctl.store.objects import Objects

MAX_WAITING_BYTES = 64 * 2**20
"""What waits in memory for a disk that is full: weeks of one node with 8 GPUs at 10 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Rows of one table and partition, encoded."""

    table: str
    partition: str
    content: bytes
    rows: int
    first: datetime
    last: datetime


class Outbox:
    """One writer of a store: its segments have its name and a number.  `add` never waits for a disk or network."""

    def __init__(self, objects: Objects, *, node: str | None = None, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self.objects, self.node = objects, node or socket.gethostname()
        self.name = f"{re.sub(r'[^A-Za-z0-9._]', '_', self.node)[:80]}-{secrets.token_hex(4)}"
        self.failure: str | None = None
        """Why the last `send` failed; None when it did not."""
        self._max_bytes = max_bytes
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._waiting: deque[tuple[int, Segment]] = deque()
        self._number = self._bytes = 0
        self._lost: dict[str, Segment] = {}

    def add(self, segment: Segment) -> None:
        """Queue; the oldest are dropped while too many bytes wait."""
        with self._lock:
            self._number += 1
            self._waiting.append((self._number, segment))
            self._bytes += len(segment.content)
            while self._bytes > self._max_bytes:
                self._lose(self._remove())

    def waiting_rows(self) -> int:
        """Rows that are not yet safe."""
        with self._lock:
            return sum(segment.rows for _, segment in self._waiting)

    def send(self) -> None:
        """Write what waits, oldest first; what can't be written stays, and `failure` says why."""
        with self._sending:
            while self._waiting:
                number, segment = head = self._waiting[0]
                key = layout.segment_key(segment.table, segment.partition, self.name, number)
                try:
                    self.objects.put(key, segment.content)
                except OSError as error:
                    self.failure = f"{self.objects.where} can't be written: {error.strerror or error}"
                    return
                with self._lock:
                    if self._waiting and self._waiting[0] is head:  # else it was dropped, though it is written
                        self._remove()
            self.failure = None

    def gaps(self) -> list[dict[str, Any]]:
        """Rows of `notes` that say what was dropped since this was last asked."""
        with self._lock:
            lost, self._lost = self._lost, {}
        return [
            {"at": gap.last, "node": self.node, "kind": "gap", "subject": table,
             "text": f"{gap.rows} rows from {gap.first.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC on were dropped: "
                     f"{self.failure}"}
            for table, gap in lost.items()
        ]  # fmt: skip

    def _remove(self) -> Segment:
        segment = self._waiting.popleft()[1]
        self._bytes -= len(segment.content)
        return segment

    def _lose(self, segment: Segment) -> None:
        was = self._lost.get(segment.table, segment)
        rows = segment.rows + (was.rows if was is not segment else 0)
        first, last = min(segment.first, was.first), max(segment.last, was.last)
        self._lost[segment.table] = Segment(
            table=segment.table, partition="", content=b"", rows=rows, first=first, last=last
        )
