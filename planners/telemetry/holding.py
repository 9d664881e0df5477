"""GPUs that do nothing now: who holds them, and since when."""

from __future__ import annotations

import polars as pl

from planners.telemetry.tables import IdleReason

FREE_REASON = IdleReason.NO_PROCESS.value
"""A GPU that idles for this reason is free: nobody holds it.  Any other idle GPU is held, or about to be."""


def idle_gpus(newest: pl.DataFrame) -> pl.DataFrame:
    """node, gpu, run, role, reason, free: the GPUs that did nothing in all rows of `newest`, as they were last.

    newest: rows of the table `gpu` of the newest minute: at, node, gpu, run, role, reason.
    """
    worked = pl.col("reason").is_null().any().over("node", "gpu")
    rows = newest.filter(~worked).sort("at").group_by("node", "gpu", maintain_order=True).last()
    return rows.select("node", "gpu", "run", "role", "reason", free=pl.col("reason") == FREE_REASON)


def idle_since(history: pl.DataFrame) -> pl.DataFrame:
    """node, gpu, since, whole: the moment after which each GPU has not worked, to a bucket of time.

    history: at (end of a bucket), node, gpu, reason, seconds.  whole: it has not worked in any of it, so that `since`,
    the beginning of what was measured, is the latest that it can be.
    """
    begin = pl.col("at") - pl.duration(milliseconds=(pl.col("seconds") * 1000).cast(pl.Int64))
    worked = pl.col("at").filter(pl.col("reason").is_null()).max()
    rows = history.group_by("node", "gpu").agg(worked=worked, first=begin.min())
    return rows.select(
        "node", "gpu", since=pl.coalesce(pl.col("worked"), pl.col("first")), whole=pl.col("worked").is_null()
    )
