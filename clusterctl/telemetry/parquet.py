"""Rows of telemetry as a Parquet file, without polars, which alone takes more memory than the agent may have."""

from __future__ import annotations

import io
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clusterctl.store.partitions import partition_of
from clusterctl.store.writer import RowBatch
from planners.telemetry.tables import TABLES, merge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMPRESSION = "zstd(3)"
"""zstd's own default level."""


def to_parquet(table: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A file with exactly the columns of the table (`planners.telemetry.tables.schema`); what a row lacks is null.

    `at` is in milliseconds since 1970.  Whole columns are rounded; a number that doesn't fit (a driver's 2^32 - 1 for
    what it doesn't know) is none.  Raises ImportError without the extra `telemetry`.
    """
    from arro3.core import Array, DataType, RecordBatch
    from arro3.io import write_parquet

    columns: dict[str, Any] = {}
    for name, column in TABLES[table].items():
        values = [row.get(name) for row in rows]
        if column.type_name == "Timestamp":
            columns[name] = Array(values, DataType.int64()).cast(DataType.timestamp("ms", tz="UTC"))
            continue
        if column.type_name.startswith("UInt"):
            most = 2 ** int(column.type_name.removeprefix("UInt")) - 1
            values = [round(value) if value is not None and 0 <= value <= most else None for value in values]
        columns[name] = Array(values, getattr(DataType, column.type_name.lower())())
    file = io.BytesIO()
    write_parquet(RecordBatch.from_pydict(columns), file, compression=COMPRESSION)
    return file.getvalue()


def batches(table: str, rows: Sequence[Mapping[str, Any]]) -> list[RowBatch]:
    """Rows of a table as batches, one per partition; those of tables with seconds are merged by key first."""
    parts: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in merge(table, rows) if "seconds" in TABLES[table] else rows:
        parts[partition_of(table, datetime.fromtimestamp(row["at"] / 1000, tz=UTC))].append(row)
    made = []
    for part in parts.values():
        ats = sorted(datetime.fromtimestamp(row["at"] / 1000, tz=UTC) for row in part)
        content = to_parquet(table, part)
        made.append(RowBatch(table=table, content=content, rows=len(part), first=ats[0], last=ats[-1]))
    return made
