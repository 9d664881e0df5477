"""From a spec and what is known of the world to a plan.  Pure: the same arguments give the same plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import numpy as np

from planners.inputs import PlanInputs
from planners.physics.calibration import Z80, Calibration
from planners.physics.columns import one
from planners.physics.constants import Constants
from planners.plan.breakdown import amounts, layout, memory, phases
from planners.plan.cost_lines import EstimateLine, Prices
from planners.plan.fleet_rows import alternatives_of, fleet_line, limit_figures, pools_of, usd_band
from planners.plan.identity import with_id
from planners.plan.options import ChosenStage, StageOptions, closer_look
from planners.plan.plan_rows import Assumption, Calibrated
from planners.plan.plan_warnings import (
    floor_price_warnings,
    limit_warnings,
    price_age,
    price_warnings,
    rejections_of,
    stage_warnings,
    unpriced_of,
)
from planners.plan.provenance import terms_of
from planners.plan.sandbox_waits import idle
from planners.plan.sensitivity import sensitivity
from planners.plan.uncertainty import Width, added, band, calibration_rows, learned_rows, narrowing, own_runs, widths
from planners.plan.unit_costs import beyond_reservations, unit_costs
from planners.plan.unit_prices import api_prices, extra_prices
from planners.plan.value import Alternative, Line, Plan, StagePlan, known_usd_per_hour
from planners.search.evaluate import estimate_stage
from planners.search.relax import deciding_fleet_limits, nearest
from planners.search.search import SearchResult, explore
from planners.search.selection import NoFleetError, Selection, best_inside, choose, elsewhere, shortlist
from planners.spec.run_spec import RunSpec

SENSITIVITY_ROWS = 6


def build_plan(
    spec: RunSpec, inputs: PlanInputs, *, now: datetime, pick: int | None = None, is_brief: bool = False
) -> Plan:
    """The plan of a spec on the prices and the calibration of `inputs`.

    is_brief: without `sensitivity`, `decided_by`, `elsewhere` and `terms`, which take a third of the time and move no
    number: for a plan that is only compared with another.

    Raises NoFleetError when nothing satisfies the spec (with the nearest that would), and whatever `inputs.find_model`
    or `inputs.find_gpu` raise for unknown names.
    """
    year = float(now.year)
    prices = Prices(
        extras=extra_prices(inputs.extras),
        tokens=api_prices(inputs.token_prices),
        reservations=spec.prices.reservations,
    )
    searched = explore(spec, inputs, year=year)
    look = partial(closer_look, searched, prices=prices, constants=inputs.calibration.constants, year=year)
    stretch = 1.0
    if (spec.limits.hours or spec.limits.usd) and len(searched.runs.offer):
        _, first = look(searched.runs.take(best_inside(spec, searched)))
        stretch = max(float(np.exp(widths(stage.shortlist, inputs.calibration).log_half[0])) for stage in first)
    result, options = look(shortlist(spec, searched, stretch=stretch))
    try:
        every = [widths(stage.shortlist, inputs.calibration) for stage in options]
        figures = limit_figures(spec, result.runs, options, [width.log_half for width in every])
        selection = choose(spec, result, pick=pick, figures=figures)
    except NoFleetError as error:
        raise NoFleetError(str(error), error.nearest or nearest(spec, inputs, result, year=year)) from None
    constants, rows = inputs.calibration.constants, selection.rows
    stages = [_chosen(o.take(rows), width.take(rows), constants) for o, width in zip(options, every, strict=True)]
    if is_brief:
        return with_id(_plan(spec, inputs, result, stages, selection=selection, now=now))
    decided_by = selection.decided_by + deciding_fleet_limits(spec, inputs, searched, year=year)
    plan = _plan(spec, inputs, result, stages, selection=replace(selection, decided_by=decided_by), now=now)
    moves = sensitivity(stages, inputs.calibration, count=SENSITIVITY_ROWS)
    plan = plan.model_copy(update={"sensitivity": moves, "terms": terms_of(plan, stages, inputs.calibration)})
    _, others = look(elsewhere(spec, searched, result.runs.take(selection.rows)))
    return with_id(plan.model_copy(update={"elsewhere": _elsewhere(plan, stages, others)}))


def _elsewhere(plan: Plan, stages: Sequence[ChosenStage], others: Sequence[StageOptions]) -> tuple[Alternative, ...]:
    """The same machines elsewhere: as sure as the choice, since the layout is the same."""
    count = len(others[0].hours) if others else 0
    halves = [np.full(count, stage.width.log_half[0]) for stage in stages]
    return alternatives_of(others, halves, [""] * count, first=len(plan.alternatives) + 1)


def _chosen(options: StageOptions, width: Width, constants: Constants) -> ChosenStage:
    alone = options.shortlist.take(np.array([0]))
    return ChosenStage(options=options, width=width, shortlist=alone, estimate=estimate_stage(alone, constants))


def _plan(
    spec: RunSpec,
    inputs: PlanInputs,
    result: SearchResult,
    stages: Sequence[ChosenStage],
    *,
    selection: Selection,
    now: datetime,
) -> Plan:
    costs = [line for stage in stages for line in stage.lines]
    lines = tuple(_line(f"line.{number}", cost) for number, cost in enumerate(costs, 1))
    plans = tuple(_stage_plan(stage, inputs.calibration) for stage in stages)
    hours = added([plan.hours for plan in plans])
    usd = added([plan.usd for plan in plans if plan.usd is not None])
    at_least = any(stage.at_least for stage in stages)
    options = [stage.options for stage in stages]
    pools = pools_of(options)
    age = price_age(costs, book=inputs.book, today=now.date())
    economics = unit_costs([(stage.work, stage.known_usd, stage.at_least) for stage in stages], spec.economics)
    learned = any(phase.own and phase.own.runs for plan in plans for phase in plan.phases)
    assumed = [row for stage in stages for row in stage.work.assumed]
    return Plan(
        id="",
        created_at=now,
        name=spec.name,
        objective=spec.objective,
        spec=spec.model_dump(mode="json", exclude_none=True),
        prices=age,
        calibration=inputs.calibration.identity + (f"+{inputs.factors.identity}" if learned else ""),
        fleet=fleet_line(stages),
        hours=hours,
        usd=usd,
        at_least=at_least,
        usd_per_hour=None if any(pool.usd_per_node_hour is None for pool in pools) else known_usd_per_hour(pools),
        stages=plans,
        pools=pools,
        lines=lines,
        alternatives=alternatives_of(options, [stage.width.log_half for stage in stages], selection.labels),
        frontier_chosen=1,
        decided_by=selection.decided_by,
        rejections=rejections_of(result.rejections.rejected),
        candidates=result.combinations,
        sensitivity=(),
        assumptions=(
            *(Assumption(name=row.name, value=row.value, source=row.source) for row in assumed),
            *learned_rows(plans, inputs.factors),
        ),
        unpriced=unpriced_of(costs, result.rejections.rejected),
        economics=economics + beyond_reservations(costs),
        warnings=(
            *selection.warnings,
            *limit_warnings(spec, hours, usd, stages),
            *floor_price_warnings(stages),
            *price_warnings(age, costs, now.date()),
            *stage_warnings(plans, stages),
        ),
        terms={},
    )


def _line(identity: str, cost: EstimateLine) -> Line:
    return Line(
        id=identity,
        stage=cost.stage,
        name=cost.name,
        unit=cost.price.unit,
        quantity=cost.quantity,
        usd_per_unit=cost.price.usd,
        usd=cost.usd,
        as_of=cost.price.as_of,
        source=cost.price.source,
    )


def _stage_plan(stage: ChosenStage, calibration: Calibration) -> StagePlan:
    work, estimate, shortlist = stage.work, stage.estimate, stage.shortlist
    log_half = float(stage.width.log_half[0])
    match = calibration.matching(calibration_rows(shortlist)[0]) if work.needs_gpus else None
    waste = {
        "start-up": one(shortlist.start_up_hours),
        "evaluation": one(estimate.pause_hours),
        "restarts and stragglers": one(estimate.overhead_hours),
        "preemptions": one(estimate.lost_hours),
    }
    prior = float(stage.width.log_half_before[0]) / Z80
    rows = tuple(
        row.model_copy(update={"own": own_runs(shortlist, row.name, prior_log_sd=prior)})
        for row in phases(shortlist, estimate)
    )
    runs = {run for row in rows if row.own and not row.own.other_gpus for run in row.own.runs}
    return StagePlan(
        name=work.stage,
        kind=work.kind,
        title=work.title,
        unit=work.unit,
        units=work.units,
        seconds_per_unit=band(one(estimate.unit_seconds), log_half),
        hours=band(stage.hours, log_half),
        usd=None if stage.at_least and not stage.known_usd else usd_band(stage.lines, stage.fleet, log_half),
        at_least=stage.at_least,
        layout=layout(shortlist, calibration.constants),
        phases=rows,
        demand=amounts(shortlist, stage.fleet, estimate),
        waste_hours={name: amount for name, amount in waste.items() if amount > 0},
        memory=memory(shortlist, calibration.constants),
        idle=idle(shortlist, stage.fleet, calibration.constants, estimate, stage.hours),
        calibrated=Calibrated(
            cases=match.cases if match else 0, own_runs=len(runs), outside=match.outside if match and not runs else ()
        ),
        narrow=narrowing(stage.width),
    )
