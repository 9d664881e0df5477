"""Dollars per hour of what is found in a cloud, by the price book.  None = unknown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl

from clusterctl.catalog.price_book import PriceBook, load_book
from planners.infrastructure.price_protocol import BookPrice
from planners.units import HOURS_PER_MONTH


@cache
def _book(folder: Path | None = None) -> PriceBook:
    return load_book(folder)


@cache
def _machines(book: Path | None) -> pl.DataFrame:
    return _book(book).all_prices()


@cache
def _extras(book: Path | None) -> pl.DataFrame:
    return _book(book).extras()


@dataclass(frozen=True, slots=True)
class BookPrices:
    """The price book as the pricing of resources asks it (`planners.infrastructure.price_protocol.ResourcePrices`)."""

    book: Path | None = None
    """Its folder; None = the one in use."""

    def machine(self, cloud: str, region: str, instance_type: str, capacity_type: str) -> BookPrice | None:
        """Of one machine in a region; of several prices (zones) the highest."""
        return _machine(self.book, cloud, region, instance_type, capacity_type)

    def item(self, cloud: str, region: str, item: str) -> BookPrice | None:
        """Of something that isn't a machine; a price of another region is none of this one's."""
        return _item(self.book, cloud, region, item)

    def vcpus(self, cloud: str, instance_type: str) -> float | None:
        """Of a machine."""
        return shape_of(cloud, instance_type, self.book)[0]


@cache
def _machine(book: Path | None, cloud: str, region: str, instance_type: str, capacity_type: str) -> BookPrice | None:
    rows = _machines(book).filter(
        pl.col("cloud") == cloud,
        pl.col("region").is_in([region, "any"]),
        pl.col("instance_type") == instance_type,
        pl.col("capacity_type") == capacity_type,
        pl.col("usd_per_hour").is_not_null(),
    )
    if rows.is_empty():
        return None
    row = rows.sort("usd_per_hour", descending=True).row(0, named=True)
    return BookPrice(usd=row["usd_per_hour"], unit="hour", as_of=row["as_of"])


@cache
def _item(book: Path | None, cloud: str, region: str, item: str) -> BookPrice | None:
    rows = _extras(book).filter(pl.col("cloud") == cloud, pl.col("item") == item, pl.col("region").is_in([region, "*"]))
    if rows.is_empty():
        return None
    row = rows.row(0, named=True)
    return BookPrice(usd=row["usd"], unit=row["unit"], as_of=row["as_of"])


def machine_usd(cloud: str, region: str, instance_type: str, capacity_type: str) -> float | None:
    """Dollars per hour of one machine in a region."""
    price = _machine(None, cloud, region, instance_type, capacity_type)
    return price.usd if price else None


def extra_usd(cloud: str, region: str, item: str) -> float | None:
    """Dollars of something that isn't a machine, by its own unit."""
    price = _item(None, cloud, region, item)
    return price.usd if price else None


def disk_usd(cloud: str, region: str, item: str, gib: float) -> float | None:
    """Of a disk of that size, whose price is by the GB and month."""
    usd = extra_usd(cloud, region, item)
    return None if usd is None else usd * gib / HOURS_PER_MONTH


@cache
def shape_of(cloud: str, instance_type: str, book: Path | None = None) -> tuple[float | None, float | None]:
    """vCPUs and GiB of a machine; None where the book does not know them."""
    rows = _book(book).all_shapes().filter(pl.col("cloud") == cloud, pl.col("instance_type") == instance_type)
    return (rows["vcpus"][0], rows["memory_gib"][0]) if len(rows) else (None, None)


def vcpus_of(cloud: str, instance_type: str) -> float | None:
    """vCPUs of a machine."""
    return shape_of(cloud, instance_type)[0]
