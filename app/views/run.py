"""Run: one run's state and why, what runs where, its dollars, what happened to it, and what its roles say."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from app import data, page_alerts, run_place, run_rows, time_links, ui
from app.view import Data, View
from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import LIVE, Resource, Run
from clusterctl.runs.last_lines import last_lines, roles_with_logs
from clusterctl.runs.run import OpenRun, open_run
from clusterctl.runs.run_status import Problem, RunStatus, state_of
from clusterctl.ui import formats
from clusterctl.ui.streams import printable
from planners.runs.forecast import Forecast
from planners.tags import TAG_PREFIX

MOST_ROWS, MOST_EVENTS, LOG_LINES = 200, 500, 40
OTHER_PAGES = (
    "overview",
    "plan",
    "gpus",
    "where",
    "pipeline",
    "sandboxes",
    "allocation",
    "what_if",
    "outcomes",
    "quality",
)


@data.fresh
def status_of(of: Data, run_id: str) -> tuple[OpenRun, RunStatus]:
    """The run as `clusterctl status RUN` has it.  Raises StateError where its plan can't be read."""
    opened = open_run(data.ledger(of), data.folder(of), run_id)
    return opened, state_of(opened, closely=True)


def body(view: View) -> None:
    run = view.run
    if run is None:
        return
    run_place.bring(view.data, run.run_id, run.state)
    try:
        opened, status = status_of(view.data, run.run_id)
    except ClusterctlError as error:
        ui.problem(error.message, error.hint)
        if run.note:
            st.markdown(f":red[:material/error:] {ui.md(run.note)}")
        where(view, run)
        events(view, run)
        return
    known = run_rows.known_run(view.data, status.row, view.now)
    figures(view, status, known)
    problems(status.row, simulated_problems(view, status.row, known) if view.simulated else status.problems)
    links(run)
    where(view, run)
    events(view, run)
    ui.guarded(logs, view, opened)


def simulated_problems(view: View, run: Run, known: run_rows.KnownRun) -> Sequence[Problem]:
    """What is wrong with a simulated run: no supervisor watches it, and nothing can be done about it."""
    alerts = page_alerts.of_each(view, [run], {run.run_id: known.ahead})
    return [Problem(what=alert.text) for alert in alerts[run.run_id]]


def figures(view: View, status: RunStatus, known: run_rows.KnownRun) -> None:
    """State, progress, dollars: those of the table of runs."""
    run, ahead = status.row, known.ahead
    moments = {
        name: ui.clock(moment, view.now) if moment else "not yet"
        for name, moment in (("created", run.created_at), ("started", run.started_at), ("ended", run.ended_at))
    }
    with ui.figures():
        bad = {"failed": True, "finished": False}.get(run.state)
        ui.figure("state", run.state, delta=since(run, moments), bad=bad, **moments)
        live, (step, steps) = run.state in LIVE, known.done
        left = (
            f"{formats.elapsed(ahead.seconds_left.p50)} left"
            if live and ahead.seconds_left
            else ("unknown left" if live else f"it has {run.state}")
        )
        ui.figure("progress", f"{step:,} of {steps:,}" if steps else "no step yet", delta=left if steps else None)
        ran = None if run.started_at is None else ((run.ended_at or view.now) - run.started_at).total_seconds()
        ui.figure("ran", "not started" if ran is None else formats.elapsed(ran), delta=f"on {ui.md(run.target)}")
        spent = ui.at_least(ahead.spent.usd, ahead.spent.known_usd)
        planned = ui.usd(status.planned_usd)
        ui.figure("so_far", spent, delta=f"planned {planned}", planned=planned)
        end, least = spent, ahead.known_usd_at_end
        if live:
            end = formats.UNKNOWN if least is None else ui.at_least(ahead.usd_at_end, least)
        how = "P50 of the forecast" if live else f"the run has {run.state}"
        ui.figure("at_end", end, delta=how, basis=ahead.basis)
        limit = str(ahead.limits)
        ui.figure("limits", limit, delta="limits.usd sets one" if limit == "none" else used(ahead))


