"""Frames to batches: what was appended becomes, at a flush, one batch per table and partition."""

from __future__ import annotations

import io
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.store import partitions
from clusterctl.store.batches import Batch, BatchWriter
from planners.telemetry.tables import schema

if TYPE_CHECKING:
    from clusterctl.store.object_store import ObjectStore

ROW_GROUP = 2**16
"""Rows: one node's day is read in milliseconds, and the footer stays small; tools/benchmarks/results/store.md."""
MAX_APPENDED_BYTES = 256 * 2**20
"""What may wait for a flush: then `append` packs it itself."""


class Writer:
    """Collects frames.  `append` never waits for a disk or network; `flush` may, so threads may share a writer."""

    def __init__(self, object_store: ObjectStore, *, node: str | None = None) -> None:
        self.batches = BatchWriter(object_store, node=node)
        self._lock = threading.Lock()
        self._appended: dict[str, list[pl.DataFrame]] = defaultdict(list)
        self._bytes: float = 0

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Add rows; they are safe once flushed.  Raises ValueError for columns that the table has not."""
        unknown = set(frame.columns) - set(schema(table))
        if unknown:
            raise ValueError(f"the table {table} has no column {', '.join(sorted(unknown))}")
        if frame.is_empty():
            return
        with self._lock:
            self._appended[table].append(frame)
            self._bytes += frame.estimated_size()
            too_much = self._bytes > MAX_APPENDED_BYTES
        if too_much:
            self._pack()

    def flush(self) -> None:
        """Write what was appended.  What can't be written waits for the next flush, and `failure` says why."""
        self._pack()
        self.batches.send()
        if self.batches.failure is None and (gaps := self.batches.gaps()):
            self.append("notes", pl.DataFrame(gaps, schema=schema("notes")))
            self._pack()
            self.batches.send()

    def waiting_rows(self) -> int:
        """Rows that are not yet safe."""
        with self._lock:
            appended = sum(len(frame) for frames in self._appended.values() for frame in frames)
        return appended + self.batches.waiting_rows()

    def _pack(self) -> None:
        """Frames become batches."""
        with self._lock:
            appended, self._appended, self._bytes = self._appended, defaultdict(list), 0
        for table, frames in appended.items():
            whole = pl.concat(frames, how="diagonal_relaxed")
            typed = whole.select(
                (pl.col(name) if name in whole.columns else pl.lit(None)).cast(dtype).alias(name)
                for name, dtype in schema(table).items()
            )
            day_or_hour = (pl.col("at") - pl.duration(milliseconds=1)).dt.strftime(partitions.partition_format(table))
            for one in typed.with_columns(day_or_hour.alias("partition")).partition_by("partition"):
                rows = one.drop("partition")
                self.batches.add(
                    Batch(
                        table=table,
                        partition=one["partition"][0],
                        content=to_parquet(rows),
                        rows=len(rows),
                        first=rows["at"].min(),  # type: ignore[arg-type]
                        last=rows["at"].max(),  # type: ignore[arg-type]
                    )
                )


def to_parquet(frame: pl.DataFrame) -> bytes:
    """As batches and files are kept: dictionaries, zstd, and each row group's extremes, so that readers skip it."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True, row_group_size=ROW_GROUP)
    return buffer.getvalue()
