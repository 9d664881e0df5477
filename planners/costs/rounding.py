"""Split money so that the parts add up to the whole: to the millionth in frames, to the cent in print."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal

import polars as pl

from planners.costs.cost_tables import USD


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
