"""An old book and what the clouds said now: the new book, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from clusterctl.catalog.price_files import EXTRA_KEY, PRICE_KEY, PRICE_SCHEMA, BookFrames
from clusterctl.catalog.refresh.reading import Reading

SAME_WITHIN = 1e-4
"""Relative difference that is rounding, not news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChanges:
    """What one cloud's refresh changed, in numbers of prices."""

    cloud: str
    num_read: int
    num_added: int
    num_removed: int
    num_cheaper: int
    num_dearer: int
    num_same: int
    num_kept_old: int
    """Prices of this cloud that the refresh did not answer for: they keep their date."""
    notes: tuple[str, ...]


def merge(old: BookFrames, readings: Sequence[Reading]) -> tuple[BookFrames, tuple[PriceChanges, ...], pl.DataFrame]:
    """The new book, the changes per cloud, and the prices that moved (PRICE_KEY, `old_usd_per_hour`, `usd_per_hour`,
    `change_ratio`), biggest change first.

    A reading replaces the old prices that it answers for (`Reading.authority`); a replaced price that changed goes
    to the history under its own date.
    """
    prices, history = pl.concat([old.prices, old.infrastructure]), [old.history]
    changes: list[PriceChanges] = []
    moved: list[pl.DataFrame] = []
    for reading in readings:
        mine = prices.filter(pl.col("cloud") == reading.cloud)
        answered = mine.join(reading.prices, on=reading.authority, how="semi")
        kept = mine.join(reading.prices, on=reading.authority, how="anti")
        both = answered.join(reading.prices, on=PRICE_KEY, how="inner", nulls_equal=True, suffix="_new")
        both = both.with_columns(change_ratio=pl.col("usd_per_hour_new") / pl.col("usd_per_hour") - 1)
        different = both.filter(pl.col("change_ratio").abs() > SAME_WITHIN)
        gone = answered.join(reading.prices, on=PRICE_KEY, how="anti", nulls_equal=True)
        history += [different.select(*PRICE_SCHEMA), gone]
        moved.append(different)
        prices = pl.concat([prices.filter(pl.col("cloud") != reading.cloud), kept, reading.prices])
        changes.append(
            PriceChanges(
                cloud=reading.cloud,
                num_read=reading.prices.height,
                num_added=reading.prices.height - both.height,
                num_removed=gone.height,
                num_cheaper=different.filter(pl.col("change_ratio") < 0).height,
                num_dearer=different.filter(pl.col("change_ratio") > 0).height,
                num_same=both.height - different.height,
                num_kept_old=kept.height,
                notes=reading.notes,
            )
        )
    sources = pl.concat([*(reading.source for reading in readings), old.sources])
    extras = pl.concat([*(reading.extras for reading in readings), old.extras])
    machine = ["cloud", "instance_type"]
    small = old.infrastructure_shapes.join(old.shapes, on=machine, how="anti")
    new = replace(
        old,
        prices=prices.join(small, on=machine, how="anti"),
        infrastructure=prices.join(small, on=machine, how="semi"),
        infrastructure_shapes=small,
        history=pl.concat(history).unique(maintain_order=True),
        sources=sources.unique("source_id", keep="first", maintain_order=True),
        extras=extras.unique(EXTRA_KEY, keep="first", maintain_order=True),
    )
    return new, tuple(changes), _movers(moved)


def _movers(moved: list[pl.DataFrame]) -> pl.DataFrame:
    return (
        pl.concat(moved)
        .select(
            *PRICE_KEY,
            old_usd_per_hour=pl.col("usd_per_hour"),
            usd_per_hour=pl.col("usd_per_hour_new"),
            change_ratio=pl.col("change_ratio"),
        )
        .sort(pl.col("change_ratio").abs(), *PRICE_KEY, descending=[True] + [False] * len(PRICE_KEY))
    )
