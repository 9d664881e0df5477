"""Rolls telemetry rows up to one per bucket of time: sums, means weighted by seconds, maxima."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import polars as pl

from planners.telemetry.tables import TABLES, RollUp


def bucket_end(step_seconds: int) -> pl.Expr:
    """The end of the bucket that a row belongs to: buckets are multiples of the step since 1970, their end included."""
    step_ms = step_seconds * 1000
    at_ms = pl.col("at").to_physical()
    return (((at_ms - 1) // step_ms + 1) * step_ms).cast(pl.Datetime("ms", "UTC")).alias("at")


def whole_steps(start: datetime, end: datetime, step_seconds: int) -> tuple[datetime, datetime]:
    """The two, widened to multiples of the step since 1970."""
    zero, step = datetime.fromtimestamp(0, tz=UTC), timedelta(seconds=step_seconds)
    return zero + (start - zero) // step * step, zero - (zero - end) // step * step


def roll_up(
    rows: pl.LazyFrame, table: str, *, step_seconds: int, columns: Collection[str] | None = None
) -> pl.LazyFrame:
    """One row per bucket and key; keys that are left out of `columns` are rolled up over, so `seconds` may add up
    to more than the bucket has: GPU-seconds.  A table without `seconds` stays as it is.

    Mean: sum(value × seconds) / sum(seconds), over the rows that have a value; rounded where the column holds integers.
    Rolling up what was rolled up repeats the rounding, and weighs a value that was absent for part of a row by all of
    it.
    """
    kept = {name: column for name, column in TABLES[table].items() if columns is None or name in {"at", *columns}}
    if "seconds" not in TABLES[table]:
        return rows.select(kept)
    how = {kind: [name for name in kept if kept[name].roll_up is kind] for kind in RollUp}
    keys = [name for name in how[RollUp.KEY] if name != "at"]
    seconds = pl.col("seconds")
    values = [
        *(pl.col(name) for name in (*keys, *how[RollUp.SUM], *how[RollUp.MAX])),
        *((pl.col(name) * seconds).alias(name) for name in how[RollUp.MEAN]),
        *(pl.when(pl.col(name).is_not_null()).then(seconds).alias(f"{name} weight") for name in how[RollUp.MEAN]),
    ]
    sums = [*how[RollUp.SUM], *how[RollUp.MEAN], *(f"{name} weight" for name in how[RollUp.MEAN])]
    grouped = (
        rows.select(bucket_end(step_seconds), *values)
        .group_by("at", *keys)
        .agg(
            *(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in sums),
            *(pl.col(name).max() for name in how[RollUp.MAX]),
        )
    )
    means = [_mean(name, kept[name].dtype) for name in how[RollUp.MEAN]]
    return grouped.with_columns(means).select(pl.col(name).cast(column.dtype) for name, column in kept.items())


def _mean(name: str, dtype: pl.DataType | type[pl.DataType]) -> pl.Expr:
    mean = pl.col(name) / pl.col(f"{name} weight")
    return mean.round() if dtype.is_integer() else mean
