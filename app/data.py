"""What pages read: ledger, telemetry, plans, price book.  `accounts` asks it, and pages ask both.

Nobody changes rows, plans and frames in place, so caches share them: `st.cache_data` would copy each by pickle, which
takes longer than to read it.  A frame of 10,000 GPUs is some 25 MB, and a live page makes one every ten seconds: few
are kept, and not for long.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast

import polars as pl
import streamlit as st

from app.view import BY_KEY, FRESH_SECONDS, STEPS, WINDOWS, View
from clusterctl.catalog.lookup import load_calibration
from clusterctl.catalog.price_book import load_book
from clusterctl.costs.load import read_charges
from clusterctl.dashboard.sample import END, START, ensure_sample
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import LIVE
from clusterctl.ledger.stored_plan import stored_plan
from clusterctl.paths import user_data_dir
from clusterctl.runs.alerts import run_alerts
from clusterctl.store import open_source
from clusterctl.targets import targets
from clusterctl.ui.formats import count
from planners.physics.calibration import NARROWEST_LOG, SCATTER_LOG_SD
from planners.telemetry.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import date

    from app.view import Data
    from clusterctl.ledger.rows import FactorRow, Run
    from clusterctl.store import TelemetrySource
    from clusterctl.targets.base import Leftover
    from planners.alerts.check import Alert
    from planners.plan.value import Plan

ALL_RUNS = "all"
NEWEST = "newest"
PICKABLE = 50
"""Runs that the picker lists; any other is found by typing the beginning of its id."""
LARGE_MACHINES = 200
RECENT = timedelta(minutes=2)
"""How far back the newest row is looked for to the second: twelve intervals of the agent."""

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


def view(data: Data, run: str, window: str) -> View:
    """The view that the viewer chose.  Raises SpecError for a run that the ledger does not know, StateError."""
    now = now_of(data)
    chosen = None if run == ALL_RUNS else _newest(data) if run == NEWEST else ledger(data).get_run(run)
    length = WINDOWS[window]
    end = now
    if chosen is not None and chosen.ended_at is not None:
        end = min(now, chosen.ended_at)
    begin = end - (length or timedelta(days=30))
    if chosen is not None:
        began = chosen.started_at or chosen.created_at
        begin = max(begin, began) if length is not None else began
    elif data == "simulated":
        begin = START if length is None else max(begin, START)
    elif length is None:
        span = store(data).span()
        begin = span[0] - timedelta(seconds=STEPS[0]) if span else begin  # a row's `at` is its end
    large = len(machines(data, None if chosen is None else chosen.run_id)) > LARGE_MACHINES
    end = max(end, begin + timedelta(seconds=STEPS[0]))
    return View(data=data, run=chosen, start=begin, end=end, now=now, large=large)


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


@fresh
def factors(data: Data) -> tuple[FactorRow, ...]:
    """What own runs taught, as far as it is in use."""
    return ledger(data).factors(in_use=True)


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
    return _reported(data, run_id, ledger(data).last_step_at(run_id))


@st.cache_resource(show_spinner=False, max_entries=200)
def _reported(data: Data, run_id: str, last_step_at: datetime | None) -> tuple[Alert, ...]:  # noqa: ARG001 - a key
    return run_alerts(ledger(data), run_id, Path(_home(data)) / "runs" / run_id)


def gpu_seconds(view: View) -> pl.DataFrame:
    """at, node, run, role, reason, seconds (GPU-seconds), gpu_util_pct: the one read of GPUs that pages share."""
    return telemetry(view, "gpu", "node", "run", "role", "reason", "seconds", "gpu_util_pct")


def last_seen(view: View, table: str) -> datetime | None:
    """End of the newest row of a table: to 10 s in the last minutes of the window, to a bucket before them."""
    _, _, start, end = view.key
    nodes = None if view.run_id is None else machines(view.data, view.run_id)
    recent = _read(view.data, table, (max(start, end - RECENT), end), step=STEPS[0], nodes=nodes, columns=("seconds",))
    rows = recent if recent.height else gpu_seconds(view) if table == "gpu" else telemetry(view, table, "seconds")
    last = rows["at"].max()
    return min(last, view.end) if isinstance(last, datetime) else None


def gpu_count(view: View) -> int:
    """GPUs of the nodes that were measured in the window."""
    nodes = gpu_seconds(view)["node"].unique()
    known = standing(view, "devices").filter(pl.col("node").is_in(nodes.implode())).select("node", "gpu").n_unique()
    return max(known, len(nodes))


def splits_gpus(view: View) -> bool:
    """Whether a GPU of the window is split into instances."""
    return bool(standing(view, "devices")["mig_profile"].is_not_null().any())


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Sort key: gpu-2 before gpu-10."""
    return tuple((word, int(digits or 0)) for word, digits in re.findall(r"(\D*)(\d*)", name))


