"""Rows of a plan for people: pools, alternatives, rejections, prices without a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planners.fleet.chosen import fleet_of
from planners.fleet.offers import UNKNOWN_PRICE, UNKNOWN_SANDBOX_PRICE
from planners.money.lines import total_usd
from planners.plan import value
from planners.plan.bands import SPOT_PRICE_LOG_SD, added, band
from planners.plan.bill import stage_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from planners.fleet.chosen import Machines, StageFleet
    from planners.fleet.explore import Exploration
    from planners.money.lines import CostLine
    from planners.plan.build import Context
    from planners.plan.stage import ChosenStage
    from planners.world import World


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


def rejections_of(found: Exploration) -> tuple[value.Rejection, ...]:
    """Rejections by rule, the most frequent first; equal rules and reasons of several stages are added up."""
    merged: dict[tuple[str, str], value.Rejection] = {}
    for row in found.sieve.rejected:
        key = (row.rule, row.reason)
        old = merged.get(key)
        count = row.count + (old.count if old else 0)
        examples = old.examples if old else row.examples
        merged[key] = value.Rejection(rule=row.rule, count=count, reason=row.reason, examples=examples)
    return tuple(sorted(merged.values(), key=lambda row: (-row.count, row.rule)))


def unpriced_of(lines: Sequence[value.Line], found: Exploration) -> tuple[value.Unpriced, ...]:
    """Lines without a price, and offers that were left out because nobody knows their price."""
    rows = [value.Unpriced(name=line.name, why=line.source or "no price known") for line in lines if line.usd is None]
    for rejected in found.sieve.rejected:
        if rejected.rule in (UNKNOWN_PRICE, UNKNOWN_SANDBOX_PRICE):
            rows.append(value.Unpriced(name=", ".join(rejected.examples), why=f"left out: {rejected.reason}"))
    return tuple(rows)


def price_age(
    stages: Sequence[ChosenStage], lines: Sequence[value.Line], world: World, now: datetime
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
