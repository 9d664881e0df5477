"""Writing to a store: a bounded buffer, flushed as segments.  What can't be written waits; what can't wait is a gap."""

from __future__ import annotations

import io
import re
import secrets
import socket
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.store import layout
from planners.telemetry.tables import schema

if TYPE_CHECKING:
    from datetime import datetime

    from clusterctl.store.objects import Objects

MAX_BUFFER_BYTES = 64 * 2**20
"""What waits in memory for a disk that is full: about a day of one node with 8 GPUs at 10 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    table: str
    frame: pl.DataFrame
    number: int


class Writer:
    """One writer of a store: its segments have its name and a number.  `append` never waits for a disk or network;
    `flush` may, so threads may share a writer.
    """

    def __init__(self, objects: Objects, *, node: str | None = None, max_buffer_bytes: int = MAX_BUFFER_BYTES) -> None:
        self.objects, self.node = objects, node or socket.gethostname()
        self.name = f"{re.sub(r'[^A-Za-z0-9._]', '_', self.node)[:80]}-{secrets.token_hex(4)}"
        self.failure: str | None = None
        """Why the last flush failed; None when it did not."""
        self._max_bytes = max_buffer_bytes
        self._lock, self._flushing = threading.Lock(), threading.Lock()
        self._appended: deque[tuple[str, pl.DataFrame]] = deque()
        self._waiting: deque[_Waiting] = deque()
        self._bytes: float = 0
        self._number = 0
        self._lost: dict[str, tuple[datetime, datetime, int]] = {}

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Add rows; they are safe once flushed.  Raises ValueError for columns that the table has not."""
        unknown = set(frame.columns) - set(schema(table))
        if unknown:
            raise ValueError(f"the table {table} has no column {', '.join(sorted(unknown))}")
        if not frame.is_empty():
            with self._lock:
                self._appended.append((table, frame))
                self._bytes += frame.estimated_size()
                self._shrink()

    def flush(self) -> None:
        """Write what was appended.  What can't be written waits for the next flush, and `failure` says why."""
        with self._flushing:
            self._pack()
            while self._waiting:
                head = self._waiting[0]
                try:
                    self._write(head)
                except OSError as error:
                    self.failure = f"{self.objects.where} can't be written: {error.strerror or error}"
                    return
                with self._lock:
                    if (
                        self._waiting and self._waiting[0] is head
                    ):  # else it was dropped meanwhile, though it is written
                        self._waiting.popleft()
                        self._bytes -= head.frame.estimated_size()
            self.failure = None

    def waiting_rows(self) -> int:
        """Rows that are not yet safe."""
        with self._lock:
            return sum(len(frame) for _, frame in self._appended) + sum(len(each.frame) for each in self._waiting)

    def _pack(self) -> None:
        """Turn what was appended, and what was lost, into numbered frames of one table each."""
        with self._lock:
            appended, self._appended = self._appended, deque()
            lost, self._lost = self._lost, {}
            frames: dict[str, list[pl.DataFrame]] = {}
            for table, frame in appended:
                frames.setdefault(table, []).append(frame)
                self._bytes -= frame.estimated_size()
            if lost:
                frames.setdefault("notes", []).append(self._gaps(lost))
            for table, parts in frames.items():
                whole = pl.concat(parts, how="diagonal_relaxed")
                typed = whole.select(
                    (pl.col(name) if name in whole.columns else pl.lit(None)).cast(dtype).alias(name)
                    for name, dtype in schema(table).items()
                )
                self._number += 1
                self._waiting.append(_Waiting(table=table, frame=typed, number=self._number))
                self._bytes += typed.estimated_size()

    def _write(self, waiting: _Waiting) -> None:
        """One segment per partition; written again after a failure, under the same names."""
        day_or_hour = (pl.col("at") - pl.duration(milliseconds=1)).dt.strftime(layout.partition_format(waiting.table))
        for frame in waiting.frame.with_columns(day_or_hour.alias("partition")).partition_by("partition"):
            key = layout.segment_key(waiting.table, frame["partition"][0], self.name, waiting.number)
            self.objects.put(key, to_parquet(frame.drop("partition")))

    def _shrink(self) -> None:
        """Drop the oldest rows while too many wait."""
        while self._bytes > self._max_bytes and (self._waiting or self._appended):
            if self._waiting:
                oldest = self._waiting.popleft()
                table, frame = oldest.table, oldest.frame
            else:
                table, frame = self._appended.popleft()
            self._bytes -= frame.estimated_size()
            first, last, rows = frame["at"].min(), frame["at"].max(), len(frame)
            if table in self._lost:
                was = self._lost[table]
                first, last, rows = min(first, was[0]), max(last, was[1]), rows + was[2]  # type: ignore[type-var]
            self._lost[table] = (first, last, rows)  # type: ignore[assignment]

    def _gaps(self, lost: dict[str, tuple[datetime, datetime, int]]) -> pl.DataFrame:
        rows = [
            {"at": last, "node": self.node, "kind": "gap", "subject": table,
             "text": f"{rows} rows from {first:%Y-%m-%d %H:%M:%S} UTC on were dropped: {self.failure}"}
            for table, (first, last, rows) in lost.items()
        ]  # fmt: skip
        return pl.DataFrame(rows, schema=schema("notes"))


def to_parquet(frame: pl.DataFrame) -> bytes:
    """As a segment or a part is kept."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True)
    return buffer.getvalue()
