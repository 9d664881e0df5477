"""Gathers what the rules of alerts look at: from the ledger and from telemetry, for the dashboard and for what is sent.

What can't be read is not taken for all right: `Facts.unknown` says what nobody can answer, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import LIVE, Resource, Run, RunState
from clusterctl.runs.run_forecast import run_forecast
from planners.alerts.alert_facts import Facts, GpuFacts, HardwareFacts, LeftoverFacts, RunFacts
from planners.alerts.rule_settings import AlertRules
from planners.runs.limits import idle_seconds

if TYPE_CHECKING:
    import polars as pl

    from clusterctl.ledger import Ledger
    from clusterctl.store.source import TelemetrySource
    from planners.alerts.check import Alert
    from planners.plan.value import Plan
    from planners.runs.forecast import Forecast

FAILED: tuple[RunState, ...] = ("failed",)
MOST_FAILED = 200
"""Failed runs that are looked at: the newest."""
HARDWARE = {"lost": "gpu_lost", "xid": "xid"}
"""Kind of a note of `planners.telemetry.tables` -> its rule."""
OF_TELEMETRY = ("idle", "no_telemetry", "gpu_lost", "xid")
OF_PLAN = ("over_plan", "budget", "budget_forecast", "unpriced", "stalled")
COVERED_SHARE = 0.8
"""Of the minutes of the rule `idle`, for which all GPUs of the run must have been measured.  Our convention."""
LARGE_NODES = 200
"""From so many machines on, GPUs are read in steps of ten minutes instead of one."""
LAST_SEEN = timedelta(days=1)
"""How far back the last measurement of a run is looked for."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Whom facts are asked of, and about which time."""

    ledger: Ledger
    source: TelemetrySource
    rules: AlertRules
    now: datetime
    since: datetime
    """Broken hardware counts from here on."""
    plan: Callable[[str], Plan]
    """Of its id.  Raises ClusterctlError."""
    nodes: Callable[[str], Collection[str]]
    """Names in telemetry of the machines of a run."""
    training: Callable[[str], Sequence[Alert]]
    """What the steps and samples of a run warn of."""
    forecasts: Mapping[str, Forecast] = field(default_factory=dict)
    """By run, where they are worked out already."""


def failed_since(ledger: Ledger, since: datetime) -> list[Run]:
    """Runs that have failed since then."""
    failed = ledger.runs(states=FAILED, limit=MOST_FAILED)
    return [run for run in failed if run.ended_at is None or run.ended_at > since]


def gather(asked: Asked, runs: Sequence[Run], *, measured: bool = True) -> Facts:
    """What is known of these runs, of leftovers and of the hardware.

    measured: whether telemetry may still come, so that silence means something.
    """
    unknown: dict[tuple[str, str], str] = {}
    live = [run for run in runs if run.state in LIVE]
    gpus: dict[str, GpuFacts] = {}
    hardware: tuple[HardwareFacts, ...] = ()
    try:
        hardware = tuple(_hardware(asked))
        gpus = _gpu_facts(asked, live) if measured else {}
        problems = asked.source.problems()
    except ClusterctlError as error:
        problems = (error.message,)
    unknown |= {(rule, ""): f"telemetry: {problem}" for problem in problems for rule in OF_TELEMETRY}
    return Facts(
        runs=tuple(_run_facts(asked, run, gpus.get(run.run_id, GpuFacts()), unknown) for run in runs),
        leftovers=tuple(_leftovers(asked.ledger.leftovers())),
        hardware=hardware,
        unknown=unknown,
    )


def _run_facts(asked: Asked, run: Run, gpus: GpuFacts, unknown: dict[tuple[str, str], str]) -> RunFacts:
    """Of a run that has ended no more than its end, unless its forecast is at hand: there may be hundreds."""
    plan, ahead, is_live = None, asked.forecasts.get(run.run_id), run.state in LIVE
    if is_live or ahead is not None:
        try:
            plan = None if run.plan_id is None else asked.plan(run.plan_id)
        except ClusterctlError as error:
            unknown |= {(rule, run.run_id): error.message for rule in OF_PLAN}
        ahead = ahead or run_forecast(asked.ledger, run, plan, asked.now)
    return RunFacts(
        run=run.run_id,
        is_live=is_live,
        failed=run.state == "failed",
        note=run.note,
        ahead=ahead,
        planned_usd=None if plan is None or plan.at_least else plan.usd,
        no_step_seconds=(asked.now - run.progress_at).total_seconds() if run.progress_at and is_live else None,
        patience_seconds=None if plan is None else _patience_seconds(run, plan),
        gpus=gpus,
        training=tuple(asked.training(run.run_id)) if is_live else (),
    )


