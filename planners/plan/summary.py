"""Rows of a plan for people: pools, alternatives, rejections, prices without a value.

What a person should know before spending.

Dollars per outcome, and the break-even against what an outcome is worth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planners.plan import value
from planners.plan.cost_lines import stage_lines, total_usd, unpriced_lines
from planners.plan.uncertainty import SPOT_PRICE_LOG_SD, added, band
from planners.plan.value import UnitCost
from planners.search.fleets import fleet_of
from planners.search.offers import UNKNOWN_PRICE, UNKNOWN_SANDBOX_PRICE
from planners.search.own_prices import YOURS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from planners.inputs import PlanInputs
    from planners.plan.build import Context
    from planners.plan.chosen_stage import ChosenStage
    from planners.plan.cost_lines import CostLine
    from planners.plan.value import Band, PriceAge, StagePlan
    from planners.search.fleets import Machines, StageFleet
    from planners.search.search import SearchResult
    from planners.spec.fleet import OutcomeValue
    from planners.spec.run import RunSpec
    from planners.workload.stage_work import StageWork


def pools_of(stages: Sequence[ChosenStage]) -> tuple[value.Pool, ...]:
    """GPU and sandbox pools of every stage; split schedules have a trainer and a rollout pool on the same machines."""
    pools = []
    for stage in stages:
        name = stage.picks.work.stage
        for role, machines, nodes in _roles(stage):
            known = machines.usd_per_hour
            slots = machines.slots_per_node * nodes if role == "sandbox" else None
            pools.append(
                value.Pool(
                    id=f"pool.{name}.{role}",
                    stage=name,
                    role=role,
                    cloud=machines.cloud,
                    region=machines.region,
                    instance_type=machines.instance_type,
                    capacity_type=machines.capacity_type,
                    nodes=nodes,
                    gpu=machines.gpu,
                    gpus_per_node=machines.gpus_per_node,
                    slots=slots,
                    usd_per_node_hour=known,
                    price_as_of=machines.as_of,
                    price_source=machines.price_source,
                    hours=stage.hours,
                    usd=None if known is None else known * nodes * stage.hours,
                )
            )
    return tuple(pools)


def _roles(stage: ChosenStage) -> list[tuple[str, Machines, int]]:
    rows: list[tuple[str, Machines, int]] = []
    gpus, sandbox = stage.fleet.gpus, stage.fleet.sandbox
    if gpus is not None:
        layouts, work = stage.mine.layouts, stage.picks.work
        rollout = round(float(layouts.rollout_gpus[0]) / max(gpus.gpus_per_node, 1))
        if work.training is None:
            rows.append(("rollout", gpus, gpus.nodes))
        elif not work.training.rl:
            rows.append(("trainer", gpus, gpus.nodes))
        elif rollout >= gpus.nodes:
            rows.append(("trainer+rollout", gpus, gpus.nodes))
        else:
            rows += [("trainer", gpus, gpus.nodes - rollout), ("rollout", gpus, rollout)]
    if sandbox is not None:
        rows.append(("sandbox", sandbox, sandbox.nodes))
    return rows


def alternatives_of(at: Context, stages: Sequence[ChosenStage]) -> tuple[value.Alternative, ...]:
    """Every named fleet with its own band and bill; number 1 is the choice."""
    rows = []
    for number, (run, label) in enumerate(zip(at.choice.rows, at.choice.labels, strict=True)):
        hours, dollars, risk, unpriced = [], [], 0.0, 0
        fleets = [fleet_of(at.found, int(run), index) for index in range(len(stages))]
        biggest = max(fleets, key=lambda fleet: fleet.num_gpus)
        sandboxes = [fleet.sandbox for fleet in fleets if fleet.sandbox is not None]
        sandbox = max(sandboxes, key=lambda machines: machines.nodes, default=None)
        for fleet, stage in zip(fleets, stages, strict=True):
            total, log_half = float(stage.result.hours[number]), float(stage.width.log_half[number])
            hours.append(band(total, log_half))
            lines = stage_lines(stage.picks.work, fleet, total, at.prices)
            dollars.append(stage_usd(lines, fleet, log_half))
            unpriced += unpriced_lines(lines)
            risk += float(stage.result.interruptions[number])
        home = biggest.gpus or biggest.sandbox
        rows.append(
            value.Alternative(
                number=number + 1,
                label=label,
                fleet=_described(biggest.gpus, sandbox),
                cloud=home.cloud if home else "",
                region=home.region if home else "",
                capacity_type=home.capacity_type if home else "",
                gpu=(biggest.gpus.gpu or "") if biggest.gpus else "",
                gpus=biggest.num_gpus,
                sandbox_nodes=sandbox.nodes if sandbox else 0,
                hours=added(hours),
                usd=added(dollars),
                at_least=unpriced > 0,
                interruptions=risk,
            )
        )
    return tuple(rows)


def stage_usd(lines: Sequence[CostLine], fleet: StageFleet, log_half: float) -> value.Band:
    """Dollars of a stage: lines that scale with hours follow their band (spot prices widen it), the rest stays."""
    scaling = total_usd(line for line in lines if line.scales_with_hours)
    fixed = total_usd(line for line in lines if not line.scales_with_hours)
    spot = SPOT_PRICE_LOG_SD if fleet.gpus is not None and fleet.gpus.capacity_type == "spot" else 0.0
    stretched = band(scaling, float(np.hypot(log_half, 1.2816 * spot)))
    return value.Band(p10=fixed + stretched.p10, p50=fixed + scaling, p90=fixed + stretched.p90)


def _described(gpus: Machines | None, sandbox: Machines | None) -> str:
    parts = [m for m in (gpus, sandbox) if m is not None]
    return " + ".join(f"{m.nodes} × {m.instance_type}" for m in parts)


def rejections_of(found: SearchResult) -> tuple[value.Rejection, ...]:
    """Rejections by rule, the most frequent first; equal rules and reasons of several stages are added up."""
    merged: dict[tuple[str, str], value.Rejection] = {}
    for row in found.sieve.rejected:
        key = (row.rule, row.reason)
        old = merged.get(key)
        count = row.count + (old.count if old else 0)
        examples = old.examples if old else row.examples
        merged[key] = value.Rejection(rule=row.rule, count=count, reason=row.reason, examples=examples)
    return tuple(sorted(merged.values(), key=lambda row: (-row.count, row.rule)))


def unpriced_of(lines: Sequence[value.Line], found: SearchResult) -> tuple[value.Unpriced, ...]:
    """Lines without a price, and offers that were left out because nobody knows their price."""
    rows = [value.Unpriced(name=line.name, why=_why(line.source)) for line in lines if line.usd is None]
    for rejected in found.sieve.rejected:
        if rejected.rule in (UNKNOWN_PRICE, UNKNOWN_SANDBOX_PRICE):
            rows.append(value.Unpriced(name=", ".join(rejected.examples), why=f"left out: {rejected.reason}"))
    return tuple(rows)


def _why(source: str) -> str:
    own = source == YOURS
    return "state usd_per_hour of the machines under fleet.machines" if own else source or "no price known"


def price_age(costs: Sequence[CostLine], world: PlanInputs, now: datetime) -> value.PriceAge:
    """Age of every price that bills the run, but for those that the user states; of equal age the dearest is named."""
    priced = [line for line in costs if line.usd is not None and not line.stated]
    dated = sorted((line.as_of, -(line.usd or 0.0), line.name) for line in priced if line.as_of is not None)
    spot = [line.as_of for line in priced if line.as_of is not None and line.spot]
    today = now.date()
    return value.PriceAge(
        newest=dated[-1][0] if dated else None,
        oldest=dated[0][0] if dated else None,
        age_days=(today - dated[0][0]).days if dated else None,
        oldest_line=dated[0][-1] if dated else None,
        undated=tuple(dict.fromkeys(line.name for line in priced if line.as_of is None)),
        spot_age_days=(today - min(spot)).days if spot else None,
        book=world.book,
    )


PRICE_OLD_DAYS = 180
SPOT_OLD_DAYS = 14
"""Ages from which a plan warns: list prices change a few times a year, spot prices by the hour.  Assumption."""
MUCH_IDLE_SHARE = 0.1


def limit_warnings(spec: RunSpec, hours: Band, usd: Band, stages: Sequence[ChosenStage]) -> list[str]:
    """Limits that hold for the middle of the band and not for its end, or for what has a price only."""
    said = []
    limits = spec.limits
    if limits.hours and hours.p90 > limits.hours:
        said.append(f"may exceed limits.hours: P90 is {hours.p90:,.0f} h against {limits.hours:g} h")
    if limits.usd and usd.p90 > limits.usd:
        said.append(f"may exceed limits.usd: P90 is ${usd.p90:,.0f} against ${limits.usd:,.0f}")
    unpriced = "nobody knows whether the run keeps {}: {} no known price"
    lines = [line.name for stage in stages for line in stage.lines if line.usd is None]
    if limits.usd and lines:
        said.append(unpriced.format("limits.usd", _have(lines)))
    machines = [m.instance_type for stage in stages for m in stage.fleet.machines if m.usd_per_hour is None]
    if limits.usd_per_hour and machines:
        said.append(unpriced.format("limits.usd_per_hour", _have(machines)))
    return said


def _have(names: Sequence[str]) -> str:
    """`a has`, `a and 2 more have`."""
    distinct = list(dict.fromkeys(names))
    return f"{distinct[0]} has" if len(distinct) == 1 else f"{distinct[0]} and {len(distinct) - 1} more have"


def price_warnings(age: PriceAge, lines: Sequence[value.Line], now: datetime) -> list[str]:
    """Prices too old to spend on, with their share of the dollars."""
    said = []
    old = [line for line in lines if line.usd and line.as_of and (now.date() - line.as_of).days > PRICE_OLD_DAYS]
    if old and age.age_days is not None:
        names = {line.name for line in old}
        more = f", and {len(names) - 1} more are over {PRICE_OLD_DAYS}" if len(names) > 1 else ""
        share = sum(line.usd or 0.0 for line in old) / sum(line.usd or 0.0 for line in lines)
        part = f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
        said.append(f"the price of {age.oldest_line} is {age.age_days} days old{more}: {part} of the dollars")
    if age.spot_age_days is not None and age.spot_age_days > SPOT_OLD_DAYS:
        said.append(f"the spot price is {age.spot_age_days} days old; spot prices move within hours")
    return said


def stage_warnings(plans: Sequence[StagePlan], stages: Sequence[ChosenStage]) -> list[str]:
    """Known traps of a stage."""
    said = []
    for plan, stage in zip(plans, stages, strict=True):
        wanted = stage.picks.work.sandbox_work
        if wanted is not None and wanted.serial:
            said.append(f"{plan.name}: serial reward code; the GPUs wait for one sandbox at a time")
        gpu_hours = plan.demand.get("GPU-hours", 0.0)
        if plan.idle and gpu_hours and plan.idle.gpu_hours > MUCH_IDLE_SHARE * gpu_hours:
            share = plan.idle.gpu_hours / gpu_hours
            said.append(f"{plan.name}: GPUs wait {plan.idle.gpu_hours:,.0f} GPU-hours ({share:.0%}) for the sandboxes")
    return said


PER = {
    "rewarded samples": ("per 1,000 rewarded samples", 1000.0),
    "accepted items": ("per accepted item", 1.0),
    "solved tasks": ("per solved task", 1.0),
    "attempts": ("per attempt", 1.0),
    "samples": ("per evaluated sample", 1.0),
    "million tokens": ("per million tokens", 1.0),
    "labelled samples": ("per 1,000 labelled samples", 1000.0),
}


def economics(stages: Sequence[tuple[StageWork, float, bool]], worth: OutcomeValue) -> tuple[UnitCost, ...]:
    """Unit costs of every stage, dollars per feature, and how many outcomes pay for the run.

    stages: each with the dollars of what has a price, and whether something has none.  Dollars are those of the stage
    alone; the break-even uses the whole run, and is unknown where a price is.  Formula of each in its `formula`.
    """
    rows, features = [], []
    for work, usd, at_least in stages:
        for outcome, count in work.outcomes.items():
            if count <= 0:
                continue
            name, per = PER[outcome]
            formula = f"{_usd_text(usd, at_least)} of stage {work.stage} / {count:,.0f} {outcome}"
            formula += f" × {per:,.0f}" if per > 1 else ""
            rows.append(_unit_cost(f"{work.stage}: {name}", usd / count * per, at_least, formula))
            if outcome == "solved tasks" and worth.tasks_per_feature:
                solved, tasks = usd / count, worth.tasks_per_feature
                formula = f"{_usd_text(solved, at_least)} × {tasks} solved tasks"
                features = [_unit_cost("per feature", solved * tasks, at_least, formula)]
    rows += features
    if worth.usd_per_outcome:
        total, at_least = sum(usd for _, usd, _ in stages), any(at_least for *_, at_least in stages)
        needed = "unknown" if at_least else f"{total / worth.usd_per_outcome:,.1f}"
        formula = f"{_usd_text(total, at_least)} of the run / ${worth.usd_per_outcome:,.2f} per {worth.outcome}"
        name = f"break-even: {needed} × {worth.outcome}"
        rows.append(UnitCost(name=name, usd=worth.usd_per_outcome, formula=formula))
    return tuple(rows)


def _unit_cost(name: str, usd: float, at_least: bool, formula: str) -> UnitCost:
    return UnitCost(name=name, usd=usd if usd or not at_least else None, at_least=at_least, formula=formula)


def _usd_text(usd: float, at_least: bool) -> str:
    """`$12.30`, `at least $12.30` or `unknown dollars`."""
    if at_least and not usd:
        return "unknown dollars"
    return f"{'at least ' if at_least else ''}${usd:,.2f}"