def absent(view: View, subject: str, nodes: Collection[str] | None = None) -> str | None:
    """Why a column (or a whole source) is not there, as the agents said: `gpu-8: no NVLink counters`."""
    notes = standing(view, "notes").filter(pl.col("kind") == "absent", pl.col("subject") == subject)
    notes = notes if nodes is None else notes.filter(pl.col("node").is_in(list(nodes)))
    said = notes.group_by("text").agg(pl.col("node").unique().sort()).sort("text").iter_rows()
    return "; ".join(f"{_few(nodes)}: {text}" for text, nodes in said) or None


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {count(len(names) - 3, 'more node')}" if len(names) > 3 else "")


def mean(rows: pl.DataFrame, column: str, last: int | None = None) -> float | None:
    """Mean of a column's values, or of its last ones; None where nobody reports it."""
    if column not in rows.columns:
        return None
    values = rows[column].drop_nulls().cast(pl.Float64)
    return cast("float | None", values.tail(last or rows.height).mean())


def highest(rows: pl.DataFrame, column: str) -> float | None:
    """The highest value of a column; None where nobody reports it."""
    return cast("float | None", rows[column].cast(pl.Float64).max())


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
    """What no live run owns, in every place of this data folder."""
    known = ledger("live").runs()
    live = frozenset(run.run_id for run in known if run.state in LIVE)
    names = frozenset(run.run_id for run in known)
    return tuple(item for target in targets(user_data_dir()) for item in target.leftovers(live, names))


@st.cache_resource(ttl=600, show_spinner=False)
def price_ages(today: date) -> pl.DataFrame:
    """cloud, kind, prices, newest, oldest, age_days (of the newest): what the price book in use holds."""
    rows = load_book().prices().group_by("cloud", kind="capacity_type")
    found = rows.agg(prices=pl.len(), newest=pl.col("as_of").max(), oldest=pl.col("as_of").min())
    return found.with_columns(age_days=(pl.lit(today) - pl.col("newest")).dt.total_days()).sort("cloud", "kind")


@st.cache_resource(show_spinner=False)
def calibration_scores() -> tuple[str, pl.DataFrame]:
    """(id of the calibration, kind of work, its published cases, half of the narrowest 80% band in percent)."""
    found = load_calibration()
    rows = [
        (
            kind,
            sum(case.kind == kind for case in found.cases),
            100 * (math.exp(max(score * SCATTER_LOG_SD, NARROWEST_LOG)) - 1),
        )
        for kind, score in found.scores.items()
        if kind != "other"
    ]
    return found.identity, pl.DataFrame(rows, schema=["kind", "cases", "band_pct"], orient="row")


def standing(view: View, table: str) -> pl.DataFrame:
    """Rows of `devices` or `notes` up to the window's end, from a day before it on: agents say once an hour what is."""
    return _read(view.data, table, (view.key[2] - timedelta(days=1), view.key[3]), step=0)


def telemetry(view: View, table: str, *columns: str) -> pl.DataFrame:
    """Rows of a table in the view's window, in its steps, by `at`: those of the machines of its run, or of all.

    Of a run's machines also what nobody held: it was paid.  A run whose machines the ledger does not know: its rows.
    """
    _, _, start, end = view.key
    nodes = None if view.run_id is None else machines(view.data, view.run_id)
    run = view.run_id if nodes == () and "run" in TABLES[table] else None
    return _read(view.data, table, (start, end), step=view.step_seconds, run=run, nodes=nodes, columns=columns or None)


@st.cache_resource(ttl=60, show_spinner=False, max_entries=50)
def machines(data: Data, run_id: str | None) -> tuple[str, ...]:
    """Names in telemetry of the machines that a run, or any run, has paid for."""
    return tuple(read_charges(ledger(data), run=run_id)["node"].drop_nulls().unique().sort())


@st.cache_resource(ttl=FRESH_SECONDS, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def charges(view: View) -> pl.DataFrame:
    """CHARGES of `planners.costs.tables` that touch the window, uncut."""
    return read_charges(ledger(view.data), run=view.run_id, since=view.start, until=view.end)


@st.cache_resource(ttl=60, show_spinner=False, max_entries=24)
def _read(
    data: Data,
    table: str,
    window: tuple[datetime, datetime],
    *,
    step: int,
    run: str | None = None,
    nodes: Collection[str] | None = None,
    columns: Collection[str] | None = None,
) -> pl.DataFrame:
    start, end = window
    frame = store(data).read(
        table, start=start, end=end, step_seconds=step, run=run, nodes=nodes or None, columns=columns
    )
    return frame.sort("at")
