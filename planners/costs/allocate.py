"""Splits charges by GPU usage into parts: who used the money, and for what.  docs/cost.md states the formulas.

A machine's cost is split by GPU-seconds.  A second is *busy* for the run and role that worked, *idle* with its reason
for the run and role that held the GPU (nobody: for the run that pays for the machine), and *unmeasured* where telemetry
says nothing: capacity (GPUs x seconds paid) less what was measured.  *Shared* cost of a run is spread over its roles in
proportion to their direct cost.  Idle cost is never spread: it stays where it arose.
"""

from __future__ import annotations

import polars as pl

from planners.costs.cost_tables import (
    CHARGES,
    GPU_USAGE,
    MOMENT,
    PARTS,
    PURPOSE_OF_KIND,
    RESERVATION,
    SANDBOX_ROLE,
    Purpose,
)
from planners.costs.rounding import prorate
from planners.runs.limits import MACHINE

CHARGE = "charge"
SECONDS_PER_HOUR = 3600.0


def allocate(charges: pl.DataFrame, use: pl.DataFrame) -> pl.DataFrame:
    """Parts (PARTS) of charges (CHARGES) by use (GPU_USAGE); for every charge their `usd` adds up to the charge's.

    A row of use counts for the charge of its node at its middle; if its own run pays for the node, for that one only.
    """
    paid = _spend_reservations(charges.select(CHARGES.names()).cast(CHARGES)).with_row_index(CHARGE)
    seen = _seen(paid, use.select(GPU_USAGE.names()))
    used = seen.group_by(CHARGE, "run", "role", "use", "reason").agg(weight=pl.col("seconds").sum())
    rows = pl.concat(
        [used.with_columns(gpu_hours=pl.col("weight") / SECONDS_PER_HOUR), _rest(paid, seen)], how="diagonal"
    )
    teams = paid.select("run", "team").drop_nulls().unique("run", keep="first", maintain_order=True)
    parts = (
        rows.join(paid.drop("team").rename({"run": "payer", "role": "pays_as", "usd": "whole"}), on=CHARGE)
        .with_columns(run=pl.coalesce("run", "payer"), role=pl.coalesce("role", "pays_as"))
        .join(teams, on="run", how="left")
        .sort(CHARGE, "use", "run", "role", "reason", nulls_last=True)
    )
    return _prorate_shared(prorate(parts, total="whole", weight="weight", over=CHARGE).select(PARTS.names()))


def _spend_reservations(charges: pl.DataFrame) -> pl.DataFrame:
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


def _seen(paid: pl.DataFrame, use: pl.DataFrame) -> pl.DataFrame:
    """Rows of use with the charge that they count for.  An instance of a split GPU (`3:1`) is its share of the GPU."""
    machines = paid.filter(pl.col("kind") == MACHINE, pl.col("node").is_not_null(), pl.col("gpus").fill_null(1) > 0)
    machines = machines.select(CHARGE, "from_at", "to_at", "node", payer="run")
    payers = machines.select("node", run="payer", pays=True).unique()
    device = pl.col("gpu").str.split(":").list.first()
    rows = (
        use.join(machines.select("node").unique(), on="node", how="semi")
        .with_columns(
            device=device,
            use=pl.when(pl.col("reason").is_null()).then(pl.lit(Purpose.BUSY)).otherwise(pl.lit(Purpose.IDLE)),
            middle=pl.col("at").cast(MOMENT) - pl.duration(microseconds=pl.col("seconds").cast(pl.Int64) * 500_000),
            seconds=pl.col("seconds").cast(pl.Float64) / pl.col("gpu").n_unique().over("node", device),
        )
        .join(payers, on=["node", "run"], how="left")
    )
    return rows.join_where(
        machines,
        pl.col("node") == pl.col("node_right"),
        pl.col("middle") >= pl.col("from_at"),
        pl.col("middle") < pl.col("to_at"),
    ).filter(pl.col("pays").is_null() | (pl.col("run") == pl.col("payer")))


def _rest(paid: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """What no usage covers: the unmeasured part of machines, and all other charges as a whole."""
    by_charge = seen.group_by(CHARGE).agg(seconds=pl.col("seconds").sum(), devices=pl.col("device").n_unique())
    gpus = pl.coalesce("gpus", "devices")
    capacity = gpus * (pl.col("to_at") - pl.col("from_at")).dt.total_microseconds() / 1e6
    machine, sandbox = pl.col("kind") == MACHINE, pl.col("role") == SANDBOX_ROLE
    rows = paid.join(by_charge, on=CHARGE, how="left").with_columns(
        left=pl.max_horizontal(capacity - pl.col("seconds").fill_null(0.0), 0.0),
        use=pl.when(machine & ((gpus > 0) | (gpus.is_null() & ~sandbox)))
        .then(pl.lit(Purpose.UNMEASURED))
        .when(machine & sandbox)
        .then(pl.lit(Purpose.SANDBOX))
        .otherwise(pl.col("kind").replace_strict(PURPOSE_OF_KIND, default=Purpose.SHARED, return_dtype=pl.String)),
    )
    measured = pl.col("seconds").is_not_null()
    on_gpus = machine & (gpus > 0)
    return rows.filter(~measured | (pl.col("left") > 0)).select(
        CHARGE,
        "use",
        weight=pl.when(on_gpus).then("left").otherwise(1.0),
        gpu_hours=pl.when(on_gpus).then(pl.col("left") / SECONDS_PER_HOUR),
    )


def _prorate_shared(parts: pl.DataFrame) -> pl.DataFrame:
    """Shared parts, each divided over the roles of its run in proportion to their direct cost."""
    shared = pl.col("use") == Purpose.SHARED
    direct = parts.filter(~shared).group_by("run", "role").agg(weight=pl.col("usd").sum().cast(pl.Float64))
    rows = parts.filter(shared).with_row_index("part").rename({"usd": "whole", "role": "pays_as"})
    rows = rows.join(direct.filter(pl.col("weight") > 0, pl.col("role").is_not_null()), on="run", how="left").sort(
        "part", "role"
    )
    rows = rows.with_columns(role=pl.coalesce("role", "pays_as"), weight=pl.col("weight").fill_null(1.0))
    prorated = prorate(rows, total="whole", weight="weight", over="part").select(PARTS.names())
    return pl.concat([parts.filter(~shared), prorated]).cast(PARTS)
