"""What prices alone have moved since a plan was made: the same machines for the same hours, then and now.

Of a plan file, then is what it stores.  Of a run spec, then is the day of the base's commit, by the history of the
price book.  Machines alone are compared: the book keeps no history of disks, egress and tokens.  A user's own prices
do not drift.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import polars as pl

from clusterctl.catalog.price_book import PriceBook
from planners.plan.value import Plan, Pool
from planners.search.own_prices import YOURS


def drift_since_plan(stored: Plan, book: PriceBook) -> float | None:
    """Dollars that the machines of a stored plan cost more now than then; None where a price is unknown."""
    return _drift(stored, lambda pool: pool.usd_per_node_hour, lambda pool: _newest(pool, book.prices(), None))


def drift_since(plan: Plan, book: PriceBook, day: date) -> float | None:
    """Dollars that the machines of a plan at today's prices cost more than on that day; None where a price is
    unknown."""
    every = pl.concat([book.history(), book.prices()])
    return _drift(plan, lambda pool: _newest(pool, every, day), lambda pool: pool.usd_per_node_hour)


def _drift(plan: Plan, then: Callable[[Pool], float | None], now: Callable[[Pool], float | None]) -> float | None:
    total = 0.0
    for pool in plan.pools:
        if pool.price_source == YOURS:
            continue
        before, after = then(pool), now(pool)
        if before is None or after is None:
            return None
        total += pool.nodes * pool.hours * (after - before)
    return total


def _newest(pool: Pool, prices: pl.DataFrame, day: date | None) -> float | None:
    """Dollars per hour of a pool's node by the newest price up to `day`; of several zones the lowest."""
    rows = prices.filter(
        pl.col("cloud") == pool.cloud,
        pl.col("region") == pool.region,
        pl.col("instance_type") == pool.instance_type,
        pl.col("capacity_type") == pool.capacity_type,
        pl.col("usd_per_hour").is_not_null(),
    )
    if day is not None:
        rows = rows.filter(pl.col("as_of") <= day)
    if rows.is_empty():
        return None
    newest = rows.filter(pl.col("as_of").eq_missing(rows["as_of"].max()))
    return float(newest["usd_per_hour"].to_numpy().min())