def _patience_seconds(run: Run, plan: Plan) -> float:
    stage = next((stage for stage in plan.stages if stage.name == run.stage), plan.stages[0])
    return idle_seconds(plan.spec.get("limits", {}).get("idle_minutes"), stage.seconds_per_unit.p90)


def _leftovers(resources: Sequence[Resource]) -> Iterator[LeftoverFacts]:
    for run, rows in groupby(sorted(resources, key=lambda row: row.run_id), key=lambda row: row.run_id):
        prices = [row.usd_per_hour for row in rows]
        known = [price for price in prices if price is not None]
        total = sum(known, Decimal(0))
        unpriced = len(prices) - len(known)
        yield LeftoverFacts(run=run, resources=len(prices), known_usd_per_hour=total, unpriced=unpriced)


def _hardware(asked: Asked) -> Iterator[HardwareFacts]:
    """Broken hardware by kind and node, the last note of each."""
    import polars as pl

    wanted = [kind for kind, rule in HARDWARE.items() if asked.rules.of(rule).enabled]
    notes = asked.source.read("notes", start=asked.since, end=asked.now) if wanted else None
    if notes is None or notes.is_empty():
        return
    notes = notes.filter(pl.col("kind").is_in(wanted)).sort("at")
    by = notes.group_by("kind", "node", maintain_order=True).agg(pl.len(), pl.col("text").last())
    for kind, node, count, text in by.iter_rows():
        yield HardwareFacts(rule=HARDWARE[kind], node=node or "", count=count, text=text or "")


def _gpu_facts(asked: Asked, runs: Sequence[Run]) -> dict[str, GpuFacts]:
    """Of each live run: how idle its GPUs are, and since when nobody measures them."""
    import polars as pl

    idle, silent = asked.rules.idle, asked.rules.no_telemetry
    if not runs or not (idle.enabled or silent.enabled):
        return {}
    nodes = {run.run_id: frozenset(asked.nodes(run.run_id)) for run in runs}
    everywhere = frozenset().union(*nodes.values())
    interval = asked.source.finest_seconds(asked.now - timedelta(minutes=idle.minutes), asked.now)
    step = max(600 if len(everywhere) > LARGE_NODES else 60, interval)
    rows = asked.source.read(
        "gpu",
        start=asked.now - timedelta(minutes=max(idle.minutes, silent.minutes)),
        end=asked.now,
        step_seconds=step,
        nodes=everywhere if all(nodes.values()) else None,
        columns=["node", "gpu", "run", "reason", "seconds"],
    )
    facts = {}
    for run in runs:
        mine = pl.col("node").is_in(list(nodes[run.run_id])) & (pl.col("run").is_null() | (pl.col("run") == run.run_id))
        of_run = rows.filter(mine if nodes[run.run_id] else pl.col("run") == run.run_id)
        newest = _newest(asked, run, nodes[run.run_id], of_run)
        gpus = of_run.select("node", "gpu").n_unique() if of_run.height else 0
        facts[run.run_id] = GpuFacts(
            idle_share=_idle_share(of_run, gpus, 60 * idle.minutes),
            measured_gpus=gpus,
            silent_seconds=None if newest is None else (asked.now - newest).total_seconds(),
            interval_seconds=interval,
        )
    return facts


def _idle_share(rows: pl.DataFrame, gpus: int, window_seconds: float) -> float | None:
    """Of the measured GPU time, without what starts up; None where too little was measured."""
    import polars as pl

    measured = float(rows["seconds"].cast(pl.Float64).sum()) if gpus else 0.0
    if not measured or measured < COVERED_SHARE * gpus * window_seconds:
        return None
    idle = rows.filter(pl.col("reason").is_not_null(), pl.col("reason") != "booting")
    return min(float(idle["seconds"].cast(pl.Float64).sum()) / measured, 1.0)


def _newest(asked: Asked, run: Run, nodes: frozenset[str], rows: pl.DataFrame) -> datetime | None:
    """The moment of a run's last measurement; None where there is none of the last day."""
    newest = asked.source.newest("gpu", until=asked.now, nodes=nodes or None)
    if newest is not None:
        return newest
    at = rows["at"].max()
    if at is None:
        began = max(run.started_at or run.created_at, asked.now - LAST_SEEN)
        old = asked.source.read(
            "gpu", start=began, end=asked.now, step_seconds=600, nodes=nodes or None, columns=["run", "seconds"]
        )
        at = (old if nodes else old.filter(old["run"] == run.run_id))["at"].max()
    return min(at, asked.now) if isinstance(at, datetime) else None
