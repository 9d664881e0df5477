"""Money as pages show it: the accounts of clusterctl/costs; for pictures, GPU-seconds at their price over time."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast

import polars as pl
import streamlit as st

from app import data, fleet, measurements
from app.view import BY_KEY, View
from clusterctl.costs import queries
from clusterctl.costs.queries import Account
from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.runs.run_forecast import hourly_rate, run_forecast, stages_of
from planners.costs.allocate import allocate
from planners.costs.cost_tables import GPU_USAGE, PARTS, Purpose
from planners.costs.spend import within
from planners.plan.value import Plan, StagePlan
from planners.runs.forecast import Forecast
from planners.runs.limits import MACHINE, RunRate
from planners.tags import TAG_PREFIX

BUSY, UNMEASURED = "busy", "unmeasured"
PAID = (BUSY, UNMEASURED)
"""What a GPU does that is not idling: it works, or nobody saw."""


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def account(view: View) -> Account:
    """Who used the money of the window and for what: of runs exactly, of GPUs that no run pays for as an estimate."""
    paid, observed = _paid(view), fleet.parts(view)
    return paid if observed.is_empty() else replace(paid, parts=pl.concat([paid.parts, observed]))


def _paid(view: View) -> Account:
    ledger, store = data.ledger(view.data), data.store(view.data)
    if data.charges(view).is_empty():
        return Account(parts=pl.DataFrame(schema=PARTS), problems=store.problems())
    if not view.large:
        return queries.account(ledger, store, run=view.run_id, since=view.start, until=view.end)
    charges = within(data.charges(view), view.start, view.end)
    if charges.filter(pl.col("kind") == MACHINE)["gpus"].has_nulls() or measurements.splits_gpus(view):
        return queries.account(ledger, store, run=view.run_id, since=view.start, until=view.end)
    return Account(parts=allocate(charges, _use_by_node(view)), problems=store.problems())


def _use_by_node(view: View) -> pl.DataFrame:
    """GPU_USAGE with the GPUs of a node added up, each bucket at its middle: hundreds of times fewer rows."""
    half = pl.duration(seconds=view.step_seconds // 2)
    of_row = pl.duration(milliseconds=(pl.col("seconds") * 500).cast(pl.Int64))
    rows = measurements.gpu_seconds(view)
    return (
        rows.with_columns(gpu=pl.lit("all"), at=pl.col("at") - half + of_row).select(GPU_USAGE.names()).cast(GPU_USAGE)
    )


def gpu_parts(view: View) -> pl.DataFrame:
    """node, reason ("busy", why idle, or "unmeasured"), gpu_hours, usd: the exact account of what GPUs did."""
    states = {Purpose.BUSY: BUSY, Purpose.UNMEASURED: UNMEASURED}
    parts = account(view).parts.filter(pl.col("use").is_in([*states, Purpose.IDLE]))
    reason = pl.when(pl.col("use") == Purpose.IDLE).then("reason").otherwise(pl.col("use").replace(states))
    return parts.select("node", "gpu_hours", reason=reason, usd=pl.col("usd").cast(pl.Float64))


def known_sum(column: str) -> pl.Expr:
    """The sum of a column; null while one of its values is unknown."""
    return pl.when(pl.col(column).null_count() == 0).then(pl.col(column).sum()).alias(column)


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def gpu_use(view: View) -> pl.DataFrame:
    """at, node, run, role, reason ("busy", why idle, or "unmeasured"), gpu_hours, usd: what GPUs did in each bucket.

    For pictures: dollars here are floats, and a bucket's seconds are all paid at the price of its end.
    """
    charges = _gpu_charges(view)
    measured = measurements.gpu_seconds(view)
    if view.run_id is not None:
        measured = measured.filter(pl.col("run").is_null() | (pl.col("run") == view.run_id))
    rows = _priced(measured, charges, fleet.prices(view).select("node", pl.col("usd_per_gpu_hour").cast(pl.Float64)))
    rows = rows.select(
        "at",
        "node",
        run=pl.coalesce("run", "payer"),
        role=pl.coalesce("role", "pays_as"),
        reason=pl.col("reason").fill_null(BUSY),
        gpu_hours=pl.col("seconds").cast(pl.Float64) / 3600.0,
        price="price",
    )
    rows = pl.concat([rows, _unmeasured(view, charges, rows)])
    return rows.with_columns(usd=pl.col("gpu_hours") * pl.col("price")).drop("price")


def _priced(measured: pl.DataFrame, charges: pl.DataFrame, estimates: pl.DataFrame) -> pl.DataFrame:
    """With payer, pays_as and price: of the charge at the end of each row, else the estimate of its machine."""
    paid = charges.sort("from_at").select("node", "from_at", "payer", "pays_as", "price")
    if paid.is_empty():  # a join by time of a large fleet takes five times as long as one by name
        none = pl.lit(None, pl.String)
        rows = measured.with_columns(payer=none, pays_as=none, price=pl.lit(None, pl.Float64))
    else:
        rows = measured.join_asof(paid, left_on="at", right_on="from_at", by="node", check_sortedness=False)
    if estimates.is_empty():
        return rows
    rows = rows.join(estimates, on="node", how="left", maintain_order="left")
    return rows.with_columns(price=pl.coalesce("price", "usd_per_gpu_hour"))


def _gpu_charges(view: View) -> pl.DataFrame:
    """Charges of machines with GPUs: node, from_at, to_at, payer, pays_as, gpus, price (per GPU-hour)."""
    charges = data.charges(view).filter(pl.col("node").is_not_null(), pl.col("gpus") > 0)
    return charges.select(
        "node",
        pl.col("from_at", "to_at").dt.cast_time_unit("ms"),
        "gpus",
        payer="run",
        pays_as="role",
        price=pl.col("usd_per_hour").cast(pl.Float64) / pl.col("gpus"),
    )


def gpus_paid(view: View) -> int:
    """GPUs of the machines that are paid now."""
    live = [row for row in data.resources(view.data, view.run_id) if row.state == "live"]
    return sum(int(row.tags.get(f"{TAG_PREFIX}/gpus", 0)) for row in live if row.kind == MACHINE)


def _unmeasured(view: View, charges: pl.DataFrame, measured: pl.DataFrame) -> pl.DataFrame:
    """GPU-hours that were paid and of which telemetry says nothing, by bucket."""
    step = timedelta(seconds=view.step_seconds)
    if measured.is_empty() or charges.is_empty():
        return measured.clear()
    ends = _bucket_ends(view, measured)
    length = (
        pl.min_horizontal("at", "to_at", pl.lit(view.end)) - pl.max_horizontal(pl.col("at") - step, "from_at")
    ).dt.total_milliseconds()
    cells = charges.join(ends, how="cross").with_columns(paid=pl.max_horizontal(length / 3.6e6, 0.0) * pl.col("gpus"))
    seen = measured.group_by("at", "node").agg(seen=pl.col("gpu_hours").sum())
    cells = cells.join(seen, on=["at", "node"], how="left")
    cells = cells.with_columns(gpu_hours=pl.col("paid") - pl.col("seen").fill_null(0.0))
    return cells.filter(pl.col("gpu_hours") > 0.001).select(
        "at", "node", run="payer", role="pays_as", reason=pl.lit(UNMEASURED), gpu_hours="gpu_hours", price="price"
    )


def _bucket_ends(view: View, measured: pl.DataFrame) -> pl.DataFrame:
    """at: of all buckets of the window, also of those in which nobody measured anything."""
    step = timedelta(seconds=view.step_seconds)
    first = view.start.timestamp() // view.step_seconds * view.step_seconds + view.step_seconds
    every = pl.datetime_range(
        datetime.fromtimestamp(first, tz=UTC), view.end, step, time_unit="ms", time_zone="UTC", eager=True
    )
    return pl.DataFrame({"at": pl.concat([every, measured["at"].cast(every.dtype)]).unique()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What the view's run (or all runs) has cost since its start and will cost."""

    spent: Decimal
    """Of everything with a known price."""
    unpriced: tuple[str, ...]
    """What has no known price: the true sum is higher."""
    rate: RunRate
    """What an hour costs now."""
    forecasts: tuple[tuple[Run, Forecast], ...]
    """Of the chosen run, or of each live one; those whose plan can't be read are left out."""
    one: bool
    """Whether one run is chosen."""
    prices: str
    """Where the prices are from, and of which day."""

    @property
    def forecast(self) -> Forecast | None:
        """Of the chosen run; None where several are looked at."""
        return self.forecasts[0][1] if self.one and self.forecasts else None

    @property
    def limited(self) -> tuple[Forecast, ...]:
        """Of the runs that have a limit in dollars."""
        return tuple(ahead for _, ahead in self.forecasts if ahead.left_usd is not None)


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def money(view: View) -> Money:
    """Spend, rate and forecast as of now."""
    ledger, run = data.ledger(view.data), view.run
    spend = queries.account(ledger, None, run=view.run_id).spend
    ahead = []
    for each in [run] if run is not None else data.live_runs(view.data):
        with nullcontext() if run is not None else suppress(ClusterctlError):
            plan = None if each.plan_id is None else data.plan(view.data, each.plan_id)
            ahead.append((each, run_forecast(ledger, each, plan, view.now)))
    rate = ahead[0][1].rate if run is not None else hourly_rate(ledger)
    sources = data.charges(view)["source"].unique().drop_nulls().sort().to_list()
    return Money(
        spent=spend.known_usd,
        unpriced=tuple(dict.fromkeys((*spend.unpriced, *rate.unpriced))),
        rate=rate,
        forecasts=tuple(ahead),
        one=run is not None,
        prices="; ".join(sources[:2]) + (f" and {len(sources) - 2} more" if len(sources) > 2 else "") or "none known",
    )


