"""The user's own prices over list prices: negotiated discounts, own rates, reservations.

Whatever the user states wins, and says so: `source` and `quality` become YOURS.
"""

from __future__ import annotations

from collections import Counter

import polars as pl

from planners.domain import OFFER_COLUMNS, CapacityType
from planners.spec.fleet import Discount, OwnPrices, Rate, Reservation

YOURS = "your price"
UNKNOWN_REGION = "unknown"
RESERVED = CapacityType.RESERVED_1Y
"""Capacity type under which a user's reservation is offered; its term doesn't matter, it is paid already."""
RESERVATION = (pl.col("capacity_type") == RESERVED) & (pl.col("quality") == YOURS)
"""True for what the user has reserved."""
_OFFER_KEY = ["cloud", "instance_type", "region", "capacity_type"]
_MACHINE_COLUMNS = ("cloud", "instance_type", *OFFER_COLUMNS[OFFER_COLUMNS.index("quality") + 1 :])


def apply_own_prices(offers: pl.DataFrame, own: OwnPrices) -> pl.DataFrame:
    """`offers` (OFFER_COLUMNS) with the user's discounts, rates and reservations in place of the list prices.

    A discount lowers every list price that it matches; of several that match one row the most specific counts
    (most fields stated; among equals the later one), they never add up.  A rate then replaces the price of its
    instance type, region and capacity type, undiscounted, or adds that offer where the list has none; without a
    region it holds in every region that has the instance type.  A reservation is a rate of capacity type
    `reserved_1y`; how many nodes it covers is in `reserved_nodes`.  An unknown price stays unknown.

    Units: dollars per hour of the whole instance.  `as_of` of a discounted price stays the day of its list price;
    of a stated price it is null.  A rule for an instance type that `offers` lacks changes nothing.
    """
    rows = _discounted(offers, own)
    stated = [_rows_of(rule, offers) for rule in _stated_prices(own)]
    if not stated:
        return rows
    last = pl.concat(reversed(stated)).unique(_OFFER_KEY, keep="first", maintain_order=True)
    nowhere = last.with_columns(region=pl.lit(UNKNOWN_REGION))  # the list's "no known price" is answered
    kept = rows.join(last, on=_OFFER_KEY, how="anti").join(nowhere, on=_OFFER_KEY, how="anti")
    return pl.concat([kept, last])


def reserved_nodes(own: OwnPrices) -> Counter[tuple[str, str, str]]:
    """Nodes that the user has reserved, summed, by cloud, region and instance type."""
    nodes: Counter[tuple[str, str, str]] = Counter()
    for reservation in own.reservations:
        nodes[reservation.cloud, reservation.region, reservation.instance_type] += reservation.nodes
    return nodes


def _discounted(offers: pl.DataFrame, own: OwnPrices) -> pl.DataFrame:
    """List prices × (1 - percent/100), by the most specific discount that matches."""
    if not own.discounts:
        return offers.select(OFFER_COLUMNS)
    percent = pl.lit(None, pl.Float64)
    for discount in sorted(own.discounts, key=lambda discount: len(_fields(discount))):
        percent = pl.when(_matches(discount)).then(discount.percent).otherwise(percent)
    hit = pl.col("percent").is_not_null() & pl.col("usd_per_hour").is_not_null()
    lower = {"usd_per_hour": pl.col("usd_per_hour") * (1 - pl.col("percent") / 100)}
    changes = lower | dict.fromkeys(("source", "quality"), pl.lit(YOURS))
    replaced = {name: pl.when(hit).then(value).otherwise(pl.col(name)) for name, value in changes.items()}
    return offers.with_columns(percent=percent).with_columns(**replaced).select(OFFER_COLUMNS)


def _fields(rule: Discount) -> dict[str, str]:
    """Offer column -> value, for each field that the rule states."""
    stated = (rule.cloud, rule.instance_type, rule.region, rule.gpu, rule.capacity)
    fields = zip(("cloud", "instance_type", "region", "gpu", "capacity_type"), stated, strict=True)
    return {column: str(value) for column, value in fields if value is not None}


def _matches(rule: Discount) -> pl.Expr:
    tests = [pl.col(column) == value for column, value in _fields(rule).items()]
    return pl.all_horizontal(pl.lit(value=True), *tests).fill_null(value=False)


def _stated_prices(own: OwnPrices) -> list[Rate | Reservation]:
    """Rates, then reservations: the later one wins."""
    return [*own.rates, *own.reservations]


def _rows_of(rule: Rate | Reservation, offers: pl.DataFrame) -> pl.DataFrame:
    """The offers (OFFER_COLUMNS) that one stated price makes: one per region."""
    capacity = rule.capacity if isinstance(rule, Rate) else RESERVED
    same = offers.filter(pl.col("cloud") == rule.cloud, pl.col("instance_type") == rule.instance_type)
    machine = same.select(_MACHINE_COLUMNS).head(1)
    known = [region for region in same["region"].unique().sort() if region != UNKNOWN_REGION]
    regions = [rule.region] if rule.region is not None else known or [UNKNOWN_REGION]
    text = {"zone": None, "capacity_type": capacity.value, "source": YOURS, "quality": YOURS}
    priced = pl.DataFrame({"region": regions}, schema={"region": pl.String}).with_columns(
        usd_per_hour=pl.lit(rule.usd_per_hour, pl.Float64),
        as_of=pl.lit(None, pl.Date),
        **{name: pl.lit(value, pl.String) for name, value in text.items()},
    )
    return machine.join(priced, how="cross").select(OFFER_COLUMNS)
