"""What can be bought how: offers that a cloud does not sell are left out, and large fleets need a contract."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from planners.search.own_prices import YOURS
from planners.search.rejections import Rejections

MOST_GPUS = "most_gpus"
"""Column of offers: GPUs that are sold today without a reservation or a quote; infinite for the user's own."""
LARGEST_BLOCK_GPUS = 512.0
"""The largest cluster that any cloud sells without talking to people: an AWS capacity block of 64 nodes of 8 GPUs
(docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-capacity-blocks.html).  No cloud publishes how many GPUs it has on
demand or as spot.  Assumption: no more than that, and half for the newest generation."""
NEWEST = ("B200", "B300", "GB200", "GB300")
AVAILABILITY_COLUMNS = ("cloud", "instance_type", "purchase", "can_be_bought")
"""What is read of `PlanInputs.availability`; `purchase` is a capacity type, `can_be_bought` yes, no or quote."""


LIST_USD = "list_usd_per_hour"


def with_list_prices(offers: pl.DataFrame, book: pl.DataFrame) -> pl.DataFrame:
    """`offers` with the column LIST_USD: the lowest price on demand of the instance type; null = unknown."""
    on_demand = book.filter(pl.col("capacity_type") == "on_demand")
    least = on_demand.group_by("cloud", "instance_type").agg(pl.col("usd_per_hour").min().alias(LIST_USD))
    return offers.join(least, on=["cloud", "instance_type"], how="left", maintain_order="left")


def sold_offers(
    offers: pl.DataFrame, availability: pl.DataFrame | None, granted: Mapping[str, int], rejections: Rejections
) -> pl.DataFrame:
    """The offers that are sold, with the column MOST_GPUS.  granted: GPUs of an account's quota, by GPU name.

    An offer that the catalog does not list may be bought; so may one whose price the user states.
    """
    known = offers.with_columns(can_be_bought=pl.lit(None, pl.String))
    if availability is not None:
        ways = availability.select(AVAILABILITY_COLUMNS).rename({"purchase": "capacity_type"})
        known = offers.join(ways, on=["cloud", "instance_type", "capacity_type"], how="left", maintain_order="left")
    own = (pl.col("quality") == YOURS) & pl.col("as_of").is_null()  # a discount is off a list price, which has a day
    sold = own | pl.col("can_be_bought").fill_null("yes").ne("no")
    reason = "its cloud does not sell it under this capacity type; the catalog's availability.csv has the sources"
    kept = rejections.offers(known, "not sold", reason, sold)
    usual = pl.when(pl.col("gpu").is_in(NEWEST)).then(LARGEST_BLOCK_GPUS / 2).otherwise(LARGEST_BLOCK_GPUS)
    block = pl.col("capacity_type") == "capacity_block"
    least = pl.col("gpu").replace_strict(granted, default=0.0, return_dtype=pl.Float64)
    listed = pl.when(block).then(LARGEST_BLOCK_GPUS).when(pl.col("can_be_bought") == "quote").then(0.0).otherwise(usual)
    most = pl.when(own).then(float("inf")).otherwise(pl.max_horizontal(listed, least))
    return kept.with_columns(most.alias(MOST_GPUS)).drop("can_be_bought")
