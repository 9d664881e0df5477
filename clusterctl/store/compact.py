"""Compaction: many segments become one part per level.  Two may run at once, and each may be killed at any moment.

Nothing is removed by the compaction that replaces it, but by a later one: a reader who looked before has GRACE to read.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.store import partitions
from clusterctl.store.writer import to_parquet
from planners.telemetry.roll_up import roll_up
from planners.telemetry.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clusterctl.store.read import Reader

LATE = timedelta(minutes=5)
"""A partition is closed this long after its end: what comes later is merged into it again."""
MANY_SEGMENTS = 32
"""From this many on, the segments of an open partition are made into a part of their own."""
GRACE = timedelta(minutes=1)
"""A reader lists and opens files within this time."""
EVERY = timedelta(minutes=9)
"""Helpers of agents, which come every ten minutes, leave a folder alone that another has looked after so recently."""
PART_ROWS = 2**19
"""Rows of a part: 7 MB of all GPU columns; who asks for one node reads one of an hour's many."""
ABANDONED = timedelta(hours=1)
"""A file that no manifest names after this long was replaced, or its compaction was killed."""


def compact(reader: Reader, now: datetime) -> None:
    """Compact every partition that needs it."""
    for table in TABLES:
        for partition in reader.partitions_of(table):
            try:
                manifest = reader.manifest(partition)
                if manifest.number == partition.last_number():  # else the newest is damaged: leave all as it is
                    _sweep(reader, partition, manifest)
                    _compact_partition(reader, table, partition, manifest, now)
            except FileNotFoundError:
                continue  # another compaction was quicker
            except OSError as error:
                reader.problem("compaction", f"{reader.where} can't be compacted: {error.strerror or error}")
                return
    reader.solved("compaction")


def main() -> None:
    """Compact the store that is named, as an agent's helper: gently, and not if another has just done so."""
    from clusterctl.store import open_objects
    from clusterctl.store.read import Reader

    os.nice(10)
    reader, now = Reader(open_objects(sys.argv[1])), datetime.now(tz=UTC)
    mark = f"{partitions.VERSION}/compacted"
    file = reader.objects.local(mark)
    if not file.exists() or abs(now.timestamp() - file.stat().st_mtime) > EVERY.total_seconds():
        reader.objects.put(mark, b"")
        compact(reader, now)


def _compact_partition(
    reader: Reader, table: str, partition: partitions.Partition, manifest: partitions.Manifest, now: datetime
) -> None:
    segments = partition.segments()
    fresh = [name for name, segment in segments.items() if not manifest.holds(*segment)]
    closed = now > partition.start + partitions.span_of(table) + LATE
    kept = {} if closed else manifest.parts
    old = [part.name for part in manifest.parts.get(partitions.levels(table)[0], ())] if closed else []
    if not (closed and (fresh or manifest.is_in_pieces)) and len(fresh) < MANY_SEGMENTS:
        return
    rows = reader.frames(table, [partition.folder + name for name in fresh + old])
    if any(partition.folder + name not in rows for name in old):
        kept = manifest.parts  # what is damaged stays where it is, beside what is made now
        rows = {key: frame for key, frame in rows.items() if not key.startswith(f"{partition.folder}c-")}
    read = {name: segments[name] for name in fresh if partition.folder + name in rows}
    if not read and (kept or not rows):
        return
    levels = [level for level in partitions.levels(table) if not kept or level in kept]  # an older version kept fewer
    parts = _write_parts(reader, table, partition, pl.concat(rows.values()), levels)
    newer = partitions.Manifest(
        number=manifest.number + 1,
        parts={level: (*kept.get(level, ()), *made) for level, made in parts.items()},
        merged=manifest.merged_with(read.values()),
        is_in_pieces=bool(kept),
    )
    made = {part.name for level in parts.values() for part in level}
    there = {entry.key for entry in reader.objects.entries(partition.folder)}
    if not {partition.folder + name for name in made} <= there:
        return  # taken for abandoned: this process stood still for an hour
    key, content = f"{partition.folder}m-{newer.number:06d}.json", newer.to_json()
    # A bucket may say "it is there" of what our own first attempt wrote, whose answer was lost
    if not reader.objects.put(key, content, new=True) and reader.objects.local(key).read_bytes() != content:
        reader.objects.delete(partition.folder + name for name in made)  # another compaction was quicker


def _write_parts(
    reader: Reader, table: str, partition: partitions.Partition, rows: pl.DataFrame, levels: Iterable[int]
) -> dict[int, list[partitions.StoredFile]]:
    parts: dict[int, list[partitions.StoredFile]] = {}
    for level in levels:
        if level:
            columns = None if level > 0 else [name for name in TABLES[table] if name != "gpu"]
            rows = roll_up(rows.lazy(), table, step_seconds=abs(level), columns=columns).collect()
        rows = rows.sort([name for name in partitions.SORT if name in rows.columns])
        parts[level] = []
        for piece in rows.iter_slices(PART_ROWS):
            content = to_parquet(piece)
            name = partitions.part_name(level, content)
            reader.objects.put(partition.folder + name, content)
            nodes, ats = piece["node"].fill_null(""), piece["at"].dt.timestamp("ms") / 1000
            parts[level].append(partitions.StoredFile(name, nodes[0], nodes[-1], ats.min(), ats.max()))  # type: ignore[arg-type]
    return parts


def _sweep(reader: Reader, partition: partitions.Partition, manifest: partitions.Manifest) -> None:
    """Remove what is not read any more: segments that the parts hold, manifests and parts that were replaced, and what
    a killed writer or compaction left.
    """
    manifests, segments, now = partition.manifests(), partition.segments(), datetime.now(tz=UTC)
    settled = bool(manifests) and now - partition.entries[manifests[-1]].modified > GRACE
    named = manifest.names() | set(manifests[-1:])
    replaced = set(manifests) | {name for name, segment in segments.items() if manifest.holds(*segment)}
    gone = [
        name
        for name, entry in partition.entries.items()
        if name not in named
        and (settled if name in replaced else name not in segments and now - entry.modified > ABANDONED)
    ]
    reader.objects.delete(partition.folder + name for name in gone)


def expire(reader: Reader, now: datetime, *, max_age: timedelta | None, max_bytes: int | None) -> None:
    """Remove whole partitions: those that ended more than `max_age` ago, then the oldest until `max_bytes` hold the
    rest.  What devices there are is kept: it is small, and said only when it changes.
    """
    found = [
        (each.start + partitions.span_of(table), sum(entry.size_bytes for entry in each.entries.values()), each)
        for table in TABLES
        if table != "devices"
        for each in reader.partitions_of(table)
    ]
    size = sum(size for _, size, _ in found)
    try:
        for end, its_size, partition in sorted(found, key=lambda each: each[0]):
            if (max_age is not None and now - end > max_age) or (max_bytes is not None and size > max_bytes):
                size -= its_size
                # the newest manifest is the last of them, and then no part counts; a row is seen once or not at all
                manifests = partition.manifests()
                names = [*manifests, *(name for name in partition.entries if name not in manifests)]
                for name in names:
                    reader.objects.delete([partition.folder + name])
    except OSError as error:
        reader.problem("expiry", f"{reader.where}: old rows can't be removed: {error.strerror or error}")


if __name__ == "__main__":
    main()
