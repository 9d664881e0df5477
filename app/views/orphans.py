"""Orphans: what still exists, or is still paid, and belongs to no live run; and the command that removes it."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import streamlit as st

from app import data, ui

view: data.View = st.session_state["view"]
COMMAND = "clusterctl sweep"


def recorded() -> None:
    """Resources of the ledger whose run has ended."""
    rows = data.leftovers(view.data)
    if not rows:
        st.markdown(":green[:material/check_circle:] No machine or process of an ended run is left in the ledger.")
        return
    priced = [row.usd_per_hour for row in rows if row.usd_per_hour is not None]
    a_day, unknown = sum(priced, Decimal(0)) * 24, len(rows) - len(priced)
    with ui.figures():
        ui.figure(
            "Left over",
            f"{len(rows):,}",
            delta="run has ended",
            bad=True,
            help="Live or intended in the ledger, and its run has finished, failed or was stopped.",
        )
        ui.figure(
            "A day",
            ui.at_least(None if unknown else a_day, a_day),
            bad=True,
            delta="until it is removed",
            help="Sum of price per hour x 24." + (f" {unknown} have no known price." if unknown else ""),
        )
    table = pl.DataFrame(
        [
            {
                "resource": row.resource_id,
                "kind": row.kind,
                "provider": row.provider,
                "address": row.address or "not known",
                "run": row.run_id,
                "age": ui.age(row.live_at or row.intended_at, view.now),
                "a_day": None if row.usd_per_hour is None else float(row.usd_per_hour * 24),
            }
            for row in rows[:1000]
        ]
    )
    table = table.sort("a_day", descending=True, nulls_last=True)
    ui.table(
        table,
        resource="resource",
        kind="kind",
        provider="where",
        address="address",
        run="run",
        age="made",
        a_day=("$ a day", "price per hour x 24"),
    )
    st.caption("This asks before it removes anything:")
    st.code(COMMAND, language="sh")


def found_here() -> None:
    """What lives on this machine and no live run owns, whatever the ledger says."""
    st.subheader("On this machine", anchor=False)
    if view.simulated:
        ui.gap("Processes and folders", "a simulated day has none")
        return
    rows = data.things_left()
    if not rows:
        st.markdown(":green[:material/check_circle:] No process and no unfinished folder is left here.")
        return
    table = pl.DataFrame(
        [
            {
                "kind": r.kind,
                "address": r.address,
                "run": r.run_id,
                "since": ui.age(r.since, view.now),
                "mib": r.size_bytes / 2**20,
            }
            for r in rows
        ]
    )
    ui.table(
        table.with_columns(pl.col("mib").round(1)), kind="kind", address="address", run="run", since="since", mib="MiB"
    )
    st.code(COMMAND, language="sh")


def body() -> None:
    """The page: all runs, whatever is chosen on the left."""
    ui.guarded(recorded)
    ui.guarded(found_here)


ui.live(body, again=view.data == "live")
