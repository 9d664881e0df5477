"""Dollars per hour of what is found in a cloud, by the price book.  None = unknown."""

from __future__ import annotations

from functools import cache

import polars as pl

from clusterctl.catalog.price_book import PriceBook, load_book
from planners.units import HOURS_PER_MONTH


@cache
def _book() -> PriceBook:
    return load_book()


@cache
def machine_usd(cloud: str, region: str, instance_type: str, capacity_type: str) -> float | None:
    """Of one machine in a region; of several prices (zones) the highest."""
    rows = _book().offers([cloud], regions=[region], instance_types=[instance_type], capacity_types=[capacity_type])
    highest = rows.filter(pl.col("region") == region)["usd_per_hour"].max()
    return float(highest) if isinstance(highest, float) else None


@cache
def extra_usd(cloud: str, region: str, item: str) -> float | None:
    """Of something that isn't a machine, by its own unit; a price of another region is none of this one's."""
    rows = (
        _book().extras().filter(pl.col("cloud") == cloud, pl.col("item") == item, pl.col("region").is_in([region, "*"]))
    )
    return float(rows["usd"][0]) if len(rows) else None


def disk_usd(cloud: str, region: str, item: str, gib: float) -> float | None:
    """Of a disk of that size, whose price is by the GB and month."""
    usd = extra_usd(cloud, region, item)
    return None if usd is None else usd * gib / HOURS_PER_MONTH


@cache
def vcpus_of(cloud: str, instance_type: str) -> float | None:
    """vCPUs of a machine."""
    rows = _book().shapes().filter(pl.col("cloud") == cloud, pl.col("instance_type") == instance_type)
    return float(rows["vcpus"][0]) if len(rows) else None
