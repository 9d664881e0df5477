"""From a spec and a world to a plan.  Pure: the same arguments give the same plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planners.physics.calibration import Z80
from planners.physics.columns import one
from planners.plan import value
from planners.plan.breakdown import amounts, layout, memory, phases
from planners.plan.chosen_stage import ChosenStage
from planners.plan.cost_lines import Prices, stage_lines
from planners.plan.identity import with_id
from planners.plan.provenance import Terms, run_terms, stage_terms
from planners.plan.sandboxes import idle
from planners.plan.sensitivity import movers
from planners.plan.summary import (
    alternatives_of,
    economics,
    limit_warnings,
    pools_of,
    price_age,
    price_warnings,
    rejections_of,
    stage_usd,
    stage_warnings,
    unpriced_of,
)
from planners.plan.uncertainty import added, band, learned_rows, narrowing, own_runs, widths
from planners.plan.unit_prices import ExtraPrices, TokenPrices
from planners.search.evaluate import outcome
from planners.search.fleets import fleet_of, picks_of
from planners.search.relax import nearest
from planners.search.search import explore
from planners.search.selection import NoFleetError, choose
from planners.search.shortlist import refined

if TYPE_CHECKING:
    from datetime import datetime

    from planners.inputs import PlanInputs
    from planners.plan.cost_lines import CostLine
    from planners.search.search import SearchResult
    from planners.search.selection import Selection
    from planners.spec.run import RunSpec

MOVERS_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every step of the building reads."""

    spec: RunSpec
    world: PlanInputs
    found: SearchResult
    choice: Selection
    prices: Prices
    now: datetime

    @property
    def year(self) -> float:
        """Year of the software stack."""
        return float(self.now.year)


def build_plan(spec: RunSpec, world: PlanInputs, *, now: datetime, pick: int | None = None) -> value.Plan:
    """The plan of a spec on the prices and the calibration of `world`.

    Raises NoFleetError when nothing satisfies the spec (with the nearest that would), and whatever `world.find_model`
    or `world.find_gpu` raise for unknown names.
    """
    year = float(now.year)
    prices = Prices(extras=ExtraPrices(world.extras), tokens=TokenPrices(world.token_prices))
    found = refined(spec, explore(spec, world, year=year), prices, world.calibration.constants, year=year)
    try:
        choice = choose(spec, found, pick=pick, margin=1.0)
    except NoFleetError as error:
        raise NoFleetError(str(error), error.nearest or nearest(spec, world, found, year=year)) from None
    at = Context(spec=spec, world=world, found=found, choice=choice, prices=prices, now=now)
    return with_id(_plan(at, [_stage(at, number) for number in range(len(spec.stages))]))


def _stage(at: Context, number: int) -> ChosenStage:
    picks = picks_of(at.found, at.choice, number, year=at.year)
    constants = at.world.calibration.constants
    assumed = any(row.name.endswith("sandbox.seconds") for row in picks.work.assumed)
    fleet = fleet_of(at.found, int(at.choice.rows[0]), number)
    mine = picks.only(0)
    own = outcome(mine, constants)
    hours = one(own.hours)
    return ChosenStage(
        picks=picks,
        result=outcome(picks, constants),
        width=widths(picks, at.world.calibration, sandbox_assumed=assumed),
        fleet=fleet,
        mine=mine,
        own=own,
        lines=stage_lines(picks.work, fleet, hours, at.prices),
        hours=hours,
    )


