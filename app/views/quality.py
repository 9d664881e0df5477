"""Data quality: how old prices are, what telemetry is missing, what has no price, and how good the plans have been."""

from __future__ import annotations

import math

import polars as pl
import streamlit as st

from app import accounts, data, measurements, planning, ui
from app.view import View
from clusterctl.ui import formats
from planners.costs.cost_tables import Purpose

OLD_DAYS = 90
"""List prices of GPU machines changed several times in most years; a quarter is worth a refresh."""


def prices(view: View) -> None:
    """Age of the price book by cloud, and what runs without a price."""
    st.subheader("Prices", anchor=False)
    rows = planning.price_ages(view.now.date())
    ui.table("prices", rows)
    old = rows.filter(pl.col("age_days") > OLD_DAYS).select("cloud", "kind")
    if old.height:
        names = ", ".join(f"{cloud} {kind.replace('_', ' ')}" for cloud, kind in old.iter_rows())
        st.markdown(f":orange[:material/warning:] Older than {OLD_DAYS} days: {ui.md(names)}.")
        st.code("clusterctl prices refresh", language="sh")
    unpriced = accounts.money(view).unpriced
    if unpriced:
        ui.gap(f"{formats.count(len(unpriced), 'resource')} without a price", ", ".join(unpriced[:10]))
    else:
        ui.fine("Everything that was paid has a known price.")


def measured(view: View) -> None:
    """How much of the paid GPU time was measured, and what the agents say is missing."""
    st.subheader("Telemetry", anchor=False)
    account = accounts.account(view)
    ui.problems(account.problems)
    whole, lost = accounts.gpu_hours(account.parts), accounts.gpu_hours(account.parts, Purpose.UNMEASURED)
    with ui.figures():
        share = lost / whole if whole else None
        ui.figure(
            "measured",
            formats.percent(None if share is None else 1 - share),
            delta=f"{lost:,.1f} of {whole:,.0f} GPU-hours missing",
            bad=bool(share and share > 0.01) or None,
        )
        for table, what in (("gpu", "GPUs"), ("host", "hosts"), ("sandbox", "sandboxes")):
            last = measurements.last_seen(view, table)
            ui.figure("newest_row", ui.age(last, view.now) if last else "none in the window", what=what, table=table)
    notes, kind = measurements.standing(view, "notes"), pl.col("kind")
    in_window = kind.is_in(["gap", "error", "restart", "lost"]) & (pl.col("at") > view.start)
    notes = notes.filter(in_window | (kind == "absent"))
    if notes.is_empty():
        ui.fine("No agent reports a gap or an absent value.")
    else:
        ui.table("gaps", notes.sort("at", descending=True).head(500))


def calibration() -> None:
    """How sure plans can be, by kind of work."""
    st.subheader("Calibration", anchor=False)
    identity, rows = planning.calibration_scores()
    st.caption(f"Calibration {ui.md(identity)}, of published runs; each plan names the one that it used")
    ui.table("calibration", rows)


def own_runs(view: View) -> None:
    """What own runs taught: actual over planned, by phase and place; the next plans use it."""
    names = ("phase", "work", "model", "gpu", "engine", "factor", "spread", "runs")
    rows = [
        (
            *(row.phase, row.work, row.model_class, row.gpu, row.engine),
            *(math.exp(row.log_factor), 100 * (math.exp(row.log_sd) - 1), len(row.ratios)),
        )
        for row in data.factors(view.data)
    ]
    if rows:
        st.caption("Factors of your own runs: seconds of a phase over what is planned without them")
        ui.table("factors", pl.DataFrame(rows, schema=names, orient="row"))
    else:
        st.caption("No factors of your own runs are in use; `clusterctl calibrate` makes them from ended runs")


def body(view: View) -> None:
    for part in (measured, prices, own_runs):
        ui.guarded(part, view)
    ui.guarded(calibration)


ui.live(body)