def since(run: Run, moments: dict[str, str]) -> str:
    """When it got there."""
    if run.ended_at is not None:
        return f"since {moments['ended']}"
    return f"started {moments['started']}" if run.started_at is not None else f"created {moments['created']}"


def used(ahead: Forecast) -> str:
    """`12% used` of the limit in dollars, else in hours."""
    spent, limits = ahead.spent, ahead.limits
    if limits.usd:
        least = "at least " if spent.unpriced else ""
        return f"{least}{formats.percent(float(spent.known_usd / limits.usd))} used"
    return f"{formats.percent(float(spent.hours / limits.hours))} used" if limits.hours else ""


def problems(run: Run, found: Sequence[Problem]) -> None:
    """What is wrong, and what mends it, as `clusterctl status` says it."""
    if not found:
        return
    with st.container(border=True, gap="xxsmall"):
        icon = ":red[:material/error:]" if run.state == "failed" else ":orange[:material/warning:]"
        for problem in found:
            st.markdown(f"{icon} {ui.md(problem.what)}")
            if problem.fix.startswith("clusterctl "):
                st.code(problem.fix, language="sh", wrap_lines=True)
            elif problem.fix:
                st.caption(ui.md(problem.fix))


def links(run: Run) -> None:
    """The other pages, of this run."""
    with st.container(horizontal=True, gap="small"):
        for name in OTHER_PAGES:
            title, icon = ui.LABELS["pages"][name]
            time_links.link(title, name, {"run": run.run_id}, icon=icon, width="content")


def where(view: View, run: Run) -> None:
    """Its machines and processes: those that are there first."""
    st.subheader("What runs where", anchor=False)
    found = data.resources(view.data, run.run_id)
    if not found:
        ui.gap("Machines", "none was asked for yet" if run.state in LIVE else "it never had one")
        return
    ordered = sorted(found, key=lambda row: row.intended_at, reverse=True)
    ordered.sort(key=lambda row: row.state == "gone")
    names = ("role", "state", "slot", "pool", "address", "since", "until", "cause", "usd_per_hour")
    rows = pl.DataFrame(
        [cells(row) for row in ordered[:MOST_ROWS]], schema=names, orient="row", infer_schema_length=None
    )
    ui.table("where", rows)
    if len(found) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS} of {len(found):,}.")


def cells(row: Resource) -> tuple[object, ...]:
    price = None if row.usd_per_hour is None else float(row.usd_per_hour)
    pool, cause = row.tags.get(f"{TAG_PREFIX}/pool"), row.cause or None
    return row.role, row.state, row.slot, pool, row.address, row.live_at, row.gone_at, cause, price


def events(view: View, run: Run) -> None:
    """What happened to it, the newest first."""
    st.subheader("Events", anchor=False)
    found = data.last_events(view.data, run.run_id, MOST_EVENTS)[::-1]
    if not found:
        ui.gap("Events", "none is recorded")
        return
    rows = [(event.at, event.kind, event.role, printable(event.message)) for event in found]
    names = ["at", "kind", "role", "message"]
    ui.table("events", pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None))
    if len(found) == MOST_EVENTS:
        st.caption(f"The newest {MOST_EVENTS}; `clusterctl events {ui.md(run.run_id)}` prints all.")


def logs(view: View, opened: OpenRun) -> None:
    """The last lines of each role."""
    st.subheader("Last lines of its logs", anchor=False)
    said = {role: last_lines(opened, role, LOG_LINES) for role in roles_with_logs(opened)}
    said = {role: lines for role, lines in said.items() if lines}
    if not said:
        asks = f"none is in {opened.folder.logs}; clusterctl logs {opened.run_id} asks the run's place"
        ui.gap("Logs", "a simulated run has none" if view.simulated else asks)
        return
    for tab, lines in zip(st.tabs(list(said)), said.values(), strict=True):
        text = [f"{line.at.astimezone(ui.zone()):%H:%M:%S} " if line.at else "" for line in lines]
        shown = "\n".join(when + printable(line.text) for when, line in zip(text, lines, strict=True))
        tab.code(shown, language=None, wrap_lines=True, height=400 if len(lines) > 15 else "content")


ui.live(body, of_one_run=True)
