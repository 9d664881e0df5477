"""Runs: all of them, live ones first, the newest first; each leads to its own page."""

from __future__ import annotations

from typing import cast

import streamlit as st

from app import data, fleet, run_rows, run_table, time_links, ui
from app.view import View
from clusterctl.ledger.rows import LIVE, RunState
from clusterctl.ledger.run_search import RunFilter
from clusterctl.ui import formats

ANY = "any"
STATES: dict[str, tuple[RunState, ...]] = {
    ANY: (),
    "live": LIVE,
    "failed": ("failed",),
    "finished": ("finished",),
    "stopped": ("stopped",),
}
LABELS = ("owner", "team")


def choose(view: View) -> RunFilter:
    """What is looked for, and which page of it; kept in the address."""
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        state = st.selectbox("State", list(STATES), **ui.kept("state"), width=140)
        chosen = {}
        for name in LABELS:
            options = [ANY, *run_rows.label_values(view.data, name)]
            help_text = f"Of label `{name}` in the run spec"
            chosen[name] = st.selectbox(name.capitalize(), options, **ui.kept(name), width=160, help=help_text)
        text = st.text_input("Search", **ui.kept("text"), width=220, placeholder="id, name or reason")
    labels = {name: value for name, value in chosen.items() if value not in (ANY, None)}
    return RunFilter(states=STATES[state or ANY], labels=labels, text=text or "")


def body(view: View) -> None:
    """The table; nothing of it depends on what is chosen on the left, but the data."""
    wanted = cast("RunFilter", st.session_state["wanted_runs"])
    number = st.session_state.get("page") or 1
    runs, count = run_rows.matching(view.data, wanted, number - 1)
    if not runs and number > 1:
        runs, count = run_rows.matching(view.data, wanted, 0)
        number = 1
    if not runs:
        none_found(view)
        return
    address = {"data": view.data} if view.data != "live" else {}
    st.html(run_table.table(run_rows.rows(view, runs), view.now, address))
    first = (number - 1) * run_rows.PAGE_ROWS
    shown = f"{first + 1:,} to {first + len(runs):,} of " if count > len(runs) else ""
    st.caption(f"{shown}{formats.count(count, 'run')}" + (" · refreshes every 10 s" if view.data == "live" else ""))


def none_found(view: View) -> None:
    """Nothing fits, or nothing has run yet."""
    if data.run_count(view.data):
        st.info("No run fits what is looked for.", icon=":material/search_off:")
    elif seen := fleet.nodes(view):
        st.info(
            f"No run has been started here; {formats.count(len(seen), 'node')} without a run: telemetry measures them."
        )
        time_links.link("What their GPUs do and cost", "overview")
    else:
        ui.nothing_yet()


def pager(view: View) -> None:
    """Which page, where there are several."""
    _, count = run_rows.matching(view.data, st.session_state["wanted_runs"], 0)
    pages = -(-count // run_rows.PAGE_ROWS)
    if pages > 1:
        st.number_input(f"Page, 1 to {pages:,}", min_value=1, step=1, **ui.kept("page"), width=180)


def page(view: View) -> None:
    st.session_state["wanted_runs"] = choose(view)
    ui.live(body, ended_too=True)
    pager(view)


ui.guarded(page, data.current())
