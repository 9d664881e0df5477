"""Sums over parts: how much was spent, by which keys, in which window of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import polars as pl

from planners.costs.cost_tables import MOMENT, USD, Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What was spent.  `usd` is None when a part has no price; the true sum is then at least `known_usd`."""

    known_usd: Decimal
    unpriced: tuple[str, ...]
    """Resources with an unknown price."""
    idle_usd: Decimal | None
    """What idle GPUs cost; None while the price of one is unknown."""
    gpu_hours: float
    """Of GPUs that were paid, as far as anybody knows how many."""
    until: datetime | None
    """End of the newest charge: the age of these figures."""

    @property
    def usd(self) -> Decimal | None:
        """The whole, if all of it is known."""
        return None if self.unpriced else self.known_usd


def within(charges: pl.DataFrame, since: datetime | None, until: datetime | None) -> pl.DataFrame:
    """The part of each charge between two moments; adjacent windows add up to the whole exactly.

    dollars of a window = round(usd x time to its end / time) - round(usd x time to its start / time)
    """
    first, last = pl.col("from_at"), pl.col("to_at")
    begin = first if since is None else pl.max_horizontal(first, pl.lit(since, dtype=MOMENT))
    end = last if until is None else pl.min_horizontal(last, pl.lit(until, dtype=MOMENT))
    whole = pl.col("usd").cast(pl.Float64)

    def share(start: pl.Expr, stop: pl.Expr) -> pl.Expr:
        return (stop - start).dt.total_microseconds() / (last - first).dt.total_microseconds()

    def upto(moment: pl.Expr) -> pl.Expr:
        """Dollars from the charge's beginning to a moment within it."""
        return pl.when(moment == last).then("usd").otherwise((whole * share(first, moment)).round(6).cast(USD))

    return (
        charges.with_columns(begin=begin, end=end)
        .filter(pl.col("end") > pl.col("begin"))
        .with_columns(
            usd=(upto(pl.col("end")) - upto(pl.col("begin"))).cast(USD),
            quantity=pl.col("quantity") * share(pl.col("begin"), pl.col("end")),
        )
        .with_columns(from_at="begin", to_at="end")
        .drop("begin", "end")
    )


def spend(parts: pl.DataFrame) -> Spend:
    """How much the parts are."""
    idle = pl.col("usd").filter(pl.col("use") == Purpose.IDLE)
    known, idle, gpu_hours, until = parts.select(
        pl.col("usd").sum(),
        pl.when(idle.null_count() == 0).then(idle.sum()).alias("idle"),
        pl.col("gpu_hours").sum(),
        pl.col("to_at").max(),
    ).row(0)
    unpriced = tuple(parts.filter(pl.col("usd").is_null())["resource"].unique().sort())
    return Spend(known_usd=known, idle_usd=idle, gpu_hours=gpu_hours, unpriced=unpriced, until=until)


def by(parts: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Dollars by the columns `keys`, the dearest first: usd (null = a part has no known price), known_usd, unpriced
    (resources without a price), gpu_hours (null = nobody knows), idle_usd (null = an idle part has no known price),
    share (of all dollars; null while they are not all known).  `known_usd` adds up to the whole exactly."""
    dollars, idle = pl.col("usd"), pl.col("usd").filter(pl.col("use") == Purpose.IDLE)
    rows = parts.group_by(*keys).agg(
        usd=pl.when(dollars.null_count() == 0).then(dollars.sum()),
        known_usd=dollars.sum(),
        unpriced=pl.col("resource").filter(dollars.is_null()).n_unique(),
        gpu_hours=pl.when(pl.col("gpu_hours").is_not_null().any()).then(pl.col("gpu_hours").sum()),
        idle_usd=pl.when(idle.null_count() == 0).then(idle.sum()),
    )
    whole = None if parts["usd"].has_nulls() else float(parts["usd"].sum())
    share = dollars.cast(pl.Float64) / whole if whole else pl.lit(None, dtype=pl.Float64)
    order = ["known_usd", *keys]
    return rows.with_columns(share=share).sort(order, descending=[True, *(False for _ in keys)], nulls_last=True)


def by_price(parts: pl.DataFrame) -> pl.DataFrame:
    """What was charged at which rate: provider, kind, usd_per_hour, unit, source, status, quantity (in units, null for
    what is paid by the hour), usd (null = unknown), since; the dearest first."""
    keys = ("provider", "kind", "usd_per_hour", "unit", "source", "status")
    known = [pl.when(pl.col(name).null_count() == 0).then(pl.col(name).sum()) for name in ("quantity", "usd")]
    rows = parts.group_by(*keys).agg(*known, since=pl.col("from_at").min())
    return rows.sort("usd", *keys, descending=[True, *(False for _ in keys)], nulls_last=True)
