"""What one cloud's price interface said, before it becomes part of a book."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from clusterctl.errors import PriceError
from clusterctl.prices.schema import PRICE_KEY, PRICE_SCHEMA, SOURCE_SCHEMA

HOURS_PER_YEAR = 8760
Row = tuple[str, str, str, float]
"""region, instance type, capacity type, dollars per hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Prices of one cloud in PRICE_SCHEMA, and what a reader of the report should know about them."""

    cloud: str
    prices: pl.DataFrame
    source: pl.DataFrame
    """Rows for the book's list of sources."""
    authority: tuple[str, ...]
    """Columns whose combinations, once read, are complete: an old price in one of them that was not read is gone."""
    notes: tuple[str, ...] = ()


class Cache:
    """Answers of this day's unfinished refresh, one JSON file each, so that another run continues."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def get(self, key: str) -> Any:  # JSON of ours: the caller knows its shape
        """What was put under `key`, or None; an unreadable file counts as absent."""
        try:
            return json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def put(self, key: str, value: object) -> None:
        """Keep `value`; the file appears whole or not at all."""
        path = self._path(key)
        begun = path.with_suffix(".part")
        begun.write_text(json.dumps(value), encoding="utf-8")
        os.replace(begun, path)  # noqa: PTH105 - replace is what makes it atomic, and Path.replace reads the same

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def usd(value: object, where: str) -> float:
    """A price from an answer: a number ≥ 0.  0 is what clouds write for "not sold"; the caller leaves it out.

    Raises PriceError for anything else, naming `where` it was.
    """
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise PriceError(f"{where}: {value!r} is not a price", hint="nothing was changed; the old book stays")
    return number


def price_frame(
    rows: Iterable[Row], *, cloud: str, as_of: date, source: str, quality: str | dict[str, str] = "list"
) -> pl.DataFrame:
    """Rows as PRICE_SCHEMA; of several prices for one thing the highest, so that a plan never pays more than said.

    `quality` may differ by instance type: a dict with a default under "".
    """
    frame = pl.DataFrame(
        list(rows),
        schema={
            "region": pl.String,
            "instance_type": pl.String,
            "capacity_type": pl.String,
            "usd_per_hour": pl.Float64,
        },
        orient="row",
    )
    by_type = quality if isinstance(quality, dict) else {"": quality}
    return (
        frame.filter(pl.col("usd_per_hour") > 0)
        .with_columns(
            cloud=pl.lit(cloud),
            zone=pl.lit(None, pl.String),
            as_of=pl.lit(as_of),
            source=pl.lit(source),
            quality=pl.col("instance_type").replace_strict(by_type, default=by_type[""], return_dtype=pl.String),
        )
        .sort("usd_per_hour", descending=True)
        .unique(PRICE_KEY, keep="first", maintain_order=True)
        .select(*PRICE_SCHEMA)
    )


def source_frame(source_id: str, full_source: str, as_of: date) -> pl.DataFrame:
    """One row in SOURCE_SCHEMA."""
    values = (source_id, full_source, as_of, as_of, "the provider's public price list")
    return pl.DataFrame([values], schema=dict(SOURCE_SCHEMA), orient="row")


def field(item: object, path: Sequence[str | int], kind: type | tuple[type, ...], where: str) -> Any:
    """The value at `path` in a JSON value, which must be of `kind`.  Raises PriceError naming the field."""
    value = item
    for step in path:
        try:
            value = value[step]  # type: ignore[index]  # any JSON value: what can't be indexed is caught below
        except (KeyError, IndexError, TypeError) as error:
            raise _unexpected(path, where, "is missing") from error
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _unexpected(path, where, f"is {value!r}"[:60])
    return value


def _unexpected(path: Sequence[str | int], where: str, problem: str) -> PriceError:
    name = ".".join(str(step) for step in path)
    return PriceError(
        f"{where}: {name} {problem}",
        hint="the price interface may have changed; nothing was changed here, the old book stays",
    )
