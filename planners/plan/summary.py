"""Rows of a plan for people: pools, alternatives, rejections, prices without a value.

What a person should know before spending.

Dollars per outcome, and the break-even against what an outcome is worth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planners.plan import value
from planners.plan.cost_lines import stage_lines, total_usd
from planners.plan.uncertainty import SPOT_PRICE_LOG_SD, added, band
from planners.plan.value import UnitCost
from planners.search.fleets import fleet_of
from planners.search.offers import UNKNOWN_PRICE, UNKNOWN_SANDBOX_PRICE

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
        name = stage.picks.demand.stage
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
                    price_source=f"{machines.quality}: {machines.source}",
                    hours=stage.hours,
                    usd=None if known is None else known * nodes * stage.hours,
                )
            )
    return tuple(pools)


def _roles(stage: ChosenStage) -> list[tuple[str, Machines, int]]:
    rows: list[tuple[str, Machines, int]] = []
    gpus, sandbox = stage.fleet.gpus, stage.fleet.sandbox
    if gpus is not None:
        layouts, demand = stage.mine.layouts, stage.picks.demand
        rollout = round(float(layouts.rollout_gpus[0]) / max(gpus.gpus_per_node, 1))
        if demand.learning is None:
            rows.append(("rollout", gpus, gpus.nodes))
        elif not demand.learning.rl:
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
        hours, dollars, risk = [], [], 0.0
        fleets = [fleet_of(at.found, int(run), index) for index in range(len(stages))]
        biggest = max(fleets, key=lambda fleet: fleet.num_gpus)
        sandboxes = [fleet.sandbox for fleet in fleets if fleet.sandbox is not None]
        sandbox = max(sandboxes, key=lambda machines: machines.nodes, default=None)
        for fleet, stage in zip(fleets, stages, strict=True):
            total, log_half = float(stage.result.hours[number]), float(stage.width.log_half[number])
            hours.append(band(total, log_half))
            dollars.append(stage_usd(stage_lines(stage.picks.demand, fleet, total, at.prices), fleet, log_half))
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
    rows = [value.Unpriced(name=line.name, why=line.source or "no price known") for line in lines if line.usd is None]
    for rejected in found.sieve.rejected:
        if rejected.rule in (UNKNOWN_PRICE, UNKNOWN_SANDBOX_PRICE):
            rows.append(value.Unpriced(name=", ".join(rejected.examples), why=f"left out: {rejected.reason}"))
    return tuple(rows)


def price_age(
    stages: Sequence[ChosenStage], lines: Sequence[value.Line], world: PlanInputs, now: datetime
) -> value.PriceAge:
    """Dates of the prices that bill the chosen machines."""
    machines = [m for stage in stages for m in (stage.fleet.gpus, stage.fleet.sandbox) if m is not None]
    dates = [m.as_of for m in machines if m.as_of is not None] or [line.as_of for line in lines if line.as_of]
    spot = [m.as_of for m in machines if m.as_of is not None and m.capacity_type == "spot"]
    today = now.date()
    return value.PriceAge(
        newest=max(dates, default=None),
        oldest=min(dates, default=None),
        age_days=(today - min(dates)).days if dates else None,
        spot_age_days=(today - min(spot)).days if spot else None,
        book=world.book,
    )


PRICE_OLD_DAYS = 180
SPOT_OLD_DAYS = 14
"""Ages from which a plan warns: list prices change a few times a year, spot prices by the hour.  Assumption."""
MUCH_IDLE_SHARE = 0.1


def limit_warnings(spec: RunSpec, hours: Band, usd: Band, *, at_least: bool) -> list[str]:
    """Limits that hold for the middle of the band and not for its end, or for what has a price only."""
    said = []
    limits = spec.limits
    if limits.hours and hours.p90 > limits.hours:
        said.append(f"may exceed limits.hours: P90 is {hours.p90:,.0f} h against {limits.hours:g} h")
    if limits.usd and usd.p90 > limits.usd:
        said.append(f"may exceed limits.usd: P90 is ${usd.p90:,.0f} against ${limits.usd:,.0f}")
    if limits.usd and at_least:
        said.append("limits.usd was held against the priced lines alone; others have no known price")
    return said


def price_warnings(age: PriceAge) -> list[str]:
    """Prices too old to spend on."""
    said = []
    if age.age_days is not None and age.age_days > PRICE_OLD_DAYS:
        said.append(f"prices are {age.age_days} days old; `clusterctl prices refresh` reads new ones")
    if age.spot_age_days is not None and age.spot_age_days > SPOT_OLD_DAYS:
        said.append(f"the spot price is {age.spot_age_days} days old; spot prices move within hours")
    return said


def stage_warnings(plans: Sequence[StagePlan], stages: Sequence[ChosenStage]) -> list[str]:
    """Known traps of a stage."""
    said = []
    for plan, stage in zip(plans, stages, strict=True):
        wanted = stage.picks.demand.sandboxing
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


def economics(demands: Sequence[StageWork], usd_by_stage: Sequence[float], worth: OutcomeValue) -> tuple[UnitCost, ...]:
    """Unit economics of every stage, dollars per feature, and how many outcomes pay for the run.

    Dollars are those of the stage alone; the break-even uses the whole run.  Formula of each in its `formula`.
    """
    rows = []
    solved = None
    for demand, usd in zip(demands, usd_by_stage, strict=True):
        for outcome, count in demand.outcomes.items():
            name, per = PER[outcome]
            if count <= 0:
                continue
            text = f"${usd:,.2f} of stage {demand.stage} / {count:,.0f} {outcome}" + (
                f" × {per:,.0f}" if per > 1 else ""
            )
            rows.append(UnitCost(name=f"{demand.stage}: {name}", usd=usd / count * per, formula=text))
            if outcome == "solved tasks":
                solved = usd / count
    if solved is not None and worth.tasks_per_feature:
        tasks = worth.tasks_per_feature
        rows.append(UnitCost(name="per feature", usd=solved * tasks, formula=f"${solved:,.2f} × {tasks} solved tasks"))
    if worth.usd_per_outcome:
        total = sum(usd_by_stage)
        count = total / worth.usd_per_outcome
        rows.append(
            UnitCost(
                name=f"break-even: {count:,.1f} × {worth.outcome}",
                usd=worth.usd_per_outcome,
                formula=f"${total:,.2f} of the run / ${worth.usd_per_outcome:,.2f} per {worth.outcome}",
            )
        )
    return tuple(rows)
