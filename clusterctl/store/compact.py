"""Compaction: many batches become one file per level.  Two may run at once, and each may be killed at any moment.

Nothing is removed by the compaction that replaces it, but by a later one: a reader who looked before has GRACE to read.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.store import partitions
from clusterctl.store.partitions import Partition, PartitionManifest, StoredFile
from planners.telemetry.roll_up import roll_up
from planners.telemetry.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clusterctl.store.read import Reader

LATE = timedelta(minutes=5)
"""A partition is closed this long after its end: what comes later is merged into it again."""
MANY_BATCHES = 32
"""From this many on, the batches of an open partition are made into a file of their own."""
GRACE = timedelta(minutes=1)
"""A reader lists and opens files within this time."""
EVERY = timedelta(minutes=9)
"""Helpers of agents, which come every ten minutes, leave a folder alone that another has looked after so recently."""
FILE_ROWS = 2**19
"""Rows of a file: 7 MB of all GPU columns; who asks for one node reads one of an hour's many."""
ROW_GROUP = 2**16
"""Rows: one node's day is read in milliseconds, and the footer stays small; tools/benchmarks/results/store.md."""
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
                    _compact_partition(reader, partition, manifest, now)
            except FileNotFoundError:
                continue  # another compaction was quicker
            except OSError as error:
                reader.problem("compaction", f"{reader.where} can't be compacted: {error.strerror or error}")
                return
    reader.solved("compaction")


def to_parquet(frame: pl.DataFrame) -> bytes:
    """As batches and files are kept: dictionaries, zstd, and each row group's extremes, so that readers skip it."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True, row_group_size=ROW_GROUP)
    return buffer.getvalue()


def main() -> None:
    """Compact the store that is named, as an agent's helper: gently, and not if another has just done so."""
    from clusterctl.store import open_object_store
    from clusterctl.store.read import Reader

    os.nice(10)
    reader, now = Reader(open_object_store(sys.argv[1])), datetime.now(tz=UTC)
    mark = f"{partitions.VERSION}/compacted"
    file = reader.object_store.local(mark)
    if not file.exists() or abs(now.timestamp() - file.stat().st_mtime) > EVERY.total_seconds():
        with suppress(OSError):  # not marked, the next helper compacts once more
            reader.object_store.put(mark, b"")
        compact(reader, now)


def _compact_partition(reader: Reader, partition: Partition, manifest: PartitionManifest, now: datetime) -> None:
    table, batches = partition.table, partition.batches()
    fresh = [name for name, batch in batches.items() if not manifest.holds(*batch)]
    closed = now > partition.end + LATE
    kept = {} if closed else manifest.files
    old = [file.name for file in manifest.files.get(partitions.levels(table)[0], ())] if closed else []
    if not (closed and (fresh or manifest.is_in_pieces)) and len(fresh) < MANY_BATCHES:
        return
    rows = reader.frames(table, [partition.folder + name for name in fresh + old])
    if any(partition.folder + name not in rows for name in old):
        kept = manifest.files  # what is damaged stays where it is, beside what is made now
        rows = {key: frame for key, frame in rows.items() if not key.startswith(f"{partition.folder}c-")}
    read = {name: batches[name] for name in fresh if partition.folder + name in rows}
    if not read and (kept or not rows):
        return
    levels = [level for level in partitions.levels(table) if not kept or level in kept]  # an older version kept fewer
    files = _write_files(reader, partition, pl.concat(rows.values()), levels)
    newer = PartitionManifest(
        number=manifest.number + 1,
        files={level: (*kept.get(level, ()), *made) for level, made in files.items()},
        merged=manifest.merged_with(read.values()),
        is_in_pieces=bool(kept),
    )
    made = {file.name for level in files.values() for file in level}
    there = {entry.key for entry in reader.object_store.entries(partition.folder)}
    if not {partition.folder + name for name in made} <= there:
        return  # taken for abandoned: this process stood still for an hour
    key, content = f"{partition.folder}m-{newer.number:06d}.json", newer.to_json()
    # A bucket may say "it is there" of what our own first attempt wrote, whose answer was lost
    if not reader.object_store.put(key, content, new=True) and reader.object_store.local(key).read_bytes() != content:
        reader.object_store.delete(partition.folder + name for name in made)  # another compaction was quicker


def _write_files(
    reader: Reader, partition: Partition, rows: pl.DataFrame, levels: Iterable[int]
) -> dict[int, list[StoredFile]]:
    files: dict[int, list[StoredFile]] = {}
    for level in levels:
        if level:
            columns = None if level > 0 else [name for name in TABLES[partition.table] if name != "gpu"]
            rows = roll_up(rows.lazy(), partition.table, step_seconds=abs(level), columns=columns).collect()
        rows = rows.sort([name for name in partitions.SORT if name in rows.columns])
        files[level] = []
        for piece in rows.iter_slices(FILE_ROWS):
            content = to_parquet(piece)
            name = partitions.file_name(level, content)
            reader.object_store.put(partition.folder + name, content)
            nodes, ats = piece["node"].fill_null(""), piece["at"].dt.timestamp("ms") / 1000
            files[level].append(StoredFile(name, nodes[0], nodes[-1], ats.min(), ats.max()))  # type: ignore[arg-type]
    return files


def _sweep(reader: Reader, partition: Partition, manifest: PartitionManifest) -> None:
    """Remove what is not read any more: batches that the files hold, manifests and files that were replaced, and what
    a killed writer or compaction left.
    """
    manifests, batches, now = partition.manifests(), partition.batches(), datetime.now(tz=UTC)
    settled = bool(manifests) and now - partition.entries[manifests[-1]].modified > GRACE
    named = manifest.names() | set(manifests[-1:])
    replaced = set(manifests) | {name for name, batch in batches.items() if manifest.holds(*batch)}
    gone = [
        name
        for name, entry in partition.entries.items()
        if name not in named
        and (settled if name in replaced else name not in batches and now - entry.modified > ABANDONED)
    ]
    reader.object_store.delete(partition.folder + name for name in gone)


def expire(reader: Reader, now: datetime, *, max_age: timedelta | None, max_bytes: int | None) -> None:
    """Remove whole partitions: those that ended more than `max_age` ago, then the oldest until `max_bytes` hold the
    rest.  What devices there are is kept: it is small, and said only when it changes.
    """
    found = [
        (each.end, sum(entry.size_bytes for entry in each.entries.values()), each)
        for table in TABLES
        if table != "devices"
        for each in reader.partitions_of(table)
    ]
    size = sum(size for _, size, _ in found)
    try:
        for end, its_size, partition in sorted(found, key=lambda each: each[0]):
            if (max_age is not None and now - end > max_age) or (max_bytes is not None and size > max_bytes):
                size -= its_size
                # the newest manifest is the last of them, and then no file counts; a row is seen once or not at all
                manifests = partition.manifests()
                names = [*manifests, *(name for name in partition.entries if name not in manifests)]
                for name in names:
                    reader.object_store.delete([partition.folder + name])
    except OSError as error:
        reader.problem("expiry", f"{reader.where}: old rows can't be removed: {error.strerror or error}")


if __name__ == "__main__":
    main()
