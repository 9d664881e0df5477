"""Sandboxes: is the fleet large and fast enough, how do programs end, and what does its slowness cost the GPUs?"""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import accounts, charts, data, ui
from clusterctl.ui import formats
from planners.costs.tables import Purpose

view: data.View = st.session_state["view"]
ENDS = {"done": charts.GREEN, "time limit": charts.ORANGE, "memory limit": charts.PINK, "error": charts.VERMILION}


def fleet(rows: pl.DataFrame) -> pl.DataFrame:
    """All sandbox servers together, per bucket: counts add up, medians are weighted by programs, the worst P95."""
    add = ("running", "queued", "workers", "finished", "time_limits", "memory_limits", "errors")
    weight = pl.col("finished").cast(pl.Float64)
    ends = {"done": pl.col("finished") - pl.col("time_limits") - pl.col("memory_limits") - pl.col("errors")}
    medians = [
        pl.when(pl.col(n).is_not_null().any())
        .then((pl.col(n) * weight).sum() / weight.filter(pl.col(n).is_not_null()).sum())
        .alias(n)
        for n in ("start_p50_ms", "request_p50_ms")
    ]
    return (
        rows.group_by("at")
        .agg(*(pl.col(n).cast(pl.Int64).sum() for n in add), *medians, pl.col("start_p95_ms", "request_p95_ms").max())
        .with_columns(**ends)
        .sort("at")
    )


def figures(frame: pl.DataFrame, use: pl.DataFrame) -> None:
    """Totals of the window, and what they cost."""
    done, step = int(frame["finished"].sum()), view.step_seconds
    parts = accounts.account(view).parts.filter(pl.col("use") == Purpose.SANDBOX)
    paid = float(accounts.usd(parts)) if parts.height and not parts["usd"].has_nulls() else None
    idle = use.filter(pl.col("reason") == "waiting_sandbox")
    window = "In the window."
    with ui.figures():
        last = frame.tail(1)
        ui.figure(
            "Running now",
            f"{last['running'][0]:,} of {last['workers'][0]:,}",
            bad=bool(last["queued"][0]) or None,
            delta=f"{last['queued'][0]:,} queued",
            help="Running programs of the concurrent sandboxes; mean of the newest bucket.",
        )
        ui.figure("Programs", f"{done:,}", delta=f"{done / max(1, frame.height * step):,.1f} per second", help=window)
        for name, text in (("start", "Start"), ("request", "Whole request")):
            p50, p95 = data.mean(frame, f"{name}_p50_ms"), data.highest(frame, f"{name}_p95_ms")
            ui.figure(
                f"{text}, P50",
                formats.duration(p50 and p50 / 1000),
                delta=f"worst P95 {formats.duration(p95 and p95 / 1000)}",
                help=f"{window} Mean over the buckets of their P50; the highest P95 of any bucket.",
            )
        failed = int(frame["errors"].sum())
        ui.figure(
            "Not judged",
            formats.percent(failed / done if done else None),
            delta=f"{failed:,} errors of the sandbox",
            bad=bool(done and failed / done > 0.01) or None,
            help="Programs that ended by an error of the sandbox, not their own.",
        )
        ui.figure(
            "Per 1,000 programs",
            ui.usd(None if paid is None or not done else 1000 * paid / done, cents=True),
            help=f"{ui.usd(paid)} for sandbox machines / {done:,} programs. {window}",
        )
        ui.figure(
            "GPUs waiting for sandboxes",
            ui.usd(idle["usd"].sum()),
            delta=f"{idle['gpu_hours'].sum():,.0f} GPU-hours",
            bad=bool(idle["usd"].sum() > (paid or 0)) or None,
            help="GPU-hours that waited for sandboxes x price. Red: more than the sandboxes cost.",
        )


def pictures(frame: pl.DataFrame) -> None:
    """Load, times and verdicts over time."""
    load = {"running": "running", "queued": "queued", "concurrent sandboxes": "workers"}
    st.caption("Programs: running, queued; concurrent sandboxes")
    ui.legend(charts.line_colours(load))
    st.altair_chart(charts.lines(frame, values=load, title="programs", height=180))
    left, right = st.columns(2)
    for column, name, title in ((left, "start", "Start of a sandbox, ms"), (right, "request", "Whole request, ms")):
        with column:
            values = {"P50": f"{name}_p50_ms", "P95": f"{name}_p95_ms"}
            st.caption(title)
            ui.legend(charts.line_colours(values))
            st.altair_chart(charts.lines(frame, values=values, title="ms", height=180))
    st.caption("How programs ended, per bucket")
    ui.legend(ENDS)
    words = {"done": "done", "time_limits": "time limit", "memory_limits": "memory limit", "errors": "error"}
    ends = frame.select("at", *words).rename(words).unpivot(index="at", variable_name="state", value_name="programs")
    st.altair_chart(
        charts.stacked(ends, value="programs", title="programs", step_seconds=view.step_seconds, colours=ENDS)
    )


def servers(rows: pl.DataFrame) -> None:
    """Each server by itself."""
    by = rows.group_by("node").agg(
        pl.col("finished", "errors", "time_limits").sum(),
        pl.col("queued").max(),
        pl.col("request_p95_ms").max().round(0),
    )
    if by.height > 1:
        st.caption("By server, the longest queue first")
        shown = by.sort("queued", "node", descending=[True, False]).head(200)
        ui.table(
            shown,
            node="server",
            finished="programs",
            queued="longest queue",
            errors="errors",
            time_limits="time limits",
            request_p95_ms="worst P95, ms",
        )


def body() -> None:
    """The page."""
    rows = data.telemetry(view, "sandbox")
    if rows.is_empty():
        nodes = [r.address or "" for r in data.resources(view.data, view.run_id) if r.role == "sandbox"]
        ui.gap("Sandboxes", data.absent(view, "sandbox", nodes) or "no sandbox server reported in this window")
        return
    frame = fleet(rows)
    figures(frame, accounts.gpu_use(view))
    pictures(frame)
    servers(rows)


ui.live(body, again=view.live)
