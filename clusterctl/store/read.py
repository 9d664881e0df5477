"""Reading a store: which files answer a question, and what to do when some can't be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.store import layout
from planners.telemetry.roll_up import roll_up
from planners.telemetry.tables import TABLES, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from clusterctl.store.objects import Objects

UNREADABLE = (OSError, pl.exceptions.PolarsError)
LOOKS = 5
"""How often a reader looks again when a compaction removed what it was about to read."""


class Reader:
    """Reads one store.  Threads may share it."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._problems: dict[str, None] = {}
        self._manifests: dict[str, layout.Manifest] = {}

    def read(
        self,
        table: str,
        *,
        start: datetime,
        end: datetime,
        step_seconds: int = 0,
        run: str | None = None,
        nodes: Collection[str] | None = None,
        columns: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """See `Source.read`."""
        unknown = set(columns or ()) - set(TABLES[table])
        if unknown:
            raise ValueError(f"the table {table} has no column {', '.join(sorted(unknown))}")
        level, step = 0, 0
        if step_seconds and "seconds" in TABLES[table]:
            level = max((level for level in layout.LEVELS if level <= step_seconds), default=layout.LEVELS[0])
            step = -(-step_seconds // level) * level
            start, end = _whole(start, step, up=False), _whole(end, step, up=True)
        wanted = (pl.col("at") > start) & (pl.col("at") <= end)
        if run is not None:
            wanted &= pl.col("run") == run
        if nodes is not None:
            wanted &= pl.col("node").is_in(list(nodes))

        def answer(files: list[Path]) -> pl.DataFrame:
            rows = scan(files, table).filter(wanted)
            if step:
                return roll_up(rows, table, step_seconds=step, columns=columns).collect(engine="streaming")
            return rows.select(columns_of(table, columns)).collect()

        for _ in range(LOOKS - 1):
            try:
                return self._answer(answer, table, start, end, level)
            except FileNotFoundError:
                continue
        return self._answer(answer, table, start, end, level)

    def span(self) -> tuple[datetime, datetime] | None:
        """See `Source.span`."""
        found: list[datetime] = []
        for table in ("gpu", "host", "sandbox"):
            partitions = self.partitions(table)
            for partition in partitions[:1] + partitions[-1:]:
                last = partition.start + layout.span_of(table)
                ats = self.read(table, start=partition.start, end=last, columns=["at"])["at"]
                found += [at for at in (ats.min(), ats.max()) if isinstance(at, datetime)]
        return (min(found), max(found)) if found else None

    def problems(self) -> tuple[str, ...]:
        """See `Source.problems`."""
        return tuple(self._problems)

    def problem(self, text: str) -> None:
        """Remember what could not be read, once."""
        self._problems.setdefault(text)

    def partitions(
        self, table: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[layout.Partition]:
        """The partitions of a table with something in them that may hold rows with start < at <= end, oldest first."""
        prefix = f"{layout.VERSION}/{table}"
        entries = []
        try:
            days = self.objects.folders(prefix)
            if start is not None and end is not None:
                first, last = start.strftime("%Y-%m-%d"), end.strftime("%Y-%m-%d")
                days = [day for day in days if first <= day <= last]
            for day in days:
                entries += list(self.objects.entries(f"{prefix}/{day}"))
        except OSError as error:
            self.problem(f"{self.objects.where} can't be listed: {error.strerror or error}")
        found = layout.partitions(table, entries)
        if start is None or end is None:
            return found
        return [each for each in found if each.start < end and each.start + layout.span_of(table) > start]

    def manifest(self, partition: layout.Partition) -> layout.Manifest:
        """The newest manifest of a partition that can be read; an empty one when there is none.

        Raises FileNotFoundError when a compaction has replaced it.
        """
        for name in reversed(partition.manifests()):
            key = partition.folder + name
            if key not in self._manifests:
                try:
                    content = self.objects.local(key).read_bytes()
                    self._manifests[key] = layout.Manifest.from_json(int(name[2:-5]), content)
                except FileNotFoundError:
                    raise
                except (OSError, ValueError) as error:
                    self.problem(f"{self.objects.where}/{key} can't be read: {error}")
                    continue
            return self._manifests[key]
        return layout.Manifest()

    def _keys(self, table: str, start: datetime, end: datetime, level: int) -> Iterator[str]:
        """The files that hold these rows, at this level where it is there."""
        for partition in self.partitions(table, start, end):
            manifest = self.manifest(partition)
            names = manifest.parts.get(level, manifest.parts.get(layout.levels(table)[0], ()))
            yield from (partition.folder + name for name in names)
            for name, (writer, number) in partition.segments().items():
                if not manifest.holds(writer, number):
                    yield partition.folder + name

    def _answer(
        self, answer: Callable[[list[Path]], pl.DataFrame], table: str, start: datetime, end: datetime, level: int
    ) -> pl.DataFrame:
        files = []
        for key in self._keys(table, start, end, level):
            try:
                files.append(self.objects.local(key))
            except FileNotFoundError:
                raise
            except OSError as error:
                self.problem(f"{self.objects.where}/{key} can't be read: {error.strerror or error}")
        try:
            return answer(files)
        except FileNotFoundError:
            raise
        except UNREADABLE:
            return answer([file for file in files if self._is_readable(file, table)])

    def _is_readable(self, file: Path, table: str) -> bool:
        try:
            scan([file], table).collect()
        except FileNotFoundError:
            raise
        except UNREADABLE as error:
            self.problem(f"{file} can't be read: {str(error).splitlines()[0]}")
            return False
        return True


def scan(files: list[Path], table: str) -> pl.LazyFrame:
    """Rows of files of a table, with today's columns: what an older version did not write is null."""
    if not files:
        return pl.LazyFrame(schema=schema(table))
    return pl.scan_parquet(
        files, schema=schema(table), missing_columns="insert", extra_columns="ignore", glob=False,
        hive_partitioning=False,
    )  # fmt: skip


def columns_of(table: str, columns: Collection[str] | None) -> list[str]:
    """The columns that are asked for, and `at`, in the table's order."""
    return [name for name in TABLES[table] if columns is None or name == "at" or name in columns]


def _whole(at: datetime, step: int, *, up: bool) -> datetime:
    seconds, rest = divmod(at.timestamp(), step)
    return datetime.fromtimestamp(0, tz=UTC) + timedelta(seconds=(seconds + (up and rest > 0)) * step)