def _plan(at: Context, stages: list[ChosenStage]) -> value.Plan:
    spec, world = at.spec, at.world
    costs = [line for stage in stages for line in stage.lines]
    lines = _lines(costs)
    plans = tuple(_stage_plan(stage, world) for stage in stages)
    hours = added([plan.hours for plan in plans])
    usd = added([plan.usd for plan in plans if plan.usd is not None])
    pools = pools_of(stages)
    age = price_age(costs, world, at.now)
    works = [stage.picks.work for stage in stages]
    at_least = any(line.usd is None for line in lines)
    learned = any(phase.own and phase.own.runs for plan in plans for phase in plan.phases)
    calibration = world.calibration.identity + (f"+{world.factors.identity}" if learned else "")
    terms = Terms()
    for stage, plan in zip(stages, plans, strict=True):
        stage_terms(terms, plan, stage, world.calibration)
    known_usd = usd.p50 if usd.p50 or not at_least else None
    unit_costs = economics([(s.picks.work, s.known_usd, s.at_least) for s in stages], spec.economics)
    run_terms(
        terms, plans=plans, lines=lines, costs=costs, pools=pools, unit_costs=unit_costs, hours=hours.p50, usd=known_usd
    )
    return value.Plan(
        id="",
        created_at=at.now,
        name=spec.name,
        objective=spec.objective,
        spec=spec.model_dump(mode="json", exclude_none=True),
        prices=age,
        calibration=calibration,
        fleet=_fleet_line(stages),
        hours=hours,
        usd=usd,
        at_least=at_least,
        usd_per_hour=_usd_per_hour(stages),
        stages=plans,
        pools=pools,
        lines=lines,
        alternatives=alternatives_of(at, stages),
        frontier_chosen=1,
        rejections=rejections_of(at.found),
        candidates=at.found.combinations,
        movers=movers(stages, world.calibration, count=MOVERS_SHOWN),
        assumptions=tuple(
            value.Assumption(name=row.name, value=row.value, source=row.source)
            for work in works
            for row in work.assumed
        )
        + learned_rows(plans, world.factors),
        unpriced=unpriced_of(lines, at.found),
        economics=unit_costs,
        warnings=(
            *limit_warnings(spec, hours, usd, stages),
            *price_warnings(age, lines, at.now),
            *stage_warnings(plans, stages),
        ),
        terms=terms.by_id,
    )


def _fleet_line(stages: list[ChosenStage]) -> str:
    """Where the run lives, in one line."""
    for stage in stages:
        home = stage.fleet.gpus or stage.fleet.sandbox
        if home is not None:
            place = home.cloud if home.owned else f"{home.cloud} {home.region}"
            return f"{place}, {home.capacity}"
    return "API only"


def _usd_per_hour(stages: list[ChosenStage]) -> float | None:
    """Dollars per hour of the machines of the stage that costs most; None when the price of a machine is unknown."""
    rates = [[machines.all_usd_per_hour for machines in stage.fleet.machines] for stage in stages]
    known = [[rate for rate in of_stage if rate is not None] for of_stage in rates]
    return max(sum(of_stage) for of_stage in known) if known == rates else None


def _lines(costs: list[CostLine]) -> tuple[value.Line, ...]:
    return tuple(
        value.Line(
            id=f"line.{number}",
            stage=row.stage,
            name=row.name,
            unit=row.unit,
            quantity=row.quantity,
            usd_per_unit=row.usd_per_unit,
            usd=row.usd,
            as_of=row.as_of,
            source=row.source,
        )
        for number, row in enumerate(costs, 1)
    )


def _stage_plan(stage: ChosenStage, world: PlanInputs) -> value.StagePlan:
    work, own, constants = stage.picks.work, stage.own, world.calibration.constants
    log_half = float(stage.width.log_half[0])
    hours = band(stage.hours, log_half)
    match = stage.width.match
    waste = {
        "start-up": one(stage.mine.start_up_hours),
        "evaluation": one(own.pause_hours),
        "restarts and stragglers": one(own.overhead_hours),
        "preemptions": one(own.lost_hours),
    }
    prior = float(stage.width.log_half_before[0]) / Z80
    rows = tuple(
        row.model_copy(update={"own": own_runs(stage.mine, row.name, prior_log_sd=prior)})
        for row in phases(stage.mine, own)
    )
    runs = {run for row in rows if row.own and not row.own.other_gpus for run in row.own.runs}
    return value.StagePlan(
        name=work.stage,
        kind=work.kind,
        title=work.title,
        unit=work.unit,
        units=work.units,
        seconds_per_unit=band(one(own.unit_seconds), log_half),
        hours=hours,
        usd=None if stage.at_least and not stage.known_usd else stage_usd(stage.lines, stage.fleet, log_half),
        at_least=stage.at_least,
        layout=layout(stage.mine),
        phases=rows,
        demand=amounts(stage.mine, stage.fleet, own),
        waste_hours={name: amount for name, amount in waste.items() if amount > 0},
        memory=memory(stage.mine, constants),
        idle=idle(stage.mine, stage.fleet, constants, own, stage.hours),
        calibrated=value.Calibrated(
            cases=match.cases if match else 0, own_runs=len(runs), outside=match.outside if match and not runs else ()
        ),
        narrow=narrowing(stage.width, 0),
    )
