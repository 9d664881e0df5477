"""Where: which node, pod, team and role wastes what, who holds an idle GPU and since when, and what would cost less."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import streamlit as st

from app import accounts, charts, measurements, ui, waste
from app.view import View
from clusterctl.ui import formats
from planners.costs.cost_tables import Purpose
from planners.costs.savings import IDLE_CPU_PCT
from planners.telemetry.holding import FREE_REASON

KEYS = {"node": "node", "pod or run": "run", "team": "team", "role": "role"}
MOST_ROWS = 15
HOSTS = {
    "CPU, %": ("cpu_pct", 1.0),
    "Memory used, GiB": ("memory_used_mib", 1024.0),
    "Disk, MiB/s": ("disk_kib_per_s", 1024.0),
    "Network, MiB/s": ("network_kib_per_s", 1024.0),
}
"""Picture → column of telemetry and what it is divided by."""


def idle_parts(view: View) -> pl.DataFrame:
    """The parts of the money that idle GPUs took, `free` where nobody held them."""
    parts = accounts.account(view).parts.filter(pl.col("use") == Purpose.IDLE)
    return parts.with_columns(free=pl.col("reason") == FREE_REASON)


def money(view: View, parts: pl.DataFrame) -> None:
    """The sums of the window, each kind of waste by itself."""
    with ui.figures():
        for name, free in (("held_idle", False), ("free_gpus", True)):
            mine = parts.filter(pl.col("free") == free)
            known = accounts.usd(mine)
            text = ui.at_least(None if mine["usd"].has_nulls() else known, known)
            ui.figure(name, text, delta=f"{accounts.gpu_hours(mine):,.1f} GPU-hours")
        slots(view)
        cpus(view)


def slots(view: View) -> None:
    """Sandbox slots in which nothing ran."""
    hours, usd = waste.idle_slots(view)
    if hours:
        ui.figure("idle_slots", ui.usd(usd), delta=f"{hours:,.0f} slot-hours")


def cpus(view: View) -> None:
    """Machines without GPUs that do little now."""
    idle = [
        one
        for one in waste.machines(view)
        if not one.gpus
        and not one.is_sandbox
        and one.highest_cpu_pct is not None
        and one.highest_cpu_pct <= IDLE_CPU_PCT
    ]
    if idle:
        prices = [one.usd_per_hour for one in idle if one.usd_per_hour is not None]
        known = sum(prices, Decimal(0)) * 24
        text = ui.at_least(known if len(prices) == len(idle) else None, known)
        ui.figure("idle_cpus", text, delta=formats.count(len(idle), "machine"), limit=f"{IDLE_CPU_PCT:.0f}")


def to_do(view: View) -> None:
    """What would cost less, the dearest first."""
    st.subheader("Savings", anchor=False)
    if not waste.has_now(view):
        ui.gap("Savings", "the run has ended, and pays for nothing")
        return
    rows = waste.found_savings(view)
    if not rows:
        ui.fine("Nothing to save was found.", help="What was not measured is not judged.")
        return
    cells = [(one.what, None if one.usd_a_day is None else float(one.usd_a_day), one.how) for one in rows]
    ui.table("savings", pl.DataFrame(cells, schema=["what", "usd_a_day", "how"], orient="row"))


def groups(parts: pl.DataFrame, key: str) -> None:
    """Waste by node, pod, team or role: held and free apart."""
    column, free = KEYS[key], pl.col("free")
    hours, usd = pl.col("gpu_hours"), pl.col("usd")
    dollars = {
        name: pl.when(usd.filter(which).null_count() == 0).then(usd.filter(which).sum().cast(pl.Float64))
        for name, which in (("held_usd", ~free), ("free_usd", free))
    }
    by = charts.states(parts).group_by(name=pl.col(column).fill_null("nobody" if column == "run" else "none"))
    rows = by.agg(
        held_hours=hours.filter(~free).sum(),
        free_hours=hours.filter(free).sum(),
        **dollars,
        first=pl.col("state").sort_by("gpu_hours", descending=True).first(),
    )
    rows = rows.with_columns(
        hours=pl.col("held_hours") + pl.col("free_hours"), usd=pl.col("held_usd") + pl.col("free_usd")
    )
    rows = rows.sort("usd", "hours", "name", descending=[True, True, False], nulls_last=True)
    top = rows.head(MOST_ROWS)
    value = "hours" if top["usd"].has_nulls() else "usd"
    text = ui.usd if value == "usd" else "{:,.1f} GPU-hours".format
    charts.bars(
        top.with_columns(text=pl.col(value).map_elements(text, return_dtype=pl.String)),
        value=value,
        label="name",
        text="text",
    )
    ui.table("waste", rows.head(1000).rename({"name": key}), first=[key])


def holders(view: View) -> None:
    """The GPUs that do nothing now, and who holds them."""
    st.subheader("Idle now", anchor=False)
    if not waste.has_now(view):
        ui.gap("Idle now", "the run has ended")
        return
    rows = waste.idle_now(view)
    if rows.is_empty():
        seen = measurements.last_seen(view, "gpu") is not None
        if seen:
            ui.fine("Every GPU that is measured worked within the newest minute.")
        else:
            ui.gap("Idle now", "no telemetry of GPUs in this window")
        return
    prices = waste.usd_per_gpu_hour(view)
    price = pl.col("node").replace_strict(
        {node: None if usd is None else float(usd) for node, usd in prices.items()},
        default=None,
        return_dtype=pl.Float64,
    )
    named = charts.states(rows.join(waste.processes(view), on=["node", "gpu"], how="left")).with_columns(
        process=pl.when(~pl.col("free")).then(pl.col("process"))
    )
    who = pl.when(pl.col("free")).then(pl.lit("nobody")).otherwise(pl.coalesce("run", "process", pl.lit("not named")))
    by = named.with_columns(holder=who).group_by("node", "holder", "role", "state")
    table = by.agg(
        gpus=pl.col("gpu").str.split(":").list.first().n_unique(),
        since=pl.col("since").max(),
        whole=pl.col("whole").all(),
        process=pl.col("process").drop_nulls().first(),
    )
    hours = (pl.lit(view.now) - pl.col("since")).dt.total_seconds() / 3600
    table = table.with_columns(
        hours=hours,
        usd_a_day=pl.col("gpus") * price * 24,
        since_words=pl.when("whole").then(pl.lit("or earlier")).otherwise(pl.lit("")),
    )
    ui.table("idle_now", table.sort("since", "node", nulls_last=True).head(500))
    shown = rows["node"].n_unique()
    if shown >= waste.MOST_NODES:
        st.caption(f"The {shown} nodes with most idle GPUs")


def hosts(view: View) -> None:
    """Processors, memory, disks and networks of the nodes: their mean and the highest of any."""
    st.subheader("Hosts", anchor=False)
    rows = measurements.window(view, "host")
    if rows.is_empty():
        ui.gap("Hosts", measurements.absent(view, "host") or "no agent measured a host in this window")
        return
    for pair in (list(HOSTS)[:2], list(HOSTS)[2:]):
        for place, title in zip(st.columns(2), pair, strict=True):
            column, divisor = HOSTS[title]
            value = pl.col(column).cast(pl.Float64) / divisor
            by = rows.group_by("at").agg(mean=value.mean(), highest=value.max()).sort("at")
            with place:
                if by["mean"].null_count() == by.height:
                    ui.gap(title, "no node of this window reports it")
                else:
                    charts.lines(title, by, {"mean of the nodes": "mean", "highest node": "highest"})
    weight = pl.col("seconds")
    means = {
        name: (pl.col(name).cast(pl.Float64) * weight).sum() / weight.filter(pl.col(name).is_not_null()).sum()
        for name in ("cpu_pct", "disk_kib_per_s", "network_kib_per_s")
    }
    by = rows.group_by("node").agg(
        **means,
        cpu_most=pl.col("cpu_pct").max(),
        memory=pl.col("memory_used_mib").max() / 1024,
        disk=pl.col("disk_used_mib").max() / 1024,
    )
    by = by.with_columns(pl.col("disk_kib_per_s", "network_kib_per_s") / 1024).fill_nan(None)
    ui.table("hosts", by.sort("cpu_pct", "node").head(500))


def waste_by(view: View) -> None:
    parts = idle_parts(view)
    if parts.is_empty():
        measured = not measurements.gpu_seconds(view).is_empty()
        if measured:
            ui.fine("No GPU idled in this window.")
        else:
            ui.gap("GPUs", "no telemetry of GPUs in this window")
        return
    groups(parts, key)


def body(view: View) -> None:
    ui.problems(accounts.account(view).problems)
    ui.guarded(ui.estimates, view)
    ui.guarded(money, view, idle_parts(view))
    for part in (to_do, holders):
        ui.guarded(part, view)
    st.subheader(f"Idle GPUs by {key}", anchor=False)
    ui.guarded(waste_by, view)
    ui.guarded(hosts, view)


key = st.segmented_control("By", list(KEYS), default="node", required=True, **ui.kept("where")) or "node"
ui.live(body)
