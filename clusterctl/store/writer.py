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
from clusterctl.store.object_store import UNFINISHED

if TYPE_CHECKING:
    from clusterctl.store.object_store import Folder, ObjectStore

MAX_WAITING_BYTES = 64 * 2**20
"""What waits in memory for a disk that is full: weeks of one node with 8 GPUs at 10 s."""
MAX_SPOOL_BYTES = 2**30
"""What waits on disk for a bucket that does not answer: months of such a node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBatch:
    """Rows of one table and partition, encoded."""

    table: str
    content: bytes
    rows: int
    first: datetime
    last: datetime
    """`at` of its first and last rows, in UTC."""


@dataclass(slots=True, kw_only=True)
class _Dropped:
    """Of one table."""

    first: datetime
    last: datetime
    rows: int | None
    """None when nobody counted them."""
    why: str


class Writer:
    """One writer of a store: its batches have its name and a number.  `add` never waits for a disk or network.

    The name of a batch is made once: what is written again, or sent again by another process, is not there twice.
    """

    def __init__(
        self,
        object_store: ObjectStore,
        *,
        node: str | None = None,
        max_bytes: int = MAX_WAITING_BYTES,
        max_spool_bytes: int = MAX_SPOOL_BYTES,
    ) -> None:
        self.object_store, self.node = object_store, node or socket.gethostname()
        self.name = f"{re.sub(r'[^A-Za-z0-9._]', '_', self.node)[:80]}-{secrets.token_hex(4)}"
        self.failure: str | None = None
        """Why the last `send` failed; None when it did not."""
        self._max_bytes, self._max_spool_bytes = max_bytes, max_spool_bytes
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._waiting: deque[tuple[str, RowBatch]] = deque()
        self._number = self._bytes = 0
        self._dropped: dict[str, _Dropped] = {}

    def add(self, batch: RowBatch) -> None:
        """Queue; the oldest are dropped while too many bytes wait."""
        with self._lock:
            self._number += 1
            key = partitions.batch_key(batch.table, batch.last, self.name, self._number, batch.content)
            self._waiting.append((key, batch))
            self._bytes += len(batch.content)
            while self._bytes > self._max_bytes:
                oldest = self._remove()
                self._drop(oldest.table, oldest.first, oldest.last, oldest.rows)

    def waiting_rows(self) -> int:
        """Rows that are not yet safe on a disk."""
        with self._lock:
            return sum(batch.rows for _, batch in self._waiting)

    def send(self) -> None:
        """Write what waits, oldest first; what can't be written stays, and `failure` says why."""
        spool = self.object_store.spool
        disk = spool or self.object_store
        with self._sending:
            self.failure = None
            try:
                while self._waiting:
                    key, batch = oldest = self._waiting[0]
                    disk.put(key, batch.content)
                    with self._lock:
                        if self._waiting and self._waiting[0] is oldest:  # else it was dropped, though it is written
                            self._remove()
            except OSError as error:
                self._failed(disk, error)
            if spool:
                self._empty_spool(spool)

    def gaps(self) -> list[dict[str, Any]]:
        """Rows of `notes` that say what was dropped since this was last asked."""
        with self._lock:
            dropped, self._dropped = self._dropped, {}
        return [
            {
                "at": gap.last,
                "node": self.node,
                "kind": "gap",
                "subject": table,
                "text": f"{'' if gap.rows is None else f'{gap.rows} '}rows from "
                f"{gap.first.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC on were dropped: {gap.why}",
            }
            for table, gap in dropped.items()
        ]

    def _empty_spool(self, spool: Folder) -> None:
        """Send what waits on disk, oldest first, also what a killed process left; drop what is too much."""
        try:
            waiting = [entry for entry in spool.entries("") if not entry.key.endswith(UNFINISHED)]
            waiting.sort(key=lambda entry: entry.modified, reverse=True)
            while waiting:
                key = waiting[-1].key
                with suppress(FileNotFoundError):  # another process sent it
                    self.object_store.put(key, spool.local(key).read_bytes())
                    spool.delete([key])
                waiting.pop()
        except OSError as error:
            self._failed(self.object_store, error)
            size = sum(entry.size_bytes for entry in waiting)
            while size > self._max_spool_bytes:
                oldest = waiting.pop()
                size -= oldest.size_bytes
                spool.delete([oldest.key])
                with self._lock:
                    self._drop(oldest.key.split("/")[1], oldest.modified, oldest.modified, None)

    def _failed(self, disk: ObjectStore, error: OSError) -> None:
        self.failure = self.failure or f"{disk.where} can't be written: {error.strerror or error}"

    def _remove(self) -> RowBatch:
        batch = self._waiting.popleft()[1]
        self._bytes -= len(batch.content)
        return batch

    def _drop(self, table: str, first: datetime, last: datetime, rows: int | None) -> None:
        why = self.failure or "too much waited"
        gap = self._dropped.setdefault(table, _Dropped(first=first, last=last, rows=0, why=why))
        gap.first, gap.last, gap.why = min(first, gap.first), max(last, gap.last), why
        gap.rows = None if rows is None or gap.rows is None else gap.rows + rows
