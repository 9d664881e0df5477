"""Reading a store: which files hold the rows that are asked for, and what to do when some can't be read."""

from __future__ import annotations

import mmap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.foreign_files import read_limited
from clusterctl.foreign_frames import UNREADABLE
from clusterctl.store import partitions
from clusterctl.store.source import TelemetrySource
from planners.telemetry.roll_up import roll_up, whole_steps
from planners.telemetry.tables import TABLES, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from clusterctl.store.object_store import Entry, ObjectStore
    from clusterctl.store.source import TelemetryQuery

MAX_KEPT_BATCHES = 4000
"""Batches whose rows stay in memory, some 15 KB each: opening a small file takes longer than all else."""
MAX_MANIFEST_BYTES = 64 << 20
"""A file of it takes 150 bytes, and so does a writer."""
THREADS = 4
MAX_ATTEMPTS = 5
"""A reader lists the files again when those that it was about to read were replaced or have expired."""


class Reader(TelemetrySource):
    """Reads one store.  Threads may share it."""

    def __init__(self, object_store: ObjectStore) -> None:
        self.object_store, self.where = object_store, object_store.where
        self._problems: dict[str, str] = {}
        """By key of the object, or by what failed."""
        self._damaged: set[str] = set()
        self._verified: set[str] = set()
        self._manifests: dict[str, partitions.PartitionManifest] = {}
        self._kept: dict[str, pl.DataFrame] = {}
        """Rows of the last batches that were read."""

    def answer(self, query: TelemetryQuery) -> pl.DataFrame:
        table, (level, step) = query.table, stepped(query)
        if step:
            start, end = whole_steps(query.start, query.end, step)
            query = replace(query, start=start, end=end)

        def collect(files: Mapping[str, Path]) -> pl.DataFrame:
            rows = self._scan(files, table).filter(query.condition())
            if step:
                return roll_up(rows, table, step_seconds=step, columns=query.columns).collect(engine="streaming")
            return rows.select(query.selected()).collect()

        for attempt in range(MAX_ATTEMPTS):
            try:
                return self._collected(collect, table, self._keys(query, level), last=attempt == MAX_ATTEMPTS - 1)
            except FileNotFoundError:
                time.sleep(0.05 * attempt)
        raise AssertionError("the last attempt leaves out what is gone")

    def span(self) -> tuple[datetime, datetime] | None:
        found: list[datetime] = []
        for table in ("gpu", "host", "sandbox"):
            existing = self.partitions_of(table)
            for partition in existing[:1] + existing[-1:]:
                ats = self.read(table, start=partition.start, end=partition.end, columns=["at"])["at"]
                found += [at for at in (ats.min(), ats.max()) if isinstance(at, datetime)]
        return (min(found), max(found)) if found else None

    def problems(self) -> tuple[str, ...]:
        return tuple(self._problems.values())

    def problem(self, about: str, text: str) -> None:
        """Remember a problem, until it is `solved`."""
        self._problems[about] = text

    def solved(self, about: str) -> None:
        """Forget a problem."""
        self._problems.pop(about, None)

    def unreadable(self, key: str, error: BaseException) -> None:
        """Remember that an object can't be read; if its content is damaged, it is not tried again."""
        reason = (isinstance(error, OSError) and error.strerror) or next(iter(str(error).splitlines()), "")
        self.problem(key, f"{self.where}/{key} can't be read and is left out: {reason}")
        if not isinstance(error, OSError):
            self._damaged.add(key)

    def partitions_of(
        self, table: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[partitions.Partition]:
        """The partitions of a table with something in them that may hold rows with start < at <= end, oldest first."""
        prefix = f"{partitions.VERSION}/{table}"
        entries: list[Entry] = []
        try:
            self._look_for_other_versions()
            days = known = self.object_store.folders(prefix)
            if start is not None and end is not None:
                first, last = f"{start:%Y-%m-%d}", f"{end:%Y-%m-%d}"
                days = [day for day in known if first <= day <= last]
            for day in days:
                entries += self.object_store.entries(f"{prefix}/{day}")
        except OSError as error:
            self.problem("listing", f"{self.where} can't be listed: {error.strerror or error}")
            return []
        self.solved("listing")
        there = {entry.key for entry in entries}
        for key in list(self._problems):
            if key.startswith(f"{prefix}/") and key not in there and key.split("/")[2] not in set(known) - set(days):
                self.solved(key)  # it has expired
        found = partitions.partitions(table, entries)
        if start is None or end is None:
            return found
        return [each for each in found if each.start < end and each.end > start]

    def manifest(self, partition: partitions.Partition) -> partitions.PartitionManifest:
        """The newest manifest of a partition that can be read; an empty one when there is none.

        Raises FileNotFoundError when it has been replaced or has expired.
        """
        for name in reversed(partition.manifests()):
            key = partition.folder + name
            if key not in self._manifests:
                try:
                    content = read_limited(self.object_store.local(key), MAX_MANIFEST_BYTES)
                    self._manifests[key] = partitions.PartitionManifest.from_json(int(name[2:8]), content)
                except FileNotFoundError:
                    raise
                except (OSError, ValueError) as error:
                    self.unreadable(key, error)
                    continue
            return self._manifests[key]
        return partitions.PartitionManifest()

    def _look_for_other_versions(self) -> None:
        for name in self.object_store.folders(""):
            if name != partitions.VERSION and partitions.ANY_VERSION.fullmatch(name):
                self.problem(
                    name,
                    f"{self.where} holds telemetry of version {name[1:]} too, which this "
                    f"clusterctl does not read: it reads version {partitions.VERSION[1:]}",
                )

    def _keys(self, query: TelemetryQuery, level: int) -> list[str]:
        """The files that hold these rows, at this level where it is there."""
        asked = self.partitions_of(query.table, query.start, query.end)
        self.object_store.bring(each.folder + name for each in asked for name in each.manifests()[-1:])
        keys = []
        for partition in asked:
            manifest = self.manifest(partition)
            files = manifest.files.get(level) or manifest.files.get(abs(level), ())
            names = [file.name for file in files if file.may_hold(query.start, query.end, query.nodes)]
            batches = partition.batches()
            names += [name for name, batch in batches.items() if not manifest.holds(*batch)]
            keys += [partition.folder + name for name in names]
        return keys

    def _collected(
        self, collect: Callable[[Mapping[str, Path]], pl.DataFrame], table: str, keys: list[str], *, last: bool
    ) -> pl.DataFrame:
        """What `collect` makes of those files that can be read.  Raises FileNotFoundError, but not the last time."""
        keys = [key for key in keys if key not in self._damaged]
        try:
            self.object_store.bring(keys)
            self.solved("reading")
        except OSError as error:
            self.problem("reading", f"{self.where} can't be read: {error.strerror or error}")
            return collect({})
        with ThreadPoolExecutor(THREADS) as pool:  # a file is large, and its checksum needs no interpreter lock
            list(pool.map(lambda key: self._checked(key, last=last), (key for key in keys if "/c-" in key)))
        files = {key: file for key in keys if (file := self._checked(key, last=last)) is not None}
        try:
            return collect(files)
        except UNREADABLE as error:
            if isinstance(error, FileNotFoundError) and not last:
                raise
        return collect({key: files[key] for key in self.frames(table, files)})

    def _scan(self, files: Mapping[str, Path], table: str) -> pl.LazyFrame:
        batches = {str(file): key for key, file in files.items() if "/s-" in key}
        if not batches or len(batches) > MAX_KEPT_BATCHES:
            return scan(files.values(), table)
        found = {key: self._kept[key] for key in batches.values() if key in self._kept}
        new = [Path(file) for file, key in batches.items() if key not in found]
        if new:
            read = scan(new, table, file_column="file").collect().partition_by("file", as_dict=True, include_key=False)
            found |= {batches[str(file)]: rows for (file,), rows in read.items()}
            self._kept = dict(list((self._kept | found).items())[-MAX_KEPT_BATCHES:])
        compacted = scan([file for key, file in files.items() if "/s-" not in key], table)
        return pl.concat([compacted, pl.concat(found.values()).lazy()]) if found else compacted

    def frames(self, table: str, keys: Iterable[str]) -> dict[str, pl.DataFrame]:
        """All rows of each of these objects that can be read.  Raises FileNotFoundError."""
        frames = {}
        for key in keys:
            try:
                if (file := self._checked(key, last=False)) is not None:
                    frames[key] = scan([file], table).collect()
            except UNREADABLE as error:
                if isinstance(error, FileNotFoundError):
                    raise
                self.unreadable(key, error)
        return frames

    def _checked(self, key: str, *, last: bool) -> Path | None:
        """The file, unless its checksum differs from that in its name; checked once, for a file never changes."""
        try:
            file = self.object_store.local(key)
            if key not in self._verified:
                with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    if not partitions.is_whole(key, memoryview(content)):
                        raise ValueError("its checksum differs")
                self._verified.add(key)
        except (OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError) and not last:
                raise
            self.unreadable(key, error)
            return None
        return file


def stepped(query: TelemetryQuery) -> tuple[int, int]:
    """The level at which rows are asked for, and the seconds that each of the answer covers; 0 = as stored."""
    if not query.step_seconds or "seconds" not in TABLES[query.table]:
        return partitions.levels(query.table)[0], 0
    level = partitions.level_for(query.table, query.step_seconds, query.columns)
    return level, -(-query.step_seconds // abs(level)) * abs(level)


def scan(files: Collection[Path], table: str, *, file_column: str | None = None) -> pl.LazyFrame:
    """Rows of files of a table, with today's columns: what an older version did not write is null."""
    if not files:
        return pl.LazyFrame(schema=schema(table))
    return pl.scan_parquet(
        list(files),
        schema=schema(table),
        missing_columns="insert",
        extra_columns="ignore",
        glob=False,
        hive_partitioning=False,
        include_file_paths=file_column,
    )
