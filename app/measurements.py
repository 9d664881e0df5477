"""What was measured, in the window that is looked at: GPUs, hosts, sandboxes, and what the agents say is missing."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple, cast

import polars as pl
import streamlit as st

from app import data
from app.view import STEPS, Data, View
from clusterctl.ui.formats import count
from planners.telemetry.roll_up import roll_up
from planners.telemetry.tables import TABLES

SILENT = timedelta(minutes=2)
"""After so long without telemetry something is wrong: twelve intervals of the agent."""
NOW_SECONDS = 60
"""What "now" is the mean of."""


def standing(view: View, table: str) -> pl.DataFrame:
    """Rows of `devices` or `notes` up to the window's end, from a day before it on: agents say once an hour what is."""
    return _read(view.data, table, (view.key[2] - timedelta(days=1), view.key[3]), step=0)


def window(view: View, table: str, *columns: str) -> pl.DataFrame:
    """Rows of a table in the view's window, in its steps, by `at`: those of the machines of its run, or of all.

    Of a run's machines also what nobody held: it was paid; not what another run did there.  A run whose machines the
    ledger does not know: its rows.
    """
    _, _, start, end = view.key
    return _of_run(view, table, (start, end), view.step_seconds, columns or None)


def _of_run(
    view: View, table: str, between: tuple[datetime, datetime], step: int, columns: tuple[str, ...] | None
) -> pl.DataFrame:
    """Rows between two moments: of the view's run, as `window` says."""
    if view.run_id is None or "run" not in TABLES[table]:
        nodes = None if view.run_id is None else data.machines(view.data, view.run_id)
        return _read(view.data, table, between, step=step, nodes=nodes, columns=columns)
    nodes = data.machines(view.data, view.run_id)
    read = None if columns is None else (*columns, *({"run"} - set(columns)))
    run = view.run_id if nodes == () else None
    rows = _read(view.data, table, between, step=step, run=run, nodes=nodes, columns=read)
    rows = rows.filter(pl.col("run").is_null() | (pl.col("run") == view.run_id))
    if columns is None or "run" in columns:
        return rows
    return roll_up(rows.lazy(), table, step_seconds=step, columns=columns).collect().sort("at")


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


def history(view: View, nodes: Collection[str], *columns: str) -> pl.DataFrame:
    """Rows of GPUs of these nodes in the window, whosever they are, finely where they are few."""
    _, _, start, end = view.key
    return _read(view.data, "gpu", (start, end), step=min(view.step_seconds, 600), nodes=nodes, columns=columns)


def of_node(view: View, node: str, *columns: str) -> pl.DataFrame:
    """Rows of the GPUs of one node in the window, in the view's steps, whosever they are."""
    _, _, start, end = view.key
    return _read(view.data, "gpu", (start, end), step=view.step_seconds, nodes=(node,), columns=columns)


def gpu_seconds(view: View) -> pl.DataFrame:
    """at, node, run, role, reason, seconds (GPU-seconds), gpu_util_pct: the one read of GPUs that pages share."""
    return window(view, "gpu", "node", "run", "role", "reason", "seconds", "gpu_util_pct")


def last_seen(view: View, table: str) -> datetime | None:
    """Moment of the newest row of a table: exact in the last minutes of the window, to a bucket before them."""
    nodes = None if view.run_id is None else data.machines(view.data, view.run_id)
    newest = _newest(view.data, table, view.key[3], nodes or None)
    if newest is not None:
        return newest
    rows = gpu_seconds(view) if table == "gpu" else window(view, table, "seconds")
    last = rows["at"].max()
    return min(last, view.end) if isinstance(last, datetime) else None


@st.cache_resource(ttl=60, show_spinner=False, max_entries=24)
def _newest(of: Data, table: str, until: datetime, nodes: tuple[str, ...] | None) -> datetime | None:
    return data.store(of).newest(table, until=until, nodes=nodes)


def newest_rows(view: View, table: str, *columns: str) -> pl.DataFrame:
    """Rows of the newest minute that was measured, or of the newest interval where measurements are further apart."""
    last = last_seen(view, table)
    if last is None:
        return window(view, table, *columns).clear()
    step = next(step for step in STEPS if step >= view.finest_seconds)
    rows = _of_run(view, table, (last - timedelta(seconds=max(NOW_SECONDS, 2 * step)), last), step, columns or None)
    newest = rows["at"].max()
    return rows if newest is None else rows.filter(pl.col("at") > pl.lit(newest) - timedelta(seconds=NOW_SECONDS))


class BusyNow(NamedTuple):
    """What GPUs do now."""

    busy: float
    """Of those that are measured, how many work on average."""
    measured: int


def busy_now(view: View) -> BusyNow:
    """How many GPUs there are, and how many work, in the newest minute that was measured."""
    rows = newest_rows(view, "gpu", "node", "gpu", "reason", "seconds")
    seconds = pl.col("seconds")
    shares = rows.group_by("node", "gpu").agg(busy=seconds.filter(pl.col("reason").is_null()).sum() / seconds.sum())
    return BusyNow(busy=float(shares["busy"].sum()), measured=shares.height)


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
