"""A store that one process has open: it writes, reads, compacts and expires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from clusterctl.errors import StateError
from clusterctl.store import compact, partitions
from clusterctl.store.read import Reader
from clusterctl.store.writer import Writer
from planners.telemetry.tables import TABLES

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import polars as pl

    from clusterctl.store.object_store import ObjectStore


class Store(Reader):
    """A `Source` that can be written; what is not flushed is not seen.  Threads may share it; each process opens its
    own."""

    def __init__(self, object_store: ObjectStore, *, node: str | None = None) -> None:
        super().__init__(object_store)
        self._writer = Writer(object_store, node=node)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Add rows of a table of `planners.telemetry.tables`; columns that are left out are null.

        Waits for nothing.  Raises ValueError for a column that the table has not.
        """
        self._writer.append(table, frame)

    def flush(self) -> None:
        """Write what was appended: from here on it survives a kill.  May take as long as the disk does.

        What a disk does not take waits in memory, what a bucket does not take waits on disk, both bounded, for the next
        flush; `problems` says so, and a note of kind `gap` says what had to be dropped.
        """
        self._writer.flush()

    def problems(self) -> tuple[str, ...]:
        """See `Source.problems`."""
        failure = self._writer.batches.failure
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
        failure, lost, spool = self._writer.batches.failure, self._writer.waiting_rows(), self.object_store.spool
        if failure and lost:
            hint = "make room there, or name another CLUSTERCTL_TELEMETRY"
            raise StateError(f"{failure}; {lost} rows of telemetry are lost", hint=hint)
        if failure and spool:
            raise StateError(failure, hint=f"the rows wait in {spool.where}; the next writer to this bucket sends them")


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
