"""What own runs changed in a plan, and where a run of it will count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planners.learn.factors import Place
from planners.learn.places import find_factor, place_of, uses_gpu
from planners.plan.value import Assumption, OwnRuns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planners.fleet.picks import Picks
    from planners.learn.factors import Factor, Factors
    from planners.plan.value import StagePlan

NAMED_RUNS = 5


def own_runs(picks: Picks, phase: str, *, prior_log_sd: float) -> OwnRuns | None:
    """Where a run on the fleet `picks` (one) counts, and the factor that its seconds hold."""
    place = place_of(picks.demand, phase, picks.sharding(0))
    if place is None:
        return None
    gpu = picks.gpu_name(0) if uses_gpu(place) else ""
    found = picks.demand.factors.find(place, gpu)
    return OwnRuns(
        work=place.work,
        model_class=place.model_class,
        engine=place.engine,
        sandbox_profile=place.sandbox_profile,
        inputs=place.inputs,
        gpu=gpu,
        prior_log_sd=prior_log_sd,
        factor=1.0 if found is None else float(np.exp(found.log_factor)),
        runs=() if found is None else tuple(sorted(found.ratios)),
        other_gpus=found is not None and found.gpu != gpu,
    )


def learned_rows(plans: Sequence[StagePlan], factors: Factors) -> tuple[Assumption, ...]:
    """What the plan takes from own runs, phase by phase, with the runs by name; and what it leaves, because the spec
    states other inputs than they did."""
    rows = []
    for plan in plans:
        for phase in plan.phases:
            own = phase.own
            if own is None:
                continue
            source = f"{named(own)}; factors {factors.identity}: clusterctl calibrate --list"
            value = f"× {own.factor:.2f}" if own.runs else _left(own, phase.name, factors)
            if value:
                rows.append(Assumption(name=f"{plan.name}.{phase.name}", value=value, source=source))
    return tuple(rows)


def _left(own: OwnRuns, phase: str, factors: Factors) -> str:
    mine = Place(own.work, phase, own.model_class, own.engine, own.sandbox_profile, own.inputs)
    others = sorted(place.inputs for place in factors.by_place if place._replace(inputs=own.inputs) == mine)
    return f"as planned: learned with {others[0] or 'other inputs'}, not {own.inputs or 'these'}" if others else ""


def named(own: OwnRuns) -> str:
    """`your runs a, b` with at most five names."""
    if not own.runs:
        return "your runs"
    more = len(own.runs) - NAMED_RUNS
    names = ", ".join(own.runs[:NAMED_RUNS]) + (f" and {more} more" if more > 0 else "")
    return f"your {'runs' if len(own.runs) > 1 else 'run'} {names}" + (" on other GPUs" if own.other_gpus else "")


def factor_on(picks: Picks, phase: str, row: int) -> Factor | None:
    """What own runs say of a phase on the fleet with this number."""
    return find_factor(picks.demand, phase, gpu=picks.gpu_name(row), sharding=picks.sharding(row))
