"""What was measured, in the window that is looked at: GPUs, hosts, sandboxes, and what the agents say is missing."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import cast

import polars as pl
import streamlit as st

from app import data
from app.view import STEPS, Data, View
from clusterctl.ui.formats import count
from planners.telemetry.tables import TABLES

RECENT = timedelta(minutes=2)
"""How far back the newest row is looked for to the second: twelve intervals of the agent."""


def standing(view: View, table: str) -> pl.DataFrame:
    """Rows of `devices` or `notes` up to the window's end, from a day before it on: agents say once an hour what is."""
    return _read(view.data, table, (view.key[2] - timedelta(days=1), view.key[3]), step=0)


def window(view: View, table: str, *columns: str) -> pl.DataFrame:
    """Rows of a table in the view's window, in its steps, by `at`: those of the machines of its run, or of all.

    Of a run's machines also what nobody held: it was paid.  A run whose machines the ledger does not know: its rows.
    """
    _, _, start, end = view.key
    nodes = None if view.run_id is None else data.machines(view.data, view.run_id)
    run = view.run_id if nodes == () and "run" in TABLES[table] else None
    return _read(view.data, table, (start, end), step=view.step_seconds, run=run, nodes=nodes, columns=columns or None)


@st.cache_resource(ttl=60, show_spinner=False, max_entries=24)
def _read(
    of: Data,
    table: str,
    between: tuple[datetime, datetime],
    *,
    step: int,
    run: str | None = None,
    nodes: Collection[str] | None = None,
    columns: Collection[str] | None = None,
) -> pl.DataFrame:
    start, end = between
    frame = data.store(of).read(
        table, start=start, end=end, step_seconds=step, run=run, nodes=nodes or None, columns=columns
    )
    return frame.sort("at")


def gpu_seconds(view: View) -> pl.DataFrame:
    """at, node, run, role, reason, seconds (GPU-seconds), gpu_util_pct: the one read of GPUs that pages share."""
    return window(view, "gpu", "node", "run", "role", "reason", "seconds", "gpu_util_pct")


def last_seen(view: View, table: str) -> datetime | None:
    """End of the newest row of a table: to 10 s in the last minutes of the window, to a bucket before them."""
    _, _, start, end = view.key
    nodes = None if view.run_id is None else data.machines(view.data, view.run_id)
    recent = _read(view.data, table, (max(start, end - RECENT), end), step=STEPS[0], nodes=nodes, columns=("seconds",))
    rows = recent if recent.height else gpu_seconds(view) if table == "gpu" else window(view, table, "seconds")
    last = rows["at"].max()
    return min(last, view.end) if isinstance(last, datetime) else None


def gpu_count(view: View) -> int:
    """GPUs of the nodes that were measured in the window."""
    nodes = gpu_seconds(view)["node"].unique()
    known = standing(view, "devices").filter(pl.col("node").is_in(nodes.implode())).select("node", "gpu").n_unique()
    return max(known, len(nodes))


def splits_gpus(view: View) -> bool:
    """Whether a GPU of the window is split into instances."""
    return bool(standing(view, "devices")["mig_profile"].is_not_null().any())


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Sort key: gpu-2 before gpu-10."""
    return tuple((word, int(digits or 0)) for word, digits in re.findall(r"(\D*)(\d*)", name))


def absent(view: View, subject: str, nodes: Collection[str] | None = None) -> str | None:
    """Why a column (or a whole source) is not there, as the agents said: `gpu-8: no NVLink counters`."""
    notes = standing(view, "notes").filter(pl.col("kind") == "absent", pl.col("subject") == subject)
    notes = notes if nodes is None else notes.filter(pl.col("node").is_in(list(nodes)))
    said = notes.group_by("text").agg(pl.col("node").unique().sort()).sort("text").iter_rows()
    texts = []
    for text, names in said:
        more = f" and {count(len(names) - 3, 'more node')}" if len(names) > 3 else ""
        texts.append(f"{', '.join(names[:3])}{more}: {text}")
    return "; ".join(texts) or None


def highest(rows: pl.DataFrame, column: str) -> float | None:
    """The highest value of a column; None where nobody reports it."""
    return cast("float | None", rows[column].cast(pl.Float64).max())
