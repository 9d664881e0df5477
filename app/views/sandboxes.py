"""Sandboxes: is the fleet large and fast enough, how do programs end, and what does its slowness cost the GPUs?"""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import accounts, charts, data, measurements, trends, ui
from app.view import View
from clusterctl.ledger.rows import LIVE
from clusterctl.ui import formats
from planners.costs.cost_tables import Purpose
from planners.telemetry.tables import IdleReason

ENDS = {"done": "done", "time_limits": "time limit", "memory_limits": "memory limit", "errors": "error"}
END_COLOURS = dict(zip(ENDS.values(), (charts.GREEN, charts.ORANGE, charts.PINK, charts.VERMILION), strict=True))


def fleet(rows: pl.DataFrame) -> pl.DataFrame:
    """All sandbox servers together, per bucket: counts add up, medians are weighted by programs, the worst P95."""
    add = ("running", "queued", "workers", "finished", "time_limits", "memory_limits", "errors")
    weight = pl.col("finished").cast(pl.Float64)
    medians = [
        pl.when(pl.col(n).is_not_null().any())
        .then((pl.col(n) * weight).sum() / weight.filter(pl.col(n).is_not_null()).sum())
        .alias(n)
        for n in ("start_p50_ms", "request_p50_ms")
    ]
    sums = pl.col(*add).cast(pl.Int64).sum()
    by = rows.group_by("at").agg(sums, *medians, pl.col("start_p95_ms", "request_p95_ms").max())
    failed = pl.sum_horizontal("time_limits", "memory_limits", "errors")
    return by.with_columns(done=pl.col("finished") - failed).sort("at")


def figures(view: View, frame: pl.DataFrame) -> None:
    """Totals of the window, and what they cost."""
    done, seconds = int(frame["finished"].sum()), max(1, frame.height * view.step_seconds)
    parts = accounts.account(view).parts
    servers = parts.filter(pl.col("use") == Purpose.SANDBOX)
    paid = float(accounts.usd(servers)) if servers.height and not servers["usd"].has_nulls() else None
    failed = int(frame["errors"].sum())
    with ui.figures():
        running_now(view, frame)
        per_second, moved = f"{done / seconds:,.1f} per second", trends.programs(view, done)
        ui.moving_figure("programs", f"{done:,}", moved, delta=per_second, bad=None, less_is_good=None, words={})
        for name, text in (("start", "Start"), ("request", "Whole request")):
            p50, p95 = data.mean(frame, f"{name}_p50_ms"), measurements.highest(frame, f"{name}_p95_ms")
            worst = f"worst P95 {formats.duration(p95 and p95 / 1000)}"
            ui.figure("sandbox_seconds", formats.duration(p50 and p50 / 1000), delta=worst, what=text)
        share, errors = failed / done if done else None, f"{failed:,} errors of the sandbox"
        ui.figure("not_judged", formats.percent(share), delta=errors, bad=bool(share and share > 0.01) or None)
        each = ui.usd(None if paid is None or not done else 1000 * paid / done, cents=True)
        ui.figure("per_program", each, paid=ui.usd(paid), done=f"{done:,}")
        waiting = parts.filter(pl.col("use") == Purpose.IDLE, pl.col("reason") == IdleReason.WAITING_SANDBOX)
        usd, hours = accounts.usd(waiting), f"{accounts.gpu_hours(waiting):,.0f} GPU-hours"
        text = ui.at_least(None if waiting["usd"].has_nulls() else usd, usd)
        ui.figure("waiting_gpus", text, delta=hours, bad=usd > (paid or 0) or None)


def running_now(view: View, frame: pl.DataFrame) -> None:
    """What runs and waits now; of a run that has ended, what ran at most."""
    if view.run is not None and view.run.state not in LIVE:
        most = measurements.highest(frame, "running")
        ui.figure("most_running", ui.number(most, places=0), delta="the run has ended")
        return
    rows = fleet(measurements.newest_rows(view, "sandbox"))
    if rows.is_empty():
        ui.figure("running", formats.UNKNOWN, delta="no sandbox server reports now", bad=True)
        return
    last = rows.row(-1, named=True)
    delta = f"{last['queued']:,} queued"
    ui.figure("running", f"{last['running']:,} of {last['workers']:,}", delta=delta, bad=bool(last["queued"]) or None)


def pictures(view: View, frame: pl.DataFrame) -> None:
    """Load, times and verdicts over time."""
    load = {"running": "running", "queued": "queued", "concurrent sandboxes": "workers"}
    charts.lines("Programs: running, queued; concurrent sandboxes", frame, load, axis="programs")
    left, right = st.columns(2)
    for column, name, title in ((left, "start", "Start of a sandbox, ms"), (right, "request", "Whole request, ms")):
        with column:
            charts.lines(title, frame, {"P50": f"{name}_p50_ms", "P95": f"{name}_p95_ms"}, axis="ms")
    ends = frame.select("at", *ENDS).rename(ENDS).unpivot(index="at", variable_name="state", value_name="programs")
    step, title = view.step_seconds, "How programs ended, per bucket"
    charts.stacked(title, ends, value="programs", axis="programs", step_seconds=step, colours=END_COLOURS)


def servers(rows: pl.DataFrame) -> None:
    """Each server by itself."""
    sums, most = pl.col("finished", "errors", "time_limits").sum(), pl.col("queued", "request_p95_ms").max()
    by = rows.group_by("node").agg(sums, most)
    if by.height > 1:
        st.caption("By server, the longest queue first")
        ui.table("servers", by.sort("queued", "node", descending=[True, False]).head(200))


def body(view: View) -> None:
    rows = measurements.window(view, "sandbox")
    if rows.is_empty():
        nodes = [r.address or "" for r in data.resources(view.data, view.run_id) if r.role == "sandbox"]
        ui.gap("Sandboxes", measurements.absent(view, "sandbox", nodes) or "no sandbox server reported in this window")
        return
    frame = fleet(rows)
    figures(view, frame)
    trends.why_none(view)
    pictures(view, frame)
    servers(rows)


ui.live(body)
