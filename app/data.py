"""What pages read of the ledger; `measurements` reads telemetry, `accounts` asks both.

Nobody changes rows, plans and frames in place, so caches share them: `st.cache_data` would copy each by pickle, which
takes longer than to read it.  A frame of 10,000 GPUs is some 25 MB, and a live page makes one every ten seconds: few
are kept, and not for long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, cast
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from app.time_window import SHORTEST, Chosen, period_of
from app.view import BY_KEY, FRESH_SECONDS, STEPS, Data, View
from clusterctl.costs.load import first_charge, read_charges
from clusterctl.dashboard.sample import END, START, ensure_sample
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import LIVE, Event, FactorRow, Run
from clusterctl.ledger.stored_plan import stored_plan
from clusterctl.paths import user_data_dir
from clusterctl.runs.run_alerts import run_alerts
from clusterctl.store import open_source
from clusterctl.store.source import TelemetrySource
from clusterctl.targets import targets
from clusterctl.targets.base import Leftover, Unreachable
from planners.alerts.check import Alert
from planners.costs.periods import Period, before
from planners.plan.value import Plan

ALL_RUNS = "all"
ALL_WORDS = (ALL_RUNS, "all runs")
"""What people write for all runs: the option, and what the header calls them."""
NEWEST = "newest"
PICKABLE = 50
"""Runs that the picker lists; any other is found by typing the beginning of its id."""
LARGE_MACHINES = 200

P = ParamSpec("P")
T = TypeVar("T")


def fresh(question: Callable[P, T]) -> Callable[P, T]:
    """Remember the answers of FRESH_SECONDS."""
    return st.cache_resource(ttl=FRESH_SECONDS, show_spinner=False, max_entries=50)(question)


def _of_ledger(question: Callable[Concatenate[Ledger, P], T]) -> Callable[Concatenate[Data, P], T]:
    """The question of a ledger as one of live or simulated data, whose answers are kept for FRESH_SECONDS."""

    @wraps(question)  # by its name Streamlit tells one from the other
    def ask(data: Data, /, *args: P.args, **options: P.kwargs) -> T:
        return question(ledger(data), *args, **options)

    return fresh(ask)


@st.cache_resource(show_spinner="making the simulated day …")
def _home(data: Data) -> str:
    return str(ensure_sample(user_data_dir()) if data == "simulated" else user_data_dir())


@st.cache_resource(show_spinner=False)
def ledger(data: Data) -> Ledger:
    """The open ledger.  Raises StateError."""
    return open_ledger(f"{_home(data)}/ledger.db" if data == "simulated" else None)


@st.cache_resource(show_spinner=False)
def store(data: Data) -> TelemetrySource:
    """The telemetry store, or the Prometheus that stands for one."""
    return open_source(f"{_home(data)}/telemetry" if data == "simulated" else None)


def now_of(data: Data) -> datetime:
    """Now; for the simulated day its end."""
    return END if data == "simulated" else datetime.now(tz=UTC)


def view(data: Data, run: str, chosen: Chosen) -> View:
    """The view that the viewer chose.  Raises SpecError for a run that the ledger does not know, or a range in which
    nothing can have happened, and StateError.
    """
    now = now_of(data)
    of_run = None if run in ALL_WORDS else _newest(data) if run == NEWEST else ledger(data).get_run(run)
    began = None if of_run is None else of_run.started_at or of_run.created_at
    period = period_of(chosen, now, began=began, ended=None if of_run is None else of_run.ended_at)
    start, end = period or Period(known_since(data) or now - timedelta(days=30), now)
    if of_run is None and data == "simulated":
        start = min(max(start, START), end - SHORTEST)
    previous = before(Period(start, end), chosen.name, ZoneInfo(chosen.zone))
    first = began if of_run is not None else known_since(data)
    machine_count = len(machines(data, None if of_run is None else of_run.run_id))
    large = max(machine_count, _seen(data) if of_run is None and data == "live" else 0) > LARGE_MACHINES
    return View(
        data=data,
        run=of_run,
        start=start,
        end=end,
        now=now,
        finest_seconds=store(data).finest_seconds(start, end),
        large=large,
        previous=previous if first is not None and first <= previous.start and not large else None,
    )


def current() -> View:
    """What the viewer has chosen, as of now.  Raises SpecError, StateError."""
    return view(*st.session_state["choice"])


run_count = _of_ledger(Ledger.run_count)
steps = _of_ledger(Ledger.steps)
phases = _of_ledger(Ledger.phases)
bill = _of_ledger(Ledger.bill)
resources = _of_ledger(Ledger.resources)
leftovers = _of_ledger(Ledger.leftovers)


@fresh
def runs(data: Data) -> tuple[Run, ...]:
    """The newest runs, PICKABLE of them."""
    return ledger(data).runs(limit=PICKABLE)


@fresh
def live_runs(data: Data) -> tuple[Run, ...]:
    """The runs that are live, the newest first."""
    return ledger(data).runs(states=LIVE)


def folder(of: Data) -> Path:
    """The data folder, in which runs have theirs."""
    return Path(_home(of))


@fresh
def last_events(of: Data, run_id: str, most: int) -> tuple[Event, ...]:
    """The last events of a run, the oldest first."""
    return ledger(of).events(run_id, last=most)


@fresh
def factors(data: Data) -> tuple[FactorRow, ...]:
    """What own runs taught, as far as it is in use."""
    return ledger(data).factors(in_use=True)


@st.cache_resource(ttl=60, show_spinner=False)
def known_since(data: Data) -> datetime | None:
    """Since when something is known: the first charge or the first measurement."""
    if data == "simulated":
        return START
    span = store(data).span()
    measured = None if span is None else span[0] - timedelta(seconds=STEPS[0])  # a row's `at` is its end
    return min((at for at in (first_charge(ledger(data)), measured) if at is not None), default=None)


def _newest(data: Data) -> Run | None:
    """The newest live run, else the newest."""
    found = live_runs(data) or runs(data)
    return found[0] if found else None


@st.cache_resource(show_spinner=False, max_entries=50)
def plan(data: Data, plan_id: str) -> Plan:
    """The plan of a run.  Raises SpecError or StateError."""
    return stored_plan(ledger(data), plan_id, name=f"the plan {plan_id}")


def plan_of(view: View) -> Plan | None:
    """The plan of the view's run; None for several runs, or a run without one."""
    return None if view.run is None or view.run.plan_id is None else plan(view.data, view.run.plan_id)


