"""Why nobody knows what the GPUs of a machine did."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from clusterctl.store.source import TelemetrySource

NO_ROWS = "no agent has measured it"
MOST_NODES = 3
"""That are named."""


def why_unmeasured(source: TelemetrySource, charges: pl.DataFrame, use: pl.DataFrame) -> tuple[str, ...]:
    """`gpu1, gpu2: no GPU seen by NVML: …`, for machines with GPUs of which there is no row of use at all.

    The reasons are those that agents have noted, hourly at most.
    """
    silent = charges.filter(
        pl.col("node").is_not_null(), pl.col("gpus") > 0, ~pl.col("node").is_in(use["node"].implode())
    )
    if silent.is_empty():
        return ()
    nodes = silent["node"].unique().sort().to_list()
    start, end = silent.select(pl.col("from_at").min(), pl.col("to_at").max()).row(0)
    notes = source.read("notes", start=start - timedelta(hours=1), end=end + timedelta(hours=1), nodes=nodes)
    noted = notes.filter(pl.col("kind") == "absent", pl.col("subject").is_in(["nvml", "gpu"])).sort("at")
    reasons = dict(noted.select("node", "text").iter_rows())
    by_reason: dict[str, list[str]] = {}
    for node in nodes:
        by_reason.setdefault(reasons.get(node, NO_ROWS), []).append(node)
    return tuple(f"{_names(those)}: {reason}" for reason, those in by_reason.items())


def _names(nodes: list[str]) -> str:
    more = len(nodes) - MOST_NODES
    return ", ".join(nodes[:MOST_NODES]) + (f" and {more:,} more" if more > 0 else "")
