"""Compares the measured seconds of each phase of a run with the planned ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from planners.learn.fit import Observation
from planners.plan.value import Phase, Plan, StagePlan
from planners.workload.factors import FactorKey

WARM_UP_STEPS = 1
"""Steps at the start that compile, fill caches and start servers: not counted where three or more are done."""
ENOUGH_STEPS = 3
STEP_LOG_SD = 0.3
"""Spread of ln(seconds) between the steps of a run with too few to tell.  Judgement: response lengths change by about a
third while a policy learns."""
MEDIAN_OVER_MEAN = 1.2533
"""Standard error of a median over that of a mean (normal distribution, sqrt(pi / 2))."""
MAD_TO_SD = 1.4826


class Unused(NamedTuple):
    """A phase that gives no observation, and why."""

    run: str
    phase: str
    reason: str


def observe(
    run: str, plan: Plan, seconds: Mapping[tuple[str, str], Sequence[float]]
) -> tuple[list[Observation], list[Unused]]:
    """The observations of one run, and the phases that give none.

    seconds: (stage, phase) -> seconds of that phase in each step that completed it, in the order of steps.  A run that
    failed or was interrupted has those that it completed.
    """
    seen: list[Observation] = []
    unused: list[Unused] = []
    planned = {(stage.name, phase.name): (stage, phase) for stage in plan.stages for phase in stage.phases}
    for (stage_name, name), (stage, phase) in planned.items():
        took = [value for value in seconds.get((stage_name, name), ()) if np.isfinite(value) and value > 0]
        reason = _unusable(phase, took)
        if reason:
            unused.append(Unused(run, f"{stage_name}.{name}", reason))
        else:
            seen.append(_observation(run, stage, phase, took))
    unused += [
        Unused(run, f"{stage}.{phase}", "the plan has no such phase")
        for stage, phase in seconds
        if (stage, phase) not in planned
    ]
    return seen, unused


def _unusable(phase: Phase, took: Sequence[float]) -> str:
    if phase.own is None:
        return "its speed is that of a provider, or it was planned before plans could learn"
    if phase.seconds <= 0:
        return "it was planned at 0 s"
    return "" if took else "not measured: no step completed it"


def _observation(run: str, stage: StagePlan, phase: Phase, took: Sequence[float]) -> Observation:
    own = phase.own
    assert own is not None
    steady = np.log(took[WARM_UP_STEPS:] if len(took) >= ENOUGH_STEPS else took)
    middle, count = float(np.median(steady)), len(steady)
    spread = MAD_TO_SD * float(np.median(np.abs(steady - middle))) if count >= ENOUGH_STEPS else STEP_LOG_SD
    left = max(1.0 - len(took) / max(stage.units, 1.0), 0.0)  # none after the last step
    return Observation(
        run=run,
        gpu=own.gpu,
        planned_seconds=phase.seconds / own.factor,
        actual_seconds=float(np.exp(middle)),
        log_se=MEDIAN_OVER_MEAN * spread / np.sqrt(count) * np.sqrt(left),
        prior_log_sd=own.prior_log_sd,
        place=FactorKey(own.work, phase.name, own.model_class, own.engine, own.sandbox_profile, own.inputs),
    )
