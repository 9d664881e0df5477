"""What the table of runs says of each: how far it is, what it costs, how idle its GPUs were, what is open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import polars as pl
import streamlit as st

from app import data, page_alerts
from app.view import STEPS, Data, View
from clusterctl.costs.load import read_charges
from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.ledger.run_search import RunFilter
from clusterctl.runs.run_forecast import run_forecast
from planners.alerts.alert_facts import OpenAlert
from planners.runs.forecast import Forecast

PAGE_ROWS = 25
"""Runs on one page of the table."""
BUCKETS = 400
"""Steps in which the GPU time of a page's runs is read."""


class RunRow(NamedTuple):
    """A line of the table."""

    run: Run
    ahead: Forecast
    done: tuple[int, int]
    """Steps that are done, of how many; of how many none are known: 0."""
    idle_share: float | None
    """Of its measured GPU time; None where nothing was measured."""
    alerts: Sequence[OpenAlert]
    problem: str
    """Why its plan can't be read; empty where it can."""
    seconds: float | None
    """From its start to its end or now; None before it has started."""


@data.fresh
def matching(of: Data, wanted: RunFilter, number: int) -> tuple[tuple[Run, ...], int]:
    """The runs of a page of the table, the first page is 0, and how many runs there are on all of them."""
    ledger = data.ledger(of)
    found = ledger.find_runs(wanted, limit=PAGE_ROWS, offset=number * PAGE_ROWS)
    return found, ledger.count_runs(wanted)


@st.cache_resource(ttl=60, show_spinner=False)
def label_values(of: Data, name: str) -> tuple[str, ...]:
    """Values that a label of the runs has."""
    return data.ledger(of).label_values(name)


def rows(view: View, runs: Sequence[Run]) -> list[RunRow]:
    """The lines of these runs, in their order."""
    known = {run.run_id: known_run(view.data, run, view.now) for run in runs}
    aheads = {run_id: each.ahead for run_id, each in known.items()}
    alerts = page_alerts.of_each(view, runs, aheads)
    idle = _idle_shares(view.data, runs, view.now)
    return [
        RunRow(
            run=run,
            ahead=aheads[run.run_id],
            idle_share=idle.get(run.run_id),
            done=known[run.run_id].done,
            alerts=alerts[run.run_id],
            problem=known[run.run_id].problem,
            seconds=None if run.started_at is None else ((run.ended_at or view.now) - run.started_at).total_seconds(),
        )
        for run in runs
    ]


class KnownRun(NamedTuple):
    """What the ledger says of a run."""

    ahead: Forecast
    """As `status` has it."""
    done: tuple[int, int]
    """As in RunRow."""
    problem: str
    """As in RunRow."""


def known_run(of: Data, run: Run, now: datetime) -> KnownRun:
    """What the ledger says of a run; of one that has ended it is kept."""
    if run.state not in LIVE:
        return _ended_forecast(of, run.run_id, run.ended_at, run.state, run)
    return _with_plan(of, run, now)


@st.cache_resource(ttl=600, show_spinner=False, max_entries=1000)
def _ended_forecast(
    of: Data,
    run_id: str,  # noqa: ARG001 - a key, as the next two
    ended_at: datetime | None,
    state: str,  # noqa: ARG001
    _run: Run,
) -> KnownRun:
    return _with_plan(of, _run, ended_at or _run.created_at)


def _with_plan(of: Data, run: Run, now: datetime) -> KnownRun:
    plan, problem = None, ""
    if run.plan_id is not None:
        try:
            plan = data.plan(of, run.plan_id)
        except ClusterctlError as error:
            problem = error.message
    ahead, last = run_forecast(data.ledger(of), run, plan, now), None
    if run.state not in LIVE or not ahead.steps:  # nothing is under way, or no plan says of how many
        last = data.ledger(of).last_step(run.run_id)
    return KnownRun(ahead, (last.step, last.of) if last is not None else (ahead.step, ahead.steps), problem)


def _idle_shares(of: Data, runs: Sequence[Run], now: datetime) -> Mapping[str, float]:
    """Idle share of the measured GPU time of each run, where something was measured."""
    span = _span(of)
    times = {run.run_id: (run.started_at or run.created_at, run.ended_at or now) for run in runs}
    times = {run: between for run, between in times.items() if span and between[1] > span[0] and between[0] < span[1]}
    if not times:
        return {}
    return _measured(of, tuple(sorted(times)), times)


@st.cache_resource(ttl=60, show_spinner=False, max_entries=4)
def _span(of: Data) -> tuple[datetime, datetime] | None:
    """Of the telemetry."""
    return data.store(of).span()


@st.cache_resource(ttl=60, show_spinner=False, max_entries=20)
def _measured(of: Data, runs: Sequence[str], _times: Mapping[str, tuple[datetime, datetime]]) -> dict[str, float]:
    """_times: no key, because the end of a live run is always another."""
    charges = read_charges(data.ledger(of), run=runs).drop_nulls("node")
    begin, end = min(begin for begin, _ in _times.values()), max(end for _, end in _times.values())
    width = (end - begin).total_seconds() / BUCKETS
    read = data.store(of).read(
        "gpu",
        start=begin,
        end=end,
        step_seconds=next((step for step in STEPS if step >= width), STEPS[-1]),
        nodes=charges["node"].unique().to_list() or None,
        columns=["node", "run", "reason", "seconds"],
    )
    return dict(_shares(read, charges, _times))


def _shares(
    read: pl.DataFrame, charges: pl.DataFrame, times: Mapping[str, tuple[datetime, datetime]]
) -> Iterator[tuple[str, float]]:
    """What nobody held on its machines is idle too, for the run that paid for them."""
    for run, (begin, end) in times.items():
        nodes = charges.filter(pl.col("run") == run)["node"].unique()
        unheld = pl.col("run").is_null() & pl.col("node").is_in(nodes.implode())
        mine = read.filter((pl.col("run") == run) | unheld, pl.col("at") > begin, pl.col("at") <= end)
        seconds = pl.col("seconds").cast(pl.Float64)
        idle, whole = mine.select(seconds.filter(pl.col("reason").is_not_null()).sum(), whole=seconds.sum()).row(0)
        if whole:
            yield run, idle / whole