def reported(data: Data, run_id: str) -> tuple[Alert, ...]:
    """What a run's steps and samples warn of, the worst first."""
    last = ledger(data).last_step(run_id)
    return _reported(data, run_id, last.at if last else None)


@st.cache_resource(show_spinner=False, max_entries=200)
def _reported(data: Data, run_id: str, last_step_at: datetime | None) -> tuple[Alert, ...]:  # noqa: ARG001 - a key
    return run_alerts(ledger(data), run_id, Path(_home(data)) / "runs" / run_id)


def mean(rows: pl.DataFrame, column: str, last: int | None = None) -> float | None:
    """Mean of a column's values, or of its last ones; None where nobody reports it."""
    if column not in rows.columns:
        return None
    values = rows[column].drop_nulls().cast(pl.Float64)
    return cast("float | None", values.tail(last or rows.height).mean())


def phase_mean(view: View, phase: str, last: int) -> float | None:
    """Mean seconds of a phase over its last steps."""
    seconds = [p.seconds for p in phases(view.data, view.run_id or "") if p.phase == phase][-last:]
    return sum(seconds) / len(seconds) if seconds else None


@fresh
def step_rows(data: Data, run_id: str) -> pl.DataFrame:
    """Steps as rows: stage, step, at, and every metric as a column."""
    rows = [{"stage": s.stage, "step": s.step, "at": s.at} | dict(s.metrics) for s in steps(data, run_id)]
    none: dict[str, type[pl.DataType]] = {"stage": pl.String, "step": pl.Int64, "at": pl.Datetime}
    return pl.DataFrame(rows, infer_schema_length=None) if rows else pl.DataFrame(schema=none)


@fresh
def things_left() -> tuple[Leftover, ...]:
    """What no live run owns, in every place of this data folder that can be asked."""
    known = ledger("live").runs()
    live = frozenset(run.run_id for run in known if run.state in LIVE)
    names = frozenset(run.run_id for run in known)
    found: list[Leftover] = []
    for target in targets(user_data_dir()):
        with contextlib.suppress(Unreachable):
            found += target.leftovers(live, names)
    return tuple(found)


@st.cache_resource(ttl=60, show_spinner=False, max_entries=50)
def machines(data: Data, run_id: str | None) -> tuple[str, ...]:
    """Names in telemetry of the machines that a run, or any run, has paid for."""
    return tuple(read_charges(ledger(data), run=run_id)["node"].drop_nulls().unique().sort())


@st.cache_resource(ttl=60, show_spinner=False, max_entries=2)
def _seen(data: Data) -> int:
    """Machines with GPUs that telemetry has described in the last two hours: agents do once an hour."""
    now = now_of(data)
    return int(
        store(data).read("devices", start=now - timedelta(hours=2), end=now, columns=["node"])["node"].n_unique()
    )


@st.cache_resource(ttl=FRESH_SECONDS, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def charges(view: View) -> pl.DataFrame:
    """CHARGES of `planners.costs.cost_tables` that touch the window, uncut."""
    return read_charges(ledger(view.data), run=view.run_id, since=view.start, until=view.end)
