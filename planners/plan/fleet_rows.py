"""Fleets of a plan for people: the pools of the chosen one, and the alternatives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from planners.physics.calibration import Z80
from planners.physics.columns import Array
from planners.plan.cost_lines import EstimateLine, total_usd, unpriced_lines
from planners.plan.options import ChosenStage, StageOptions
from planners.plan.plan_rows import Band
from planners.plan.uncertainty import added, band, spot_price_log_sd
from planners.plan.value import Alternative, Pool
from planners.search.combine import Runs
from planners.search.fleets import NodeGroup, StageFleet
from planners.search.limits_kept import Figures
from planners.spec.run_spec import RunSpec


def limit_figures(
    spec: RunSpec, runs: Runs, stages: Sequence[StageOptions], log_halves: Sequence[Array]
) -> tuple[Figures, ...]:
    """Hours and dollars by which runs must keep the limits of the spec: at P90, then at P50.

    log_halves: half 80 % bands of the hours of every stage, in ln.
    """
    numbers = range(len(runs.offer))
    middle = (runs.hours, np.array([_usd(stages, row).p50 for row in numbers]))
    if not (spec.limits.hours or spec.limits.usd):
        return (middle,)
    hours = np.sum([stage.hours * np.exp(half) for stage, half in zip(stages, log_halves, strict=True)], axis=0)
    return (hours, np.array([_usd(stages, row, [half[row] for half in log_halves]).p90 for row in numbers])), middle


def _usd(stages: Sequence[StageOptions], row: int, log_halves: Sequence[float] | None = None) -> Band:
    """Dollars of the whole run on the fleet with this number."""
    each = zip(stages, log_halves or [0.0] * len(stages), strict=True)
    return added([usd_band(stage.bills[row], stage.fleets[row], half) for stage, half in each])


def pools_of(stages: Sequence[StageOptions], row: int = 0) -> tuple[Pool, ...]:
    """GPU and sandbox pools of every stage; split schedules have a trainer and a rollout pool on the same machines.

    row: of the options; the first is the choice.
    """
    return tuple(
        Pool(
            id=f"pool.{stage.shortlist.work.stage}.{role}",
            stage=stage.shortlist.work.stage,
            role=role,
            cloud=group.cloud,
            region=group.region,
            instance_type=group.instance_type,
            capacity_type=group.capacity_type,
            nodes=nodes,
            gpu=group.gpu,
            gpus_per_node=group.gpus_per_node,
            slots=group.slots_per_node * nodes if role == "sandbox" else None,
            usd_per_node_hour=group.usd_per_hour,
            price_as_of=group.as_of,
            price_source=group.price_source,
            hours=float(stage.hours[row]),
            usd=None if group.usd_per_hour is None else group.usd_per_hour * nodes * float(stage.hours[row]),
        )
        for stage in stages
        for role, group, nodes in _roles(stage, row)
    )


def _roles(stage: StageOptions, row: int) -> Iterator[tuple[str, NodeGroup, int]]:
    """Role, machines and how many of them."""
    gpus, sandbox, training = stage.fleets[row].gpus, stage.fleets[row].sandbox, stage.shortlist.work.training
    if gpus is not None:
        rollout = round(float(stage.shortlist.layouts.rollout_gpus[row]) / max(gpus.gpus_per_node, 1))
        if training is not None and training.rl and rollout < gpus.nodes:
            yield "trainer", gpus, gpus.nodes - rollout
            yield "rollout", gpus, rollout
        else:
            role = "rollout" if training is None else "trainer+rollout" if training.rl else "trainer"
            yield role, gpus, gpus.nodes
    if sandbox is not None:
        yield "sandbox", sandbox, sandbox.nodes


def alternatives_of(
    stages: Sequence[StageOptions], log_halves: Sequence[Array], labels: Sequence[str], *, first: int = 1
) -> tuple[Alternative, ...]:
    """Every fleet with its own band and bill, numbered from `first` on.  log_halves: of each stage, on each fleet."""
    halves = np.transpose(log_halves).tolist()
    return tuple(
        _alternative(stages, row, log_half, label, first + row)
        for row, (log_half, label) in enumerate(zip(halves, labels, strict=True))
    )


def _alternative(
    stages: Sequence[StageOptions], row: int, log_half: Sequence[float], label: str, number: int
) -> Alternative:
    fleets = [stage.fleets[row] for stage in stages]
    bills = [stage.bills[row] for stage in stages]
    biggest = max(fleets, key=lambda fleet: fleet.num_gpus)
    sandboxes = [fleet.sandbox for fleet in fleets if fleet.sandbox is not None]
    sandbox = max(sandboxes, key=lambda machines: machines.nodes, default=None)
    distinct = dict.fromkeys(f"{f.gpus.nodes} × {f.gpus.instance_type}" for f in fleets if f.gpus is not None)
    shown = [" → ".join(distinct)] if distinct else []
    shown += [f"{sandbox.nodes} × {sandbox.instance_type}"] if sandbox is not None else []
    return Alternative(
        number=number,
        label=label,
        fleet=" + ".join(shown),
        cloud=biggest.cloud,
        region=biggest.home.region if biggest.home else "",
        capacity_type=biggest.home.capacity_type if biggest.home else "",
        gpu=(biggest.gpus.gpu or "") if biggest.gpus else "",
        gpus=biggest.num_gpus,
        sandbox_nodes=sandbox.nodes if sandbox else 0,
        hours=added([band(float(s.hours[row]), half) for s, half in zip(stages, log_half, strict=True)]),
        usd=added([usd_band(bill, fleet, half) for bill, fleet, half in zip(bills, fleets, log_half, strict=True)]),
        at_least=any(unpriced_lines(bill) for bill in bills),
        interruptions=sum(float(stage.interruptions[row]) for stage in stages),
        pools=pools_of(stages, row),
    )


def usd_band(lines: Sequence[EstimateLine], fleet: StageFleet, log_half: float) -> Band:
    """Dollars of a stage: lines that scale with hours follow their band (spot prices widen it), others their own."""
    scaling = total_usd(line for line in lines if line.scales_with_hours)
    fixed = added(
        [band(line.usd, math.log(line.factor_80)) for line in lines if line.usd and not line.scales_with_hours]
    )
    spot = spot_price_log_sd(fleet.gpus) if fleet.gpus is not None else 0.0
    stretched = band(scaling, math.hypot(log_half, Z80 * spot))
    return added([fixed, stretched])


def fleet_line(stages: Sequence[ChosenStage]) -> str:
    """Where the run lives, in one line."""
    for home in (stage.fleet.home for stage in stages):
        if home is not None:
            place = home.cloud if home.owned else f"{home.cloud} {home.region}"
            return f"{place}, {home.capacity}"
    return "API only"
