"""GPUs that telemetry sees and no run has paid for: what they would cost, as parts like those of charges.

dollars of a part = its GPU-seconds / 3600 x dollars per GPU-hour of its machine.  Only time that was measured counts:
whether a machine that nobody measures is paid, nobody knows.
"""

from __future__ import annotations

import polars as pl

from planners.costs.cost_tables import ESTIMATE, MOMENT, PARTS, PRICE, USD, Purpose, text
from planners.runs.limits import MACHINE

NODE_PRICES = pl.Schema(
    text("node", "model")
    | {"gpus": pl.Int32, "usd_per_gpu_hour": PRICE}
    | text("cloud", "capacity_type", "source")
    | {"own": pl.Boolean}
)
"""One machine: its GPU as people call it, how many it has, what one costs an hour (null = unknown), and why."""


def observed_parts(use: pl.DataFrame, prices: pl.DataFrame, teams: pl.DataFrame) -> pl.DataFrame:
    """PARTS of machines that no run has paid for.

    use: node, run, role, reason, at, seconds (GPU-seconds; those of an instance of a split GPU are its share).
    prices: NODE_PRICES; machines that it does not have are left out.  teams: run, team.
    """
    busy = pl.when(pl.col("reason").is_null()).then(pl.lit(Purpose.BUSY)).otherwise(pl.lit(Purpose.IDLE))
    sums = use.group_by("node", "run", "role", "reason").agg(
        gpu_hours=pl.col("seconds").cast(pl.Float64).sum() / 3600.0,
        from_at=pl.col("at").min().cast(MOMENT),
        to_at=pl.col("at").max().cast(MOMENT),
    )
    rows = sums.join(prices, on="node").join(teams.unique("run", keep="first"), on="run", how="left")
    price = pl.col("usd_per_gpu_hour").cast(pl.Float64)
    rows = rows.select(
        *("run", "team", "role", "reason", "node", "capacity_type", "from_at", "to_at", "gpu_hours", "source"),
        use=busy,
        resource="node",
        kind=pl.lit(MACHINE),
        provider=pl.col("cloud").fill_null("unknown"),
        reservation=pl.lit(None, pl.String),
        usd_per_hour=(pl.col("usd_per_gpu_hour").cast(pl.Float64) * pl.col("gpus")).round(6),
        quantity=pl.lit(None, pl.Float64),
        unit=pl.lit(None, pl.String),
        usd=(pl.col("gpu_hours") * price).round(6).cast(USD),
        status=pl.lit(ESTIMATE),
    )
    return rows.select(PARTS.names()).cast(PARTS).sort("node", "use", "run", "role", "reason", nulls_last=True)


def shares_of_split_gpus(use: pl.DataFrame) -> pl.DataFrame:
    """Use in which the seconds of an instance (`3:1`) count as its equal share of its GPU, whatever its profile."""
    device = pl.col("gpu").str.split(":").list.first()
    instances = pl.col("gpu").n_unique().over("node", device)
    return use.with_columns(seconds=pl.col("seconds").cast(pl.Float64) / instances)
