"""A store that one process has open: it writes, reads, compacts and expires."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import polars as pl

from clusterctl.errors import StateError
from clusterctl.store import compact, partitions
from clusterctl.store.read import Reader
from clusterctl.store.writer import RowBatch, Writer
from planners.telemetry.tables import TABLES, schema

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from clusterctl.store.object_store import ObjectStore


MAX_APPENDED_BYTES = 256 * 2**20
"""What may wait for a flush: then `append` encodes it itself."""


class TelemetryStore(Reader):
    """A `TelemetrySource` that can be written; what is not flushed is not seen.

    Threads may share it; each process opens its own.
    """

    def __init__(self, object_store: ObjectStore, *, node: str | None = None) -> None:
        super().__init__(object_store)
        self._writer = Writer(object_store, node=node)
        self._lock = threading.Lock()
        self._appended: dict[str, list[pl.DataFrame]] = defaultdict(list)
        self._appended_bytes: float = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Add rows of a table of `planners.telemetry.tables`; columns that are left out are null.

        Never waits for a disk or network.  Raises ValueError for a column that the table has not.
        """
        unknown = set(frame.columns) - set(schema(table))
        if unknown:
            raise ValueError(f"the table {table} has no column {', '.join(sorted(unknown))}")
        if frame.is_empty():
            return
        with self._lock:
            self._appended[table].append(frame)
            self._appended_bytes += frame.estimated_size()
            too_much = self._appended_bytes > MAX_APPENDED_BYTES
        if too_much:
            self._encode()

    def flush(self) -> None:
        """Write what was appended: from here on it survives a kill.  May take as long as the disk does.

        What a disk does not take waits in memory, what a bucket does not take waits on disk, both bounded, for the next
        flush; `problems` says so, and a note of kind `gap` says what had to be dropped.
        """
        self._encode()
        self._writer.send()
        if self._writer.failure is None and (gaps := self._writer.gaps()):
            self.append("notes", pl.DataFrame(gaps, schema=schema("notes")))
            self._encode()
            self._writer.send()

    def problems(self) -> tuple[str, ...]:
        """See `TelemetrySource.problems`."""
        failure = self._writer.failure
        return (*super().problems(), *((failure,) if failure else ()))

    def compact(self, now: datetime) -> None:
        """Merge batches into files with roll-ups of 10 s, 1 min and 10 min; detail finer than 10 s goes."""
        compact.compact(self, now)

    def expire(self, now: datetime, max_age: timedelta | None = None, max_bytes: int | None = None) -> None:
        """Remove what is older than `max_age`, then the oldest until no more than `max_bytes` are kept."""
        compact.expire(self, now, max_age=max_age, max_bytes=max_bytes)

    def inventory(self) -> list[TableSize]:
        """What its tables take; those that hold nothing are left out."""
        sizes = []
        for table in TABLES:
            existing = self.partitions_of(table)
            batches = [each.entries[name].size_bytes for each in existing for name in each.batches()]
            everything = [entry.size_bytes for each in existing for entry in each.entries.values()]
            if existing:
                sizes.append(
                    TableSize(
                        table=table,
                        first=existing[0].start,
                        last=existing[-1].start + partitions.span_of(table),
                        files=len(everything) - len(batches),
                        file_bytes=sum(everything) - sum(batches),
                        batches=len(batches),
                        batch_bytes=sum(batches),
                    )
                )
        return sizes

    def close(self) -> None:
        """Flush; raises StateError when that fails: rows are lost, or wait on disk for a bucket."""
        self.flush()
        failure, spool = self._writer.failure, self.object_store.spool
        appended = sum(len(frame) for frames in self._appended.values() for frame in frames)
        lost = appended + self._writer.waiting_rows()
        if failure and lost:
            hint = "make room there, or name another CLUSTERCTL_TELEMETRY"
            raise StateError(f"{failure}; {lost} rows of telemetry are lost", hint=hint)
        if failure and spool:
            raise StateError(failure, hint=f"the rows wait in {spool.where}; the next writer to this bucket sends them")

    def _encode(self) -> None:
        """Frames become batches: one per table and partition."""
        with self._lock:
            appended, self._appended, self._appended_bytes = self._appended, defaultdict(list), 0
        for table, frames in appended.items():
            rows = pl.concat(frames, how="diagonal_relaxed")
            typed = rows.select(
                (pl.col(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name)
                for name, dtype in schema(table).items()
            )
            day_or_hour = (pl.col("at") - pl.duration(milliseconds=1)).dt.strftime(partitions.partition_format(table))
            for part in typed.with_columns(day_or_hour.alias("partition")).partition_by("partition"):
                batch = part.drop("partition")
                self._writer.add(
                    RowBatch(
                        table=table,
                        partition=part["partition"][0],
                        content=compact.to_parquet(batch),
                        rows=len(batch),
                        first=batch["at"].min(),  # type: ignore[arg-type]
                        last=batch["at"].max(),  # type: ignore[arg-type]
                    )
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """What a table takes."""

    table: str
    first: datetime
    """Start of its oldest partition."""
    last: datetime
    """End of its newest."""
    files: int
    file_bytes: int
    batches: int
    """Not yet compacted, or compacted and about to be removed."""
    batch_bytes: int
