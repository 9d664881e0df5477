"""Orphans: what still exists, or is still paid, and belongs to no live run; and the command that removes it."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import data, ui
from app.view import View

COMMAND = "clusterctl sweep"


def recorded(view: View) -> None:
    """Resources of the ledger whose run has ended."""
    rows = data.leftovers(view.data)
    if not rows:
        ui.fine("No machine or process of an ended run is left in the ledger.")
        return
    with ui.figures():
        ui.figure("left_over", f"{len(rows):,}", delta="run has ended", bad=True)
        unknown = sum(row.usd_per_hour is None for row in rows)
        words = f" {unknown} have no known price." if unknown else ""
        ui.figure("left_a_day", ui.a_day(rows), delta="until it is removed", bad=True, unpriced=words)
    names = ("resource", "kind", "provider", "address", "run", "age", "a_day")
    cells = [
        (
            *(row.resource_id, row.kind, row.provider, row.address or "not known", row.run_id),
            ui.age(row.live_at or row.intended_at, view.now),
            None if row.usd_per_hour is None else float(row.usd_per_hour * 24),
        )
        for row in rows[:1000]
    ]
    table = pl.DataFrame(cells, schema=names, orient="row")
    ui.table("leftovers", table.sort("a_day", descending=True, nulls_last=True))
    if view.simulated:
        st.caption("Nothing of a simulated day can be removed; of your own runs `clusterctl sweep` removes it.")
        return
    st.caption("This asks before it removes anything:")
    st.code(COMMAND, language="sh")


def found_here(view: View) -> None:
    """What lives on this machine and no live run owns, whatever the ledger says."""
    st.subheader("On this machine", anchor=False)
    if view.simulated:
        ui.gap("Processes and folders", "a simulated day has none")
        return
    rows = data.things_left()
    if not rows:
        ui.fine("No process and no unfinished folder is left here.")
        return
    cells = [(r.kind, r.address, r.run_id, ui.age(r.since, view.now), r.size_bytes / 2**20) for r in rows]
    ui.table("found_here", pl.DataFrame(cells, schema=["kind", "address", "run", "since", "mib"], orient="row"))
    st.code(COMMAND, language="sh")


def body(view: View) -> None:
    """The page: all runs, whatever is chosen on the left."""
    ui.guarded(recorded, view)
    ui.guarded(found_here, view)


ui.live(body, ended_too=True)
