"""Compaction: many segments become one part per level; then what is too old, or too much, is removed."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

import polars as pl

from clusterctl.store import layout
from clusterctl.store.read import UNREADABLE, Reader, scan
from clusterctl.store.write import to_parquet
from planners.telemetry.roll_up import roll_up
from planners.telemetry.tables import TABLES

LATE = timedelta(minutes=5)
"""A partition is closed this long after its end: what comes later is merged later."""
MANY_SEGMENTS = 32
"""From this many on, the segments of an open partition are made into a part."""
ABANDONED = timedelta(hours=6)
"""What no manifest names after this long was left by a compaction that was killed."""


def compact(reader: Reader, now: datetime) -> None:
    """Compact every partition that needs it.  Two may do so at once, and each may be killed at any moment."""
    for table in TABLES:
        for partition in reader.partitions(table):
            try:
                _compact_partition(reader, table, partition, now)
            except FileNotFoundError:
                continue  # another compaction was quicker
            except OSError as error:
                reader.problem(f"{reader.objects.where} can't be compacted: {error.strerror or error}")
                return


def _compact_partition(reader: Reader, table: str, partition: layout.Partition, now: datetime) -> None:
    manifest = reader.manifest(partition)
    segments = partition.segments()
    fresh = {name for name, segment in segments.items() if not manifest.holds(*segment)}
    finest = layout.levels(table)[0]
    closed = now > partition.start + layout.span_of(table) + LATE
    _sweep(reader, partition, manifest, set(segments) - fresh, now)
    frames = {}
    old = manifest.parts.get(finest, ()) if closed else ()
    if not (fresh and closed) and len(old) < 2 and len(fresh) < MANY_SEGMENTS:
        return
    for name in (*fresh, *old):
        try:
            frames[name] = scan([reader.objects.local(partition.folder + name)], table).collect()
        except FileNotFoundError:
            raise
        except UNREADABLE as error:
            reader.problem(
                f"{reader.objects.where}/{partition.folder}{name} can't be read: {str(error).splitlines()[0]}"
            )
    if old and not set(old) <= set(frames):
        frames = {name: frame for name, frame in frames.items() if name in fresh}  # keep what is readable of the rest
        old = ()
    if not frames or (set(frames) == set(old) and len(old) < 2):
        return
    parts = _write_parts(reader, table, partition, pl.concat(frames.values()))
    kept = {level: (*(() if old else manifest.parts.get(level, ())), name) for level, name in parts.items()}
    merged = {writer: [n for a, b in runs for n in range(a, b + 1)] for writer, runs in manifest.merged.items()}
    for name in fresh & set(frames):
        merged.setdefault(segments[name][0], []).append(segments[name][1])
    newer = layout.Manifest(
        number=manifest.number + 1,
        parts=kept,
        merged={writer: layout.runs_of(numbers) for writer, numbers in merged.items()},
    )
    if not reader.objects.put(f"{partition.folder}m-{newer.number:06d}.json", newer.to_json(), new=True):
        reader.objects.delete(partition.folder + name for name in parts.values())
        return
    gone = [*(fresh & set(frames)), *partition.manifests()]
    if old:
        gone += [name for names in manifest.parts.values() for name in names]
    reader.objects.delete(partition.folder + name for name in gone)


def _write_parts(reader: Reader, table: str, partition: layout.Partition, rows: pl.DataFrame) -> dict[int, str]:
    order = [name for name in layout.SORT if name in rows.columns]
    parts = {}
    for level in layout.levels(table):
        if level:
            rows = roll_up(rows.lazy(), table, step_seconds=level).collect()
        parts[level] = f"c-{level}-{secrets.token_hex(8)}.parquet"
        reader.objects.put(partition.folder + parts[level], to_parquet(rows.sort(order)))
    return parts


def _sweep(
    reader: Reader, partition: layout.Partition, manifest: layout.Manifest, held: set[str], now: datetime
) -> None:
    """Remove what a killed compaction left: segments that the parts hold, parts that no manifest names, halves."""
    named = {name for names in manifest.parts.values() for name in names} | set(partition.segments())
    lost = {
        name for name, entry in partition.entries.items()
        if name not in named and name not in partition.manifests()[-1:] and now - entry.modified > ABANDONED
    }  # fmt: skip
    reader.objects.delete(partition.folder + name for name in held | lost)


def expire(reader: Reader, now: datetime, *, max_age: timedelta | None, max_bytes: int | None) -> None:
    """Remove whole partitions: those that ended more than `max_age` ago, then the oldest until `max_bytes` hold the
    rest.  What devices there are is kept: it is small, and said only when it changes.
    """
    found = []
    for table in TABLES:
        if table != "devices":
            found += [(each.start + layout.span_of(table), each) for each in reader.partitions(table)]
    found.sort(key=lambda pair: pair[0])
    size = sum(entry.size_bytes for _, each in found for entry in each.entries.values())
    try:
        for end, partition in found:
            too_old = max_age is not None and now - end > max_age
            if not too_old and (max_bytes is None or size <= max_bytes):
                continue
            size -= sum(entry.size_bytes for entry in partition.entries.values())
            # the newest manifest goes last: without it, segments that wait to be removed would count again
            names = sorted(partition.entries, key=lambda name: (name.startswith("m-"), name))
            reader.objects.delete(partition.folder + name for name in names)
    except OSError as error:
        reader.problem(f"{reader.objects.where}: old telemetry can't be removed: {error.strerror or error}")
