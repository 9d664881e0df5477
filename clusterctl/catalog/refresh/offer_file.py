"""Offers from one CSV file that people maintain by hand: `neoclouds.csv` ships, `prices import` reads any other."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from clusterctl.catalog.lookup import find_gpu
from clusterctl.catalog.price_files import EXTRA_SCHEMA, PRICE_SCHEMA, SHAPE_SCHEMA, SOURCE_SCHEMA
from clusterctl.catalog.refresh.reading import Reading
from clusterctl.errors import PriceError, SpecError
from clusterctl.foreign_files import read_limited
from planners.domain import CapacityType

NEEDED = ("cloud", "region", "instance_type", "capacity_type", "usd_per_hour", "as_of", "source")
OPTIONAL = (
    "quality", "gpu", "num_gpus", "vcpus", "memory_gib", "network_gbps", "local_nvme_gib", "arch", "zone",
)  # fmt: skip
"""Columns of the file, in any order.  usd_per_hour: of the whole instance; as_of: YYYY-MM-DD; source: where the price
was read; region `any`: one price everywhere; an empty cell is unknown."""
KEY = ["cloud", "instance_type"]
ARCHES = ("x86_64", "arm64")
MAX_BYTES = 64 << 20
"""Half a million offers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferFile:
    """What a file offers: a reading per cloud, and the shapes of its machines (SHAPE_SCHEMA)."""

    readings: tuple[Reading, ...]
    shapes: pl.DataFrame


def read_offer_file(path: Path) -> OfferFile:
    """The offers in a CSV file.  Raises PriceError with the line of what is wrong."""
    try:
        text = read_limited(path, MAX_BYTES, pipe=True).decode("utf-8-sig")
        header, *records = [row for row in csv.reader(io.StringIO(text, newline="")) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PriceError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if twice := [name for name in header if header.count(name) > 1]:
        raise PriceError(f"{path}:1: has the column {twice[0][:80]} twice")
    lines = [dict.fromkeys(header, "") | dict(zip(header, record, strict=False)) for record in records]
    columns = set(lines[0]) if lines else set()
    wrong = [name for name in NEEDED if name not in columns] or sorted(columns - {*NEEDED, *OPTIONAL}, key=str)
    if wrong:
        what = "unknown" if lines and wrong[0] in columns else "missing"
        hint = f"columns: {', '.join(NEEDED)}; and, where known, {', '.join(OPTIONAL)}"
        raise PriceError(f"{path}: column {wrong[0]} is {what}", hint=hint)
    for number, record in enumerate(records, 2):
        if len(record) > len(header):
            raise PriceError(f"{path}:{number}: has {len(record)} fields, the header {len(header)}")
    rows = [_Row(path, number, line) for number, line in enumerate(lines, 2)]
    priced = [row.price() for row in rows]
    _refuse_doubles(path, priced)
    prices = pl.DataFrame(priced, schema=PRICE_SCHEMA, orient="row")
    shapes = pl.DataFrame([row.shape() for row in rows], schema=SHAPE_SCHEMA, orient="row")
    return OfferFile(readings=tuple(_readings(prices)), shapes=shapes.unique(KEY, keep="first", maintain_order=True))


def _refuse_doubles(path: Path, priced: Sequence[tuple[object, ...]]) -> None:
    """priced: in PRICE_SCHEMA.  Raises PriceError."""
    first: dict[tuple[object, ...], int] = {}
    for line, (cloud, region, zone, machine, capacity, *_) in enumerate(priced, 2):
        other = first.setdefault((cloud, region, zone, machine, capacity), line)
        if other != line:
            raise PriceError(f"{path}:{line}: {machine} in {region}, {capacity} has a price in line {other} already")


def with_shapes(known: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """`known` shapes, those of `more` in place of the same machines."""
    return pl.concat([known.join(more, on=KEY, how="anti"), more])


def _readings(prices: pl.DataFrame) -> Iterator[Reading]:
    for (cloud,), rows in prices.sort("cloud").group_by(["cloud"], maintain_order=True):
        days = rows.group_by("source", maintain_order=True).agg(low=pl.col("as_of").min(), high=pl.col("as_of").max())
        about = [(source, source, low, high, "not checked") for source, low, high in days.rows()]
        yield Reading(
            cloud=str(cloud),
            prices=rows,
            extras=pl.DataFrame(schema=EXTRA_SCHEMA),
            source=pl.DataFrame(about, schema=SOURCE_SCHEMA, orient="row"),
            authority=("instance_type", "capacity_type"),
        )


class _Row:
    """One line of the file."""

    def __init__(self, path: Path, number: int, line: dict[str, str]) -> None:
        self._where = f"{path}:{number}"
        self._cells = {name: (text or "").strip() for name, text in line.items()}

    def price(self) -> tuple[object, ...]:
        """In PRICE_SCHEMA."""
        capacity = self._text("capacity_type")
        if capacity not in list(CapacityType):
            raise self._error("capacity_type", capacity, f"one of {', '.join(CapacityType)}")
        day = self._text("as_of")
        try:
            as_of = date.fromisoformat(day)
        except ValueError:
            raise self._error("as_of", day, "a day, YYYY-MM-DD") from None
        place = (self._name("cloud"), self._name("region"), self._cells.get("zone") or None)
        usd = self._number("usd_per_hour")
        if not usd:
            raise self._error("usd_per_hour", self._cells["usd_per_hour"], "dollars, more than 0")
        quality = self._cells.get("quality") or "list"
        return (*place, self._text("instance_type"), capacity, usd, as_of, self._text("source"), quality)

    def shape(self) -> tuple[object, ...]:
        """In SHAPE_SCHEMA; the GPU by the catalog's name and memory."""
        name, gpu = self._cells.get("gpu", ""), None
        if name:
            try:
                gpu = find_gpu(name)
            except SpecError as error:
                raise PriceError(f"{self._where}: {error.message}", hint=error.hint) from error
        sizes = (self._number("vcpus"), self._number("memory_gib"))
        if gpu is None and None in sizes:
            raise PriceError(f"{self._where}: a machine without a GPU needs vcpus and memory_gib")
        num_gpus = self._number("num_gpus")
        if gpu and num_gpus == 0:
            raise self._error("num_gpus", "0", f"how many {name} the machine has")
        gpus = (name or None, gpu.name if gpu else None, (num_gpus or 1.0) if gpu else 0.0)
        rest = (self._number("network_gbps"), None, self._number("local_nvme_gib"))
        machine = (self._text("cloud"), self._text("instance_type"))
        arch = self._cells.get("arch") or "x86_64"
        if arch not in ARCHES:
            raise self._error("arch", arch, " or ".join(ARCHES))
        return (*machine, *sizes, *gpus, gpu.hbm_gib if gpu else None, *rest, arch, self._text("source"))

    def _text(self, column: str) -> str:
        text = self._cells[column]
        if not text:
            raise self._error(column, "nothing", "text")
        return text

    def _name(self, column: str) -> str:
        text = self._text(column)
        if not re.fullmatch(r"[\w.-]+", text):
            raise self._error(column, text, "a name of letters, digits, `-`, `_` and `.`, as a spec writes it")
        return text

    def _number(self, column: str) -> float | None:
        text = self._cells.get(column, "")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e9:
            raise self._error(column, text, "a number, 0 or more")
        return value

    def _error(self, column: str, given: str, expected: str) -> PriceError:
        return PriceError(f"{self._where}: {column} is {given[:60]}; expected {expected}")
