"""Data quality: how old prices are, what telemetry is missing, what has no price, and how good the plans have been."""

from __future__ import annotations

import math

import polars as pl
import streamlit as st

from app import accounts, data, ui
from clusterctl.ui import formats
from planners.costs.tables import Purpose

view: data.View = st.session_state["view"]
OLD_DAYS = 90
"""List prices of GPU machines changed several times in most years; a quarter is worth a refresh."""


def prices() -> None:
    """Age of the price book by cloud, and what runs without a price."""
    st.subheader("Prices", anchor=False)
    rows = data.price_ages(view.now.date())
    ui.table(
        rows,
        cloud="cloud",
        kind="kind",
        prices="prices",
        newest="newest",
        oldest="oldest",
        age_days=("age, days", "of the newest price"),
    )
    old = rows.filter(pl.col("age_days") > OLD_DAYS)
    if old.height:
        names = ", ".join(
            f"{cloud} {kind.replace('_', ' ')}" for cloud, kind in old.select("cloud", "kind").iter_rows()
        )
        st.markdown(f":orange[:material/warning:] Older than {OLD_DAYS} days: {ui.md(names)}.")
        st.code("clusterctl prices refresh", language="sh")
    unpriced = accounts.money(view).unpriced
    if unpriced:
        ui.gap(f"{formats.count(len(unpriced), 'resource')} without a price", ", ".join(unpriced[:10]))
    else:
        st.markdown(":green[:material/check_circle:] Everything that was paid has a known price.")


def telemetry() -> None:
    """How much of the paid GPU time was measured, and what the agents say is missing."""
    st.subheader("Telemetry", anchor=False)
    account = accounts.account(view)
    ui.problems(account.problems)
    whole, lost = accounts.gpu_hours(account.parts), accounts.gpu_hours(account.parts, Purpose.UNMEASURED)
    with ui.figures():
        ui.figure(
            "GPU time measured",
            formats.percent(1 - lost / whole if whole else None),
            bad=bool(whole and lost / whole > 0.01) or None,
            delta=f"{lost:,.1f} of {whole:,.0f} GPU-hours missing",
            help="Measured / paid GPU-hours of the window.",
        )
        for table, name in (("gpu", "GPUs"), ("host", "hosts"), ("sandbox", "sandboxes")):
            last = data.last_seen(view, table)
            ui.figure(
                f"Newest row of {name}",
                ui.age(last, view.now) if last else "none in the window",
                help=f"End of the newest interval in table {table}.",
            )
    notes = data.standing(view, "notes").filter(
        pl.col("kind").is_in(["gap", "error", "restart", "lost"]) & (pl.col("at") > view.start)
        | (pl.col("kind") == "absent")
    )
    if notes.is_empty():
        st.markdown(":green[:material/check_circle:] No agent reports a gap or an absent value.")
        return
    shown = notes.sort("at", descending=True).head(500)
    ui.table(shown, at="since", node="node", kind="kind", subject="what", text="why")


def calibration() -> None:
    """How sure plans can be, by kind of work."""
    st.subheader("Calibration", anchor=False)
    identity, rows = data.calibration_scores()
    st.caption(f"Calibration {ui.md(identity)}, of published runs; each plan names the one that it used")
    ui.table(
        rows.with_columns(pl.col("band_pct").round(0)),
        kind="kind of work",
        cases="published cases",
        band_pct=("narrowest band, ± %", "Half of the narrowest 80 % band of a plan of this kind"),
    )


def own_runs() -> None:
    """What own runs taught: actual over planned, by phase and place; the next plans use it."""
    rows = data.factors(view.data)
    if not rows:
        st.caption("No factors of your own runs are in use; `clusterctl calibrate` makes them from ended runs")
        return
    table = pl.DataFrame(
        [
            {
                "phase": row.phase,
                "work": row.work,
                "model": row.model_class,
                "gpu": row.gpu,
                "engine": row.engine,
                "factor": round(math.exp(row.log_factor), 2),
                "spread": round(100 * (math.exp(row.log_sd) - 1)),
                "runs": len(row.ratios),
            }
            for row in rows
        ]
    )
    st.caption("Factors of your own runs: seconds of a phase over what is planned without them")
    spread = ("± %", "One standard deviation of the next run")
    ui.table(
        table,
        phase="phase",
        work="kind of work",
        model="model",
        gpu="GPU",
        engine="engine",
        factor="actual / planned",
        spread=spread,
        runs="runs",
    )


def body() -> None:
    """The page."""
    for part in (telemetry, prices, calibration, own_runs):
        ui.guarded(part)


ui.live(body, again=view.live)
