"""What a run has used, what an hour of it costs and how it will end: the only place that works these out.

`status`, `cost`, `up`, the limits, the exported metrics and the dashboard ask here, so that the same moment gives the
same number everywhere.  All of it goes by the prices in the ledger: an imported bill comes weeks too late for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from clusterctl.ledger.rows import LIVE, Cost, Resource, Run, Step
from planners.plan.plan_rows import Band
from planners.plan.value import Plan, StagePlan
from planners.runs.forecast import Forecast, Progress, StageProgress, forecast
from planners.runs.limits import MACHINE, REPORTED, SECONDS_PER_HOUR, RunLimits, RunRate, Usage, planned_rate

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

MILLIONTH = Decimal("0.000001")


def usage(ledger: Ledger, run_id: str) -> Usage:
    """Hours and dollars of a run so far: a sum over its resources, each for its own time at its own price."""
    return _usage(ledger.costs(run_id), _ids(ledger.resources(run_id), MACHINE))


def hourly_rate(ledger: Ledger, run_id: str | None = None) -> RunRate:
    """What an hour costs now, of a run or all: the prices of what is live, and what its job reports on average."""
    if run_id is None:
        runs = [hourly_rate(ledger, run.run_id) for run in ledger.runs(states=LIVE)]
        return _added([*runs, _prices(ledger.leftovers())])
    resources = ledger.resources(run_id)
    live = [resource for resource in resources if resource.state == "live"]
    reports = _ids(resources, *REPORTED)
    rates = [_prices(live)]
    if live and reports:
        rates.append(_reported(ledger, run_id, resources, reports))
    return _added(rates)


def run_forecast(
    ledger: Ledger,
    run: Run,
    plan: Plan | None,
    now: datetime,
    *,
    limits: RunLimits | None = None,
    goes_on: bool = False,
    before: Plan | None = None,
) -> Forecast:
    """How a run goes on; without a plan only what is left of its limit.

    limits: instead of the run's own.  goes_on: as if a run that has ended went on.  before: the plan that it has, where
    `plan` is to take its place: the pace and the price of an hour are then the new plan's.
    """
    progress = replace(run_progress(ledger, run, plan, now), ended=run.state not in LIVE and not goes_on)
    if before is not None:
        progress = replace(progress, stages=[_replanned(stage, plan, before) for stage in progress.stages])
        progress = replace(progress, seconds_since_step=None)
    rate = hourly_rate(ledger, run.run_id)
    if plan is not None and not progress.ended and progress.seconds_since_step is None:
        rate = planned_rate(plan, progress.current.name if progress.current else None)
    own = RunLimits(usd=run.limit_usd, hours=run.limit_hours)
    return forecast(progress, usage(ledger, run.run_id), rate, limits or own)


def planned_forecast(plan: Plan, limits: RunLimits, now: datetime) -> Forecast:
    """How a run of a plan that has not started is expected to go."""
    return forecast(Progress(stages=stages_of(plan, ()), now=now), Usage(), planned_rate(plan), limits)


def seconds_left(ahead: Forecast) -> float | None:
    """Until a limit must be reached at the present rate; None where none must be."""
    limits, spent, rate = ahead.limits, ahead.spent, ahead.rate.known_usd_per_hour
    hours = [limits.hours - spent.hours] if limits.hours is not None else []
    hours += [(limits.usd - spent.known_usd) / rate] if limits.usd is not None and rate else []
    return float(max(min(hours), Decimal(0))) * 3600 if hours else None


def run_progress(ledger: Ledger, run: Run, plan: Plan | None, now: datetime) -> Progress:
    """How far each stage of the plan is, by the steps that the job reported."""
    machines = [resource for resource in ledger.resources(run.run_id) if resource.kind == MACHINE]
    starts = [resource.live_at for resource in machines if resource.live_at is not None]
    steps, since = ledger.steps(run.run_id), None
    if run.state in LIVE and any(machine.state == "live" for machine in machines):
        since = (now - max([*starts, *(step.at for step in steps[-1:])])).total_seconds()
    return Progress(stages=stages_of(plan, steps, starts) if plan else (), now=now, seconds_since_step=since)


def stages_of(plan: Plan, steps: Sequence[Step], starts: Sequence[datetime] = ()) -> list[StageProgress]:
    """The stages of a plan with the steps that were done of each.

    Seconds of a step: from the step before it.  So without the first one, and without those during which a machine
    started: these hold the start of the job.
    """
    found = []
    for stage in plan.stages:
        mine = [step for step in steps if step.stage == stage.name or len(plan.stages) == 1]
        seconds = [
            (after.at - before.at).total_seconds()
            for before, after in pairwise(mine)
            if after.step == before.step + 1 and not any(before.at < start <= after.at for start in starts)
        ]
        found.append(_stage(plan, stage, max(mine, key=lambda step: step.step, default=None), seconds))
    begun = max((number for number, stage in enumerate(found) if stage.done), default=0)
    # one before it is over, although it may have needed fewer steps than it had thought
    return [replace(stage, done=stage.steps) if number < begun else stage for number, stage in enumerate(found)]


def _stage(plan: Plan, stage: StagePlan, last: Step | None, seconds: Sequence[float]) -> StageProgress:
    """A job may report a unit of work in several steps."""
    steps, planned = last.of if last else stage.units, stage.seconds_per_unit
    units = stage.units / steps if steps else 1.0
    return StageProgress(
        name=stage.name,
        step_seconds=Band(p10=planned.p10 * units, p50=planned.p50 * units, p90=planned.p90 * units),
        hours=stage.hours,
        usd=stage.usd or Band(p10=0.0, p50=0.0, p90=0.0),
        unpriced=tuple(line.name for line in plan.lines if line.stage == stage.name and line.usd is None),
        steps=steps,
        done=last.step if last else 0,
        seen_seconds=seconds,
    )


def _replanned(stage: StageProgress, plan: Plan | None, before: Plan) -> StageProgress:
    """A stage of which steps were counted under the plan before."""
    units = {planned.name: planned.units for planned in (plan.stages if plan else ())}
    old = {planned.name: planned.units for planned in before.stages}
    share = units[stage.name] / old[stage.name] if stage.done and old.get(stage.name) else 1.0
    of_step = stage.step_seconds
    seconds = Band(p10=of_step.p10 / share, p50=of_step.p50 / share, p90=of_step.p90 / share)
    return replace(stage, steps=stage.steps * share, step_seconds=seconds, seen_seconds=())


def _usage(costs: Sequence[Cost], machines: frozenset[str]) -> Usage:
    """Hours: those during which at least one machine was paid."""
    paid, until = timedelta(0), None
    for cost in costs:
        if cost.resource_id in machines:
            begin = cost.from_at if until is None else max(cost.from_at, until)
            paid += max(cost.to_at - begin, timedelta(0))
            until = cost.to_at if until is None else max(cost.to_at, until)
    return Usage(
        hours=Decimal(paid // timedelta.resolution) / 1_000_000 / SECONDS_PER_HOUR,
        known_usd=sum((cost.usd for cost in costs if cost.usd is not None), Decimal(0)),
        unpriced=tuple(dict.fromkeys(cost.resource_id for cost in costs if cost.usd is None)),
    )


def _reported(ledger: Ledger, run_id: str, resources: Iterable[Resource], reports: frozenset[str]) -> RunRate:
    """What the job reports, on average over the run's hours."""
    costs = ledger.costs(run_id)
    hours = _usage(costs, _ids(resources, MACHINE)).hours
    used = _usage([cost for cost in costs if cost.resource_id in reports], frozenset())
    a_hour = (used.known_usd / hours).quantize(MILLIONTH) if hours else Decimal(0)
    return RunRate(known_usd_per_hour=a_hour, unpriced=used.unpriced)


def _prices(live: Iterable[Resource]) -> RunRate:
    prices = {resource.resource_id: resource.usd_per_hour for resource in live if resource.state == "live"}
    return RunRate(
        known_usd_per_hour=sum((price for price in prices.values() if price is not None), Decimal(0)),
        unpriced=tuple(sorted(name for name, price in prices.items() if price is None)),
    )


def _added(rates: Sequence[RunRate]) -> RunRate:
    known = sum((rate.known_usd_per_hour for rate in rates), Decimal(0))
    return RunRate(known_usd_per_hour=known, unpriced=tuple(name for rate in rates for name in rate.unpriced))


def _ids(resources: Iterable[Resource], *kinds: str) -> frozenset[str]:
    return frozenset(resource.resource_id for resource in resources if resource.kind in kinds)
