"""Reserved capacity: the machines that run in it cost their share of it, the rest was reserved but unused."""

from __future__ import annotations

import polars as pl

from planners.accounting.exact import spread
from planners.accounting.tables import CHARGES, MACHINE, RESERVATION


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
    shares = spread(shares, total="whole", weight="weight", over="block").filter(
        (kind == MACHINE) | (pl.col("weight") > 0) | (pl.col("usd") != 0)
    )
    inside = charges.with_row_index("row").join(machines.select("row").unique(), on="row", how="semi")
    on_top = inside.filter(pl.col("usd") != 0).with_columns(node=None, gpus=0)
    others = charges.with_row_index("row").join(inside, on="row", how="anti").filter(kind != RESERVATION)
    return pl.concat([frame.select(CHARGES.names()).cast(CHARGES) for frame in (others, on_top, shares)])


def _seconds(first: str, last: str) -> pl.Expr:
    return (pl.col(last) - pl.col(first)).dt.total_microseconds() / 1e6
