"""How much telemetry a store holds, by table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterctl.store import layout
from planners.telemetry.tables import TABLES

if TYPE_CHECKING:
    from datetime import datetime

    from clusterctl.store.read import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """What a table takes."""

    table: str
    first: datetime
    """Start of its oldest partition."""
    last: datetime
    """End of its newest."""
    parts: int
    part_bytes: int
    segments: int
    """Not yet compacted, or compacted and about to be removed."""
    segment_bytes: int


def inventory(reader: Reader) -> list[TableSize]:
    """The tables that hold anything."""
    found = []
    for table in TABLES:
        partitions = reader.partitions(table)
        segments = [each.entries[name].size_bytes for each in partitions for name in each.segments()]
        everything = [entry.size_bytes for each in partitions for entry in each.entries.values()]
        if partitions:
            found.append(
                TableSize(
                    table=table,
                    first=partitions[0].start,
                    last=partitions[-1].start + layout.span_of(table),
                    parts=len(everything) - len(segments),
                    part_bytes=sum(everything) - sum(segments),
                    segments=len(segments),
                    segment_bytes=sum(segments),
                )
            )
    return found
