"""Is the book sound?  Each rule counts the rows that break it and shows a few; nothing is repaired here."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

from clusterctl.catalog.price_files import PRICE_KEY, TOKEN_KEY, BookFrames
from planners.domain import CapacityType

OLD_AFTER_DAYS = 180
SPOT_ROUNDING = 1.0001
"""Spot is stored with fewer decimals than on-demand, so the same price can look a hair above it."""
SUSPICIOUS_SPOT_SHARE = 0.12
REGION_PATTERN = {"aws": r"^[a-z]{2}(-[a-z]+)+-\d$", "gcp": r"^[a-z]+-[a-z]+\d+$", "azure": r"^[a-z]+\d?$"}
OTHER_REGION_PATTERN = r"^[a-z0-9-]+$"
NUM_EXAMPLES = 3

Level = Literal["ok", "note", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule's answer.  `note` is worth knowing and no fault of the book; `broken` fails the check."""

    rule: str
    level: Level
    num_rows: int
    detail: str
    examples: tuple[str, ...] = ()


def check_book(frames: BookFrames, *, known_gpus: Collection[str], today: date) -> tuple[Finding, ...]:
    """Every rule over every row, in a fixed order."""
    return tuple(_rules(frames, known_gpus, today))


def _rules(frames: BookFrames, known_gpus: Collection[str], today: date) -> Iterator[Finding]:
    prices = frames.prices
    current = pl.concat([prices, frames.infrastructure])
    every = pl.concat([current, frames.history])
    usd = pl.col("usd_per_hour")
    yield _must("price > 0", every, usd.is_null() | usd.is_nan() | usd.is_infinite() | (usd <= 0))
    yield _must("no duplicate price", current, pl.struct(*PRICE_KEY).is_duplicated())
    yield _must("capacity type known", every, ~pl.col("capacity_type").is_in([kind.value for kind in CapacityType]))
    yield _must("zone only for spot", every, pl.col("zone").is_not_null() & (pl.col("capacity_type") != "spot"))
    yield _must("region well formed", every, _bad_region())
    yield _must("day not in the future", every, pl.col("as_of") > today)
    yield _must("source listed", every, ~pl.col("source").is_in(frames.sources["source_id"].to_list()))
    machine = ["cloud", "instance_type"]
    unknown_machine = prices.join(frames.shapes, on=machine, how="anti")
    unknown_small = frames.infrastructure.join(frames.infrastructure_shapes, on=machine, how="anti")
    yield _must("instance type has a shape", pl.concat([unknown_machine, unknown_small]), pl.lit(value=True))
    both = frames.infrastructure_shapes.join(frames.shapes, on=machine, how="semi")
    yield _must("planned with, or for infrastructure only", both, pl.lit(value=True))
    yield from _shape_rules(frames.shapes, known_gpus)
    yield from _discount_rules(current)
    yield from _token_rules(frames)
    yield from _age_notes(current, frames, today)


def _shape_rules(shapes: pl.DataFrame, known_gpus: Collection[str]) -> Iterator[Finding]:
    gpu, count, hbm = pl.col("gpu"), pl.col("num_gpus"), pl.col("hbm_gib")
    whole = gpu.is_not_null() & (count > 0) & (hbm > 0)
    none = gpu.is_null() & (count.fill_null(0) == 0) & hbm.is_null()
    yield _must("GPU fields all or none", shapes, ~(whole | none).fill_null(value=False))
    yield _must("every GPU known", shapes, gpu.is_not_null() & ~gpu.is_in(list(known_gpus)))
    big_three = pl.col("cloud").is_in(list(REGION_PATTERN))  # others leave sizes of GPU machines out
    bad_size = (pl.col("vcpus") <= 0) | (pl.col("memory_gib") <= 0)
    yield _must("vCPUs and memory > 0", shapes, bad_size.fill_null(pl.col("gpu").is_null() | big_three))
    yield _must("no duplicate shape", shapes, pl.struct("cloud", "instance_type").is_duplicated())


