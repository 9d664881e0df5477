"""GPU fleet: which GPU did what and when, what idling cost, and what broke."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from app import accounts, charts, data, measurements, one_node, ui
from app.view import View

MOST_ROWS = 64
"""Rows of a heat map that a person can still read."""
METRICS: dict[str, dict[str, Any]] = ui.LABELS["gpu_metrics"]
WORK = ("gpu_util_pct", "tensor_active_pct", "memory_util_pct")
WORK_HELP = (
    "Utilisation: time in which any kernel ran, also one that only waits for other GPUs. Tensor cores: cycles in which"
    " they worked. Near 100% of the first with 5% of the others is wasted; generation is bound by memory instead."
)


def heat(view: View, metric: str) -> None:
    """GPU x time; nodes instead of GPUs where there are too many."""
    known = METRICS[metric]
    column, title = known["column"], known["title"]
    many = measurements.gpu_count(view) > MOST_ROWS
    keys = ("node",) if many else ("node", "gpu")
    shared = many and column == "gpu_util_pct"
    frame = measurements.gpu_seconds(view) if shared else measurements.window(view, "gpu", *keys, column, "seconds")
    if frame.is_empty():
        ui.gap("GPUs", "no telemetry of GPUs in this window")
        return
    missing = measurements.absent(view, column)
    name = pl.col("node") if many else pl.concat_str("node", pl.lit(":"), "gpu")
    frame = frame.with_columns(row=name).drop_nulls(column)
    if frame.is_empty():
        ui.gap(title, missing or "no GPU of this window reports it")
        return
    if shared:
        mean = (pl.col(column).cast(pl.Float64) * pl.col("seconds")).sum() / pl.col("seconds").sum()
        frame = frame.group_by("at", "row").agg(mean.alias(column))
    rows = sorted(frame["row"].unique().to_list(), key=measurements.natural)
    if len(rows) > MOST_ROWS:
        worst = worst_nodes(view).head(MOST_ROWS)["node"].to_list()
        st.caption(f"The {len(worst)} of {len(rows):,} nodes whose idling cost most")
        rows = worst
        frame = frame.filter(pl.col("row").is_in(rows))
    st.caption(f"{title}. Empty = not measured; the reasons are below")
    charts.heat(
        frame, value=column, title=title, step_seconds=view.step_seconds, domain=METRICS[metric].get("range"), rows=rows
    )
    if missing:
        ui.gap(title, missing)


def worst_nodes(view: View) -> pl.DataFrame:
    """node, idle_hours, idle_usd, gpu_hours, first (its dearest reason): the dearest first."""
    use, sums = accounts.gpu_parts(view), (pl.col("gpu_hours").sum(), accounts.known_sum("usd"))
    by = use.filter(~pl.col("reason").is_in(accounts.PAID)).group_by("node", "reason").agg(sums).sort("gpu_hours")
    idle = {"idle_hours": pl.col("gpu_hours").sum(), "idle_usd": accounts.known_sum("usd")}
    first = charts.states(by).group_by("node").agg(**idle, first=pl.col("state").last())
    rows = first.join(use.group_by("node").agg(pl.col("gpu_hours").sum()), on="node", how="right")
    never = pl.col("idle_hours").is_null()
    rows = rows.with_columns(
        idle_usd=pl.when(never).then(0.0).otherwise("idle_usd"), idle_hours=pl.col("idle_hours").fill_null(0.0)
    )
    return rows.sort("idle_usd", "idle_hours", "node", descending=[True, True, False], nulls_last=True)


def idle(view: View) -> None:
    """GPU-hours and dollars by reason, and by node."""
    use = accounts.gpu_parts(view)
    if use.is_empty():
        return
    by = charts.states(use.group_by("reason").agg(pl.col("gpu_hours").sum(), accounts.known_sum("usd")))
    by = by.with_columns(share=100 * pl.col("gpu_hours") / pl.col("gpu_hours").sum())
    left, right = st.columns([2, 3])
    with left:
        st.caption("By what they did")
        ui.table("idle_by_reason", by.sort("gpu_hours", descending=True))
    with right:
        st.caption("By node, the most idle dollars first; pick one to see its GPUs and what ran there")
        ui.table("idle_by_node", worst_nodes(view).head(200), choose=one_node.choose_node)


def work(view: View) -> None:
    """Whether GPUs that are busy compute: by run and role, how much their parts do."""
    rows = measurements.window(view, "gpu", "run", "role", "reason", "seconds", *WORK)
    busy = rows.filter(pl.col("reason").is_null(), pl.col("run").is_not_null())
    if busy.is_empty():
        return
    seconds = pl.col("seconds")
    means = {name: (pl.col(name) * seconds).sum() / seconds.filter(pl.col(name).is_not_null()).sum() for name in WORK}
    by = busy.group_by("run", "role").agg(hours=seconds.sum() / 3600, **means)
    st.caption("What busy GPUs do", help=WORK_HELP)
    ui.table("busy_gpus", by.sort("hours", descending=True).fill_nan(None))
    missing = measurements.absent(view, "tensor_active_pct")
    if missing:
        ui.gap("tensor cores, %", missing)


def broken(view: View) -> None:
    """Errors, losses and gaps of the window, each with its words."""
    notes = (
        measurements.standing(view, "notes")
        .filter(pl.col("kind") != "holder")
        .filter((pl.col("at") > view.start) | (pl.col("kind") == "absent"))
    )
    mine = measurements.gpu_seconds(view)["node"].unique()
    notes = notes.filter(pl.col("node").is_in(mine.implode())).sort("at", descending=True).head(500)
    st.caption("What broke, and what is missing and why")
    problems = data.store(view.data).problems()
    if problems:
        ui.problems(problems)
    elif notes.is_empty():
        ui.fine("Nothing in this window.")
    else:
        ui.table("gpu_notes", notes)


def body(view: View) -> None:
    if node != one_node.ALL:
        st.button("All nodes", icon=":material/arrow_back:", type="tertiary", on_click=leave)
        ui.guarded(one_node.body, view, node, gpu)
        return
    ui.guarded(ui.estimates, view)
    ui.guarded(heat, view, metric)
    for part in (idle, work, broken):
        ui.guarded(part, view)


def leave() -> None:
    one_node.leave()
    st.session_state[ui.MOVED] = True


metric = st.selectbox("Metric", list(METRICS), **ui.kept("metric")) or "utilisation"
node, gpu = one_node.pick()
ui.live(body)
