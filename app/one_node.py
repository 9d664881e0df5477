"""One node of the fleet: its GPUs, what ran on them, and the series of one GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import streamlit as st

from app import charts, data, measurements, ui
from app.view import View
from clusterctl.errors import ClusterctlError

ALL = "all"
SERIES = {
    "Utilisation, %": {"GPU": "gpu_util_pct", "tensor cores": "tensor_active_pct", "memory": "memory_util_pct"},
    "Memory used, MiB": {"memory": "fb_used_mib"},
    "Power, W": {"power": "power_w"},
    "Temperature, °C": {"temperature": "temperature_c"},
}
"""Title of a picture → its lines: name → column."""
COLUMNS = sorted({column for lines in SERIES.values() for column in lines.values()})


def pick() -> tuple[str, str]:
    """(node, GPU) that the viewer chose, each perhaps ALL."""
    try:
        view = data.current()
        names = sorted(measurements.gpu_seconds(view)["node"].unique().drop_nulls(), key=measurements.natural)
    except ClusterctlError:
        names = []  # the page says why
    left, right = st.columns(2)
    hint = "Or pick a row of the table by node, below."
    more: dict[str, Any] = {"accept_new_options": True, "help": hint}
    node = left.selectbox("Node", [ALL, *names], **ui.kept("node"), **more) or ALL
    if node == ALL:
        return ALL, ALL
    gpu = right.text_input("GPU", placeholder="all of the node", **ui.kept("gpu"), help="Its index, as in the picture.")
    return node, (gpu or "").strip() or ALL


def choose_node(row: dict[str, Any]) -> None:
    """Look at the node of a row."""
    st.session_state.update({"node": row["node"], "gpu": ""})


def choose_gpu(row: dict[str, Any]) -> None:
    """Look at the GPU of a row."""
    st.session_state["gpu"] = row["gpu"]


def leave() -> None:
    """Look at all nodes again."""
    st.session_state.update({"node": ALL, "gpu": ""})


def body(view: View, node: str, gpu: str) -> None:
    """What a node, or one of its GPUs, did in the window; of all runs."""
    fine = replace(view, large=False)
    rows = measurements.of_node(fine, node, "node", "gpu", "run", "role", "reason", "seconds", *COLUMNS)
    of_gpu = rows if gpu == ALL else rows.filter(gpu=gpu)
    if of_gpu.is_empty():
        reason = "no telemetry of it in this window" if rows.is_empty() else "the node has no GPU of this index"
        ui.gap(node if gpu == ALL else f"{node}:{gpu}", reason)
        return
    st.subheader(ui.md(node if gpu == ALL else f"GPU {gpu} of {node}"), anchor=False)
    by = of_gpu.group_by("at", "reason").agg(pl.col("seconds").cast(pl.Float64).sum())
    shown = charts.states(fine.whole(by).with_columns(gpus=pl.col("seconds") / fine.covered_seconds()))
    charts.stacked(
        "GPUs by what they did", shown, value="gpus", axis="GPUs", step_seconds=fine.step_seconds, height=160
    )
    st.caption("What ran here" if gpu == ALL else "What ran on it")
    ui.table("ran_here", what_ran(of_gpu))
    if gpu == ALL:
        st.caption("Its GPUs: pick one to see its series")
        ui.table("gpus_of_node", by_gpu(rows), choose=choose_gpu)
    else:
        series(fine, of_gpu)


def what_ran(rows: pl.DataFrame) -> pl.DataFrame:
    """run, role, gpus, hours, idle_pct, since, until: the longest first; no run is nobody's time."""
    seconds = pl.col("seconds").cast(pl.Float64)
    found = rows.group_by("run", "role").agg(
        gpus=pl.col("gpu").n_unique(),
        hours=seconds.sum() / 3600,
        idle_pct=100 * seconds.filter(pl.col("reason").is_not_null()).sum() / seconds.sum(),
        since=pl.col("at").min(),
        until=pl.col("at").max(),
    )
    return found.with_columns(pl.col("run").fill_null("nobody")).sort("hours", "run", descending=[True, False])


def by_gpu(rows: pl.DataFrame) -> pl.DataFrame:
    """gpu, hours (measured), idle_pct, gpu_util_pct, temperature_c (the highest)."""
    seconds = pl.col("seconds").cast(pl.Float64)
    found = rows.group_by("gpu").agg(
        hours=seconds.sum() / 3600,
        idle_pct=100 * seconds.filter(pl.col("reason").is_not_null()).sum() / seconds.sum(),
        gpu_util_pct=(pl.col("gpu_util_pct").cast(pl.Float64) * seconds).sum()
        / seconds.filter(pl.col("gpu_util_pct").is_not_null()).sum(),
        temperature_c=pl.col("temperature_c").cast(pl.Float64).max(),
    )
    order = sorted(found["gpu"], key=measurements.natural)
    return found.sort(pl.col("gpu").replace_strict(order, range(len(order)))).fill_nan(None)


def series(view: View, rows: pl.DataFrame) -> None:
    """What was measured of one GPU over time; what nobody reports is a gap with its reason."""
    seconds = pl.col("seconds").cast(pl.Float64)
    means = {
        name: (pl.col(name).cast(pl.Float64) * seconds).sum() / seconds.filter(pl.col(name).is_not_null()).sum()
        for name in COLUMNS
    }
    frame = rows.group_by("at").agg(**means).fill_nan(None).sort("at")
    frame = frame.upsample("at", every=f"{view.step_seconds}s") if frame.height > 1 else frame
    columns = st.columns(2)
    for number, (title, lines) in enumerate(SERIES.items()):
        with columns[number % 2]:
            have = {name: column for name, column in lines.items() if frame[column].null_count() < frame.height}
            if have:
                charts.lines(title, frame, have, zero=title != "Temperature, °C")
            else:
                missing = [measurements.absent(view, column) for column in lines.values()]
                ui.gap(title, next((why for why in missing if why), "this GPU does not report it"))
