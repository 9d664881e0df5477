"""Splitting money so that the parts add up to the whole: to the millionth in frames, to the cent in print.

Reserved capacity: the machines that run in it cost their share of it, the rest was reserved but unused.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

import polars as pl

from planners.costs.tables import CHARGES, MACHINE, RESERVATION, USD

if TYPE_CHECKING:
    from collections.abc import Sequence


def prorate(frame: pl.DataFrame, *, total: str, weight: str, over: str, into: str = "usd") -> pl.DataFrame:
    """Adds `into`: each row's share of its group's `total` (dollars) in proportion to `weight` (>= 0).

    By cumulative rounding: part = round(total x weights so far / all weights) - the same for the row before, and the
    last row ends at `total` itself.  So parts add up to the whole exactly, and each is within a millionth of a dollar
    of its exact share (up to 9 billion dollars, where a double no longer holds millionths).  Without any weight the
    parts are equal; a null total gives null parts.
    """
    so_far = pl.col(weight).cum_sum().over(over)
    whole = so_far.last().over(over)
    number, count = pl.int_range(1, pl.len() + 1).over(over), pl.len().over(over)
    share = pl.when(whole > 0).then(so_far / whole).otherwise(number / count)
    rounded = (pl.col(total).cast(pl.Float64) * share).round(6).cast(USD)
    upto = pl.when(number == count).then(pl.col(total)).otherwise(rounded)
    before = upto.shift(1).over(over)
    none = pl.lit(Decimal(0), dtype=USD)
    return frame.with_columns((upto - pl.when(number == 1).then(none).otherwise(before)).cast(USD).alias(into))


def rounded(amounts: Sequence[Decimal | None], places: int) -> list[Decimal | None]:
    """The amounts to `places` decimals, so that what is printed adds up to the rounded sum: largest remainders first.

    Each is off by less than one unit of the last place; None stays None.
    """
    unit = Decimal(1).scaleb(-places)
    known = [amount for amount in amounts if amount is not None]
    floors = [amount.quantize(unit, rounding=ROUND_FLOOR) for amount in known]
    missing = int((sum(known, Decimal(0)).quantize(unit) - sum(floors, Decimal(0))) / unit)
    order = sorted(range(len(known)), key=lambda index: floors[index] - known[index])
    for index in order[:missing]:
        floors[index] += unit
    left = iter(floors)
    return [None if amount is None else next(left) for amount in amounts]


def spend_reservations(charges: pl.DataFrame) -> pl.DataFrame:
    """Charges in which each reservation's cost lies on its machines, by their share of its node-seconds.

    share of a machine = its seconds within the reservation / (nodes of the reservation x its seconds); what no machine
    used stays on the reservation as unused.  Exact.  The reservation pays for the machine: a price of its own that is 0
    or unknown is left out, any other is a charge of its own beside the share.
    """
    kind = pl.col("kind")
    blocks = charges.filter(kind == RESERVATION).with_row_index("block")
    if blocks.is_empty():
        return charges
    first, last = pl.max_horizontal("from_at", "block_from"), pl.min_horizontal("to_at", "block_to")
    whole = blocks.select(
        "block",
        "reservation",
        block_from="from_at",
        block_to="to_at",
        whole="usd",
        price="usd_per_hour",
        paid_as="source",
        standing="status",
        weight=_seconds("from_at", "to_at") * pl.col("nodes").fill_null(1),
    )
    machines = charges.with_row_index("row").filter(kind == MACHINE).join(whole.drop("weight"), on="reservation")
    machines = machines.with_columns(from_at=first, to_at=last).filter(pl.col("to_at") > pl.col("from_at"))
    machines = machines.with_columns(
        weight=_seconds("from_at", "to_at"), usd_per_hour="price", source="paid_as", status="standing"
    )
    used = machines.group_by("block").agg(used=pl.col("weight").sum())
    unused = blocks.join(whole.select("block", "whole", "weight"), on="block").join(used, on="block", how="left")
    unused = unused.with_columns(weight=pl.max_horizontal(pl.col("weight") - pl.col("used").fill_null(0.0), 0.0))
    shares = pl.concat([machines, unused], how="diagonal").sort("block", "row", nulls_last=True)
    shares = prorate(shares, total="whole", weight="weight", over="block").filter(
        (kind == MACHINE) | (pl.col("weight") > 0) | (pl.col("usd") != 0)
    )
    inside = charges.with_row_index("row").join(machines.select("row").unique(), on="row", how="semi")
    on_top = inside.filter(pl.col("usd") != 0).with_columns(node=None, gpus=0)
    others = charges.with_row_index("row").join(inside, on="row", how="anti").filter(kind != RESERVATION)
    return pl.concat([frame.select(CHARGES.names()).cast(CHARGES) for frame in (others, on_top, shares)])


def _seconds(first: str, last: str) -> pl.Expr:
    return (pl.col(last) - pl.col(first)).dt.total_microseconds() / 1e6
