"""Where what lies: partitions of an hour or a day, segments as written, parts as compacted, manifests.

v1/gpu/2026-05-04/12/s-NODE-WRITER-000017.parquet  a segment: one flush of one writer
v1/gpu/2026-05-04/12/c-600-1f0c….parquet           a part: many segments, rolled up to 600 s
v1/gpu/2026-05-04/12/m-000003.json                 the third manifest: which parts count, which segments they hold

A reader takes the newest manifest's parts and the segments that it does not name; so each row is seen once, at any
moment.  A manifest is created only where none is: of two compactions at once, one wins.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from planners.telemetry.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clusterctl.store.objects import Entry

VERSION = "v1"
LEVELS = (10, 60, 600)
"""Seconds of the roll-ups of a table with `seconds`; the others keep their rows at level 0."""
SORT = ("node", "gpu", "run", "at")
"""Order of the rows of a part, so that one node's are together."""
_NAME = re.compile(r"s-(?P<writer>.+)-(?P<number>\d+)\.parquet")


def levels(table: str) -> tuple[int, ...]:
    """The levels that a table's parts are kept at, finest first."""
    return LEVELS if "seconds" in TABLES[table] else (0,)


def span_of(table: str) -> timedelta:
    """How long a partition is: an hour where every GPU adds rows, a day where only events do."""
    return timedelta(hours=1) if "seconds" in TABLES[table] else timedelta(days=1)


def partition_format(table: str) -> str:
    """For strftime: the partition's folder within the table's."""
    return "%Y-%m-%d/%H" if "seconds" in TABLES[table] else "%Y-%m-%d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What counts in a partition."""

    number: int = 0
    parts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """By level: file names."""
    merged: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    """By writer: first and last numbers of the segments that the parts hold."""

    def holds(self, writer: str, number: int) -> bool:
        """Whether the parts hold a segment."""
        return any(first <= number <= last for first, last in self.merged.get(writer, ()))

    def to_json(self) -> bytes:
        """As kept."""
        return json.dumps({"parts": self.parts, "merged": self.merged}).encode()

    @staticmethod
    def from_json(number: int, content: bytes) -> Manifest:
        """Raises ValueError for what is none."""
        try:
            kept = json.loads(content)
            return Manifest(
                number=number,
                parts={int(level): tuple(map(str, names)) for level, names in kept["parts"].items()},
                merged={name: tuple((int(a), int(b)) for a, b in runs) for name, runs in kept["merged"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("it is no manifest") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """What lies in one partition's folder."""

    folder: str
    """Key of the folder, with its trailing slash."""
    start: datetime
    entries: Mapping[str, Entry]
    """By file name."""

    def segments(self) -> dict[str, tuple[str, int]]:
        """Writer and number by file name."""
        found = ((name, _NAME.fullmatch(name)) for name in self.entries)
        return {name: (match["writer"], int(match["number"])) for name, match in found if match}

    def manifests(self) -> list[str]:
        """File names, oldest first."""
        return sorted(name for name in self.entries if name.startswith("m-") and name.endswith(".json"))


def segment_key(table: str, partition: str, writer: str, number: int) -> str:
    """Where a flush goes."""
    return f"{VERSION}/{table}/{partition}/s-{writer}-{number:06d}.parquet"


def partitions(table: str, entries: Iterable[Entry]) -> list[Partition]:
    """The partitions that these objects of a table make, oldest first; what has no place in it is left out."""
    by_folder: dict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        folder, _, name = entry.key.rpartition("/")
        by_folder[folder][name] = entry
    found = []
    for folder, named in by_folder.items():
        try:
            text = folder.removeprefix(f"{VERSION}/{table}/")
            start = datetime.strptime(text, partition_format(table)).replace(tzinfo=UTC)
        except ValueError:
            continue
        found.append(Partition(folder=f"{folder}/", start=start, entries=named))
    return sorted(found, key=lambda partition: partition.start)


def runs_of(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """First and last of each unbroken run: 1 2 3 7 8 -> (1, 3), (7, 8)."""
    runs: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return tuple(runs)
