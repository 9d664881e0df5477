"""Where everything lies: partitions of an hour or a day, batches as written, files as compacted, manifests.

v1/gpu/2026-05-04/12/s-node-1-5f3a02c1-000017-8c1f22ab.parquet  a batch: what one writer wrote at once
v1/gpu/2026-05-04/12/c-600-1f0c5d9be2a47366-77e0a3d1.parquet    a file: many batches, rolled up to 600 s
v1/gpu/2026-05-04/12/m-000003.json                              the third manifest: which files count, which batches
                                                                they hold

A reader takes the newest manifest's files and the batches that they do not hold; so it sees each row once, at any
moment.  A manifest is created only where none is: of two compactions at once, one wins.  A Parquet file's name ends in
its CRC-32, which is checked before it is read: a damaged one can take the whole process down with it.
"""

from __future__ import annotations

import json
import re
import secrets
import zlib
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from clusterctl.json_text import json_text
from planners.telemetry.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from clusterctl.store.object_store import Entry

VERSION = "v1"
ANY_VERSION = re.compile(r"v\d+")
LEVELS = (10, 60, 600)
"""Seconds of the roll-ups of a table with `seconds`; the others keep their rows at level 0."""
BY_NODE = -600
"""Of 600 s too, with the GPUs of a node rolled up: an eighth of the rows, for who does not ask for single GPUs."""
SORT = ("node", "gpu", "run", "at")
"""Order of the rows of a file: one node's are together, so that a reader skips the others, and zstd finds patterns."""
_BATCH = re.compile(r"s-(?P<writer>.+)-(?P<number>\d+)-[0-9a-f]{8}\.parquet")


def levels(table: str) -> tuple[int, ...]:
    """The levels that a table's files are kept at, finest first."""
    if "seconds" not in TABLES[table]:
        return (0,)
    return (*LEVELS, BY_NODE) if "gpu" in TABLES[table] else LEVELS


def level_for(table: str, step_seconds: int, columns: Collection[str] | None) -> int:
    """The coarsest level that answers in steps of so many seconds and with these columns."""
    level = max((level for level in LEVELS if level <= step_seconds), default=LEVELS[0])
    by_node = columns is not None and "gpu" not in columns and BY_NODE in levels(table)
    return BY_NODE if by_node and level == -BY_NODE else level


def span_of(table: str) -> timedelta:
    """How long a partition is: an hour where every GPU adds rows, a day where only events do."""
    return timedelta(hours=1) if "seconds" in TABLES[table] else timedelta(days=1)


def partition_format(table: str) -> str:
    """For strftime: the partition's folder within the table's."""
    return "%Y-%m-%d/%H" if "seconds" in TABLES[table] else "%Y-%m-%d"


def partition_of(table: str, at: datetime) -> str:
    """The partition of a row that ends at `at`, in UTC: the one in which it ends."""
    return (at - timedelta(milliseconds=1)).strftime(partition_format(table))


def batch_key(table: str, at: datetime, writer: str, number: int, content: bytes) -> str:
    """Where a batch goes, one of whose rows ends at `at`."""
    name = f"s-{writer}-{number:06d}-{_checksum(content)}.parquet"
    return f"{VERSION}/{table}/{partition_of(table, at)}/{name}"


def file_name(level: int, content: bytes) -> str:
    """A name that no other file has."""
    return f"c-{abs(level)}{'n' if level < 0 else ''}-{secrets.token_hex(8)}-{_checksum(content)}.parquet"


def is_whole(key: str, content: bytes | memoryview) -> bool:
    """Whether a Parquet file holds what its name says."""
    return key.endswith(f"-{_checksum(content)}.parquet")


def _checksum(content: bytes | memoryview) -> str:
    return f"{zlib.crc32(content):08x}"


class StoredFile(NamedTuple):
    """A file of rolled-up rows, and whose they are."""

    name: str
    first_node: str
    last_node: str
    first_at: float = 0.0
    last_at: float = 2.0**33
    """Seconds since 1970; manifests of an older version do not say."""

    def may_hold(self, start: datetime, end: datetime, nodes: Collection[str] | None) -> bool:
        """Whether rows with start < at <= end of one of these nodes may be in it."""
        timely = self.last_at > start.timestamp() and self.first_at <= end.timestamp()
        return timely and (nodes is None or any(self.first_node <= node <= self.last_node for node in nodes))


