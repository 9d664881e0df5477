"""Questions to the price book as frames: what is offered, and what a GPU hour costs where.  Draws nothing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Literal

import polars as pl

from clusterctl.catalog.lookup import find_gpus
from clusterctl.catalog.price_book import PriceBook
from clusterctl.errors import SpecError
from planners.domain import CapacityType

SortBy = Literal["price", "gpu-price", "name", "age"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a person asked for on the command line; empty or None = everything.  `instance` may hold `*` and `?`."""

    cloud: Sequence[str] | None = None
    region: Sequence[str] | None = None
    gpu: Sequence[str] | None = None
    instance: Sequence[str] | None = None
    capacity: Sequence[str] | None = None
    min_gpus: float | None = None


def listing(book: PriceBook, filters: Filters, *, today: date, sort: SortBy) -> pl.DataFrame:
    """Offers that pass `filters`: OFFER_COLUMNS plus `usd_per_gpu_hour` and `age_days` (null = unknown).

    Raises SpecError for a cloud, region, GPU, instance type or capacity type that the book doesn't know.
    """
    by_name = bool(filters.instance)  # the machines that no fleet is planned with are found by name only
    shapes = book.all_shapes() if by_name else book.shapes()
    prices = book.all_prices if by_name else book.prices
    regions = prices()["region"].unique().to_list() if filters.region else []
    rows = book.offers(
        _known("--cloud", filters.cloud, shapes["cloud"].unique().to_list()),
        regions=_known("--region", filters.region, regions),
        gpus=[gpu.name for name in filters.gpu or () for gpu in find_gpus(name)] or None,
        instance_types=_known("--instance", filters.instance, shapes["instance_type"].to_list()),
        capacity_types=_known("--capacity", filters.capacity, [kind.value for kind in CapacityType]),
        with_infrastructure=by_name,
    )
    if filters.min_gpus is not None:
        rows = rows.filter(pl.col("num_gpus").fill_null(0) >= filters.min_gpus)
    return _sorted(with_unit_price(rows, today=today), sort)


def comparison(rows: pl.DataFrame) -> pl.DataFrame:
    """Of a listing: the cheapest GPU hour per cloud, region, capacity type and GPU; cheapest first, unknown last.

    Adds `times_cheapest`: dollars per GPU hour over those of the first row.
    """
    best = (
        rows.filter(pl.col("gpu").is_not_null())
        .sort("usd_per_gpu_hour", "num_gpus", descending=[False, True], nulls_last=True, maintain_order=True)
        .unique(["cloud", "region", "capacity_type", "gpu"], keep="first", maintain_order=True)
    )
    return best.with_columns(times_cheapest=pl.col("usd_per_gpu_hour") / pl.col("usd_per_gpu_hour").min())


def with_unit_price(rows: pl.DataFrame, *, today: date) -> pl.DataFrame:
    """`rows` with `usd_per_gpu_hour` (null without a GPU) and `age_days` (null when the day is unknown)."""
    return rows.with_columns(
        usd_per_gpu_hour=pl.when(pl.col("gpu").is_not_null()).then(pl.col("usd_per_hour") / pl.col("num_gpus")),
        age_days=(pl.lit(today) - pl.col("as_of")).dt.total_days(),
    )


def series(book: PriceBook, instance: str, filters: Filters) -> pl.DataFrame:
    """Every dated price of one instance type, history and current: PRICE_SCHEMA, by region, capacity type, day."""
    name = (_known("--instance", [instance], book.all_shapes()["instance_type"].to_list()) or [instance])[0]
    rows = pl.concat([book.history(), book.all_prices()]).filter(
        pl.col("instance_type") == name, pl.col("as_of").is_not_null()
    )
    for column, asked in (("cloud", filters.cloud), ("region", filters.region), ("capacity_type", filters.capacity)):
        wanted = _known(f"--{column.removesuffix('_type')}", asked, rows[column].unique().to_list())
        if wanted is not None:
            rows = rows.filter(pl.col(column).is_in(wanted))
    group = ["cloud", "region", "instance_type", "capacity_type", "as_of"]
    # Spot has one price per zone and day: the cheapest zone is what a person compares over time.
    return rows.sort(*group, "usd_per_hour").unique(group, keep="first", maintain_order=True).sort(group)


def _sorted(rows: pl.DataFrame, sort: SortBy) -> pl.DataFrame:
    names = ["cloud", "instance_type", "region", "capacity_type", "zone"]
    first = {"price": ["usd_per_hour"], "gpu-price": ["usd_per_gpu_hour"], "name": [], "age": ["age_days"]}[sort]
    return rows.sort([*first, *names], nulls_last=True, descending=[sort == "age"] * len(first) + [False] * 5)


def _known(option: str, asked: Sequence[str] | None, known: list[str]) -> list[str] | None:
    """The known names that are asked for, in any case, `*` and `?` standing for anything; None = all.

    Raises SpecError with the nearest names.
    """
    found: list[str] = []
    for pattern in asked or ():
        hits = [name for name in known if fnmatchcase(name.lower(), pattern.lower())]
        if not hits:
            raise _unknown(option, pattern, known)
        found += hits
    return found or None


def _unknown(option: str, asked: str, known: list[str]) -> SpecError:
    near = difflib.get_close_matches(asked, known, n=2, cutoff=0.6)
    listed = ", ".join(sorted(known)) if len(known) <= 8 else f"one of {len(known)}"
    return SpecError(
        f"{option}: the price book has no `{asked}`",
        hint=f"did you mean {' or '.join(near)}?" if near else f"the book has {listed}",
    )