def _token_rules(frames: BookFrames) -> Iterator[Finding]:
    per_million = [name for name in frames.tokens.columns if name.endswith("usd_per_million_tokens")]
    not_positive = pl.any_horizontal((pl.col(per_million) <= 0) | pl.col(per_million).is_nan())
    unpriced = pl.col("input_usd_per_million_tokens").is_null() | pl.col("output_usd_per_million_tokens").is_null()
    dear_cache = pl.col("cached_input_usd_per_million_tokens") > pl.col("input_usd_per_million_tokens")
    broken = not_positive.fill_null(value=False) | unpriced | dear_cache.fill_null(value=False)
    yield _must("token prices > 0, cached ≤ uncached", frames.tokens, broken)
    yield _must("no duplicate token price", frames.tokens, pl.struct(*TOKEN_KEY).is_duplicated())


def _discount_rules(prices: pl.DataFrame) -> Iterator[Finding]:
    key = ["cloud", "region", "instance_type"]
    on_demand = prices.filter(pl.col("capacity_type") == "on_demand").select(*key, list_usd="usd_per_hour")
    other = prices.filter(pl.col("capacity_type") != "on_demand").join(on_demand, on=key, how="left")
    spot = other.filter(pl.col("capacity_type") == "spot")
    committed = other.filter(pl.col("capacity_type") != "spot")
    usd, list_usd = pl.col("usd_per_hour"), pl.col("list_usd")
    yield _must("spot ≤ on-demand", spot, usd > list_usd * SPOT_ROUNDING)
    yield _must("reserved ≤ on-demand", committed, usd > list_usd)
    yield _note("spot at the on-demand price", spot, (usd >= list_usd) & (usd <= list_usd * SPOT_ROUNDING))
    yield _note("spot far under on-demand (below 12%)", spot, usd < list_usd * SUSPICIOUS_SPOT_SHARE)
    yield _note("spot or reserved without an on-demand price beside it", other, list_usd.is_null())


def _age_notes(prices: pl.DataFrame, frames: BookFrames, today: date) -> Iterator[Finding]:
    days = (pl.lit(today) - pl.col("as_of")).dt.total_days()
    old = prices.filter(days > OLD_AFTER_DAYS)
    groups = old.group_by("cloud", "capacity_type").agg(pl.len(), pl.col("as_of").min()).sort("cloud")
    which = tuple(f"{cloud} {kind}: {count} of {day}" for cloud, kind, count, day in groups.rows())
    yield _finding("note", f"older than {OLD_AFTER_DAYS} days", old.height, which)
    yield _note("day unknown", prices, pl.col("as_of").is_null())
    priced = prices.filter(pl.col("capacity_type") == "on_demand")
    unpriced = frames.shapes.join(priced, on=["cloud", "instance_type"], how="anti")
    yield _finding("note", "on-demand price unknown everywhere", unpriced.height, _examples(unpriced))
    from_memory = frames.extras.filter(pl.col("verified") == "memory")
    which = tuple(f"{cloud} {item}" for cloud, item in from_memory.select("cloud", "item").rows())
    yield _finding("note", "extra without a read source", from_memory.height, which[:NUM_EXAMPLES])


def _bad_region() -> pl.Expr:
    good = [(pl.col("cloud") == cloud) & pl.col("region").str.contains(it) for cloud, it in REGION_PATTERN.items()]
    other = ~pl.col("cloud").is_in(list(REGION_PATTERN)) & pl.col("region").str.contains(OTHER_REGION_PATTERN)
    return ~pl.any_horizontal(*good, other).fill_null(value=False)


def _must(rule: str, rows: pl.DataFrame, broken: pl.Expr) -> Finding:
    bad = rows.filter(broken)
    return _finding("broken", rule, bad.height, _examples(bad))


def _note(rule: str, rows: pl.DataFrame, hit: pl.Expr) -> Finding:
    found = rows.filter(hit)
    return _finding("note", rule, found.height, _examples(found))


def _finding(level: Level, rule: str, num_rows: int, examples: tuple[str, ...]) -> Finding:
    if num_rows == 0:
        return Finding(rule=rule, level="ok", num_rows=0, detail="no rows" if level == "note" else "holds")
    return Finding(rule=rule, level=level, num_rows=num_rows, detail="; ".join(examples), examples=examples)


def _examples(rows: pl.DataFrame) -> tuple[str, ...]:
    named = [name for name in (*PRICE_KEY, "provider", "model", "usd_per_hour") if name in rows.columns]
    return tuple(
        " ".join(f"{value:g}" if isinstance(value, float) else value for value in row if value is not None)
        for row in rows.select(named).head(NUM_EXAMPLES).rows()
    )