def _stored_file(values: Sequence[Any]) -> StoredFile:
    """Raises ValueError or TypeError for what a manifest can't hold."""
    file = StoredFile(*values)
    *names, first_at, last_at = file
    if not all(isinstance(name, str) for name in names) or "/" in file.name or not isfinite(first_at + last_at):
        raise ValueError("it is no manifest")
    return file


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionManifest:
    """What counts in a partition."""

    number: int = 0
    files: Mapping[int, tuple[StoredFile, ...]] = field(default_factory=dict)
    """By level."""
    merged: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    """By writer: first and last numbers of the batches that the files hold."""

    is_in_pieces: bool = False
    """Whether files were added to files, while the partition was open."""

    def holds(self, writer: str, number: int) -> bool:
        """Whether the files hold a batch."""
        return any(first <= number <= last for first, last in self.merged.get(writer, ()))

    def names(self) -> set[str]:
        """Of all its files."""
        return {file.name for files in self.files.values() for file in files}

    def merged_with(self, batches: Iterable[tuple[str, int]]) -> dict[str, tuple[tuple[int, int], ...]]:
        """`merged`, with more batches."""
        merged = dict(self.merged)
        for writer, number in batches:
            merged[writer] = _with_number(merged.get(writer, ()), number)
        return merged

    def to_json(self) -> bytes:
        """As kept: a line of JSON, in which files are called parts, and a line with its checksum."""
        kept = {"parts": self.files, "merged": self.merged, "is_in_pieces": self.is_in_pieces}
        line = json_text(kept).encode() + b"\n"
        return line + _checksum(line).encode() + b"\n"

    @staticmethod
    def from_json(number: int, content: bytes) -> PartitionManifest:
        """Raises ValueError for what is damaged."""
        line, _, checksum = content.partition(b"\n")
        if _checksum(line + b"\n").encode() != checksum.strip():
            raise ValueError("its checksum differs")
        try:
            kept = json.loads(line)
            return PartitionManifest(
                number=number,
                files={int(level): tuple(map(_stored_file, each)) for level, each in kept["parts"].items()},
                merged={writer: tuple((int(a), int(b)) for a, b in runs) for writer, runs in kept["merged"].items()},
                is_in_pieces=bool(kept["is_in_pieces"]),
            )
        except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError("it is no manifest") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """What lies in one partition's folder."""

    table: str
    folder: str
    """Key of the folder, with its trailing slash."""
    start: datetime
    entries: Mapping[str, Entry]
    """By file name."""

    @property
    def end(self) -> datetime:
        """Its rows end no later."""
        return self.start + span_of(self.table)

    def batches(self) -> dict[str, tuple[str, int]]:
        """Writer and number by file name."""
        found = ((name, _BATCH.fullmatch(name)) for name in self.entries)
        return {name: (match["writer"], int(match["number"])) for name, match in found if match}

    def manifests(self) -> list[str]:
        """File names, oldest first."""
        return sorted(name for name in self.entries if re.fullmatch(r"m-\d{6}\.json", name))

    def last_number(self) -> int:
        """Of its newest manifest; 0 when there is none."""
        return int(self.manifests()[-1][2:8]) if self.manifests() else 0


def partitions(table: str, entries: Iterable[Entry]) -> list[Partition]:
    """The partitions that these objects of a table make, oldest first; what has no place in it is left out."""
    by_folder: dict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        folder, _, name = entry.key.rpartition("/")
        by_folder[folder][name] = entry
    found = []
    for folder, named in by_folder.items():
        with suppress(ValueError):
            text = folder.removeprefix(f"{VERSION}/{table}/")
            start = datetime.strptime(text, partition_format(table)).replace(tzinfo=UTC)
            found.append(Partition(table=table, folder=f"{folder}/", start=start, entries=named))
    return sorted(found, key=lambda partition: partition.start)


def _with_number(runs: Iterable[tuple[int, int]], number: int) -> tuple[tuple[int, int], ...]:
    """First and last of each unbroken run of numbers, with one more: (1, 3), (5, 7) and 4 -> (1, 7)."""
    whole: list[tuple[int, int]] = []
    for first, last in sorted([*runs, (number, number)]):
        if whole and first <= whole[-1][1] + 1:
            whole[-1] = (whole[-1][0], max(last, whole[-1][1]))
        else:
            whole.append((first, last))
    return tuple(whole)
