"""A store that one process has open: it writes, reads, compacts and expires."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import polars as pl

from clusterctl.errors import StateError
from clusterctl.store import compact, partitions
from clusterctl.store.read import Reader
from clusterctl.store.source import refuse_unknown
from clusterctl.store.writer import RowBatch, Writer
from planners.telemetry.tables import TABLES, schema

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from clusterctl.store.object_store import ObjectStore


class TelemetryStore(Reader):
    """A `TelemetrySource` that can be written; what is not flushed is not seen.

    Threads may share it; each process opens its own.
    """

    def __init__(self, object_store: ObjectStore, *, node: str | None = None) -> None:
        super().__init__(object_store)
        self._writer = Writer(object_store, node=node)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Add rows of a table of `planners.telemetry.tables`; columns that are left out are null.

        Makes a batch for each partition; never waits for a disk or network.  Raises ValueError for a column that the
        table has not.
        """
        refuse_unknown(table, frame.columns)
        if frame.is_empty():
            return
        partition = (pl.col("at") - pl.duration(milliseconds=1)).dt.strftime(partitions.partition_format(table))
        rows = frame.select(
            (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in schema(table).items()
        ).with_columns(partition=partition)
        for part in rows.partition_by("partition", include_key=False):
            first, last = part["at"].min(), part["at"].max()
            content = compact.to_parquet(part)
            self._writer.add(RowBatch(table=table, content=content, rows=len(part), first=first, last=last))  # type: ignore[arg-type]

    def flush(self) -> None:
        """Write what was appended: from here on it survives a kill.  May take as long as the disk does.

        What a disk does not take waits in memory, what a bucket does not take waits on disk, both bounded, for the next
        flush; `problems` says so, and a note of kind `gap` says what had to be dropped.
        """
        self._writer.send()
        if self._writer.failure is None and (gaps := self._writer.gaps()):
            self.append("notes", pl.DataFrame(gaps, schema=schema("notes")))
            self._writer.send()

    def problems(self) -> tuple[str, ...]:
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
            if there := self.partitions_of(table):
                batches = [each.entries[name].size_bytes for each in there for name in each.batches()]
                entries = [entry.size_bytes for each in there for entry in each.entries.values()]
                files, file_bytes = len(entries) - len(batches), sum(entries) - sum(batches)
                counts = (files, file_bytes, len(batches), sum(batches))
                sizes.append(TableSize(table, there[0].start, there[-1].end, *counts))
        return sizes

    def close(self) -> None:
        """Flush; raises StateError when that fails: rows are lost, or wait on disk for a bucket."""
        self.flush()
        failure, spool, lost = self._writer.failure, self.object_store.spool, self._writer.waiting_rows()
        if failure and lost:
            hint = "make room there, or name another CLUSTERCTL_TELEMETRY"
            raise StateError(f"{failure}; {lost} rows of telemetry are lost", hint=hint)
        if failure and spool:
            raise StateError(failure, hint=f"the rows wait in {spool.where}; the next writer to this bucket sends them")


class TableSize(NamedTuple):
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