def done_at(run: Run | None, ahead: Forecast | None, now: datetime) -> datetime | None:
    """When a run is done, at the forecast's middle; None once it has ended."""
    if run is None or run.state not in LIVE or ahead is None or ahead.seconds_left is None:
        return None
    return now + timedelta(seconds=ahead.seconds_left.p50)


def idle(parts: pl.DataFrame) -> pl.DataFrame:
    """reason, usd, gpu_hours of the idle parts: the dearest first."""
    rows = parts.filter(pl.col("use") == Purpose.IDLE).group_by("reason")
    sums = rows.agg(known_sum("usd"), pl.col("gpu_hours").sum())
    return sums.sort("usd", "gpu_hours", descending=True, nulls_last=True)


def gpu_hours(parts: pl.DataFrame, *uses: Purpose) -> float:
    """GPU-hours of these uses, or of all."""
    wanted = parts.filter(pl.col("use").is_in(list(uses))) if uses else parts
    return float(wanted["gpu_hours"].sum())


def usd(parts: pl.DataFrame) -> Decimal:
    """The known dollars of parts, exactly."""
    return cast("Decimal", parts["usd"].sum())


def parts_of(view: View, stage: StagePlan) -> float:
    """In how many parts a job reports one unit of a stage: 1 for RL steps, 20 where a whole pass is reported in 20."""
    mine = [step for step in data.steps(view.data, view.run_id or "") if step.stage == stage.name]
    return max(1.0, mine[-1].of / stage.units) if mine else 1.0


def step_seconds(view: View, plan: Plan, stage: StagePlan) -> list[float]:
    """Seconds from step to step of a stage."""
    return list(stages_of(plan, data.steps(view.data, view.run_id or ""))[plan.stages.index(stage)].seen_seconds)
