"""Builds the work of a stage of any kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from planners.spec.run_spec import Stage
from planners.workload.factors import NO_FACTORS, Factors
from planners.workload.on_host import on_host
from planners.workload.rl import rlcef_work
from planners.workload.rollouts import agent_work, evaluate_work, synthesize_work
from planners.workload.sandbox_work import SandboxStarts, with_starts
from planners.workload.served_model import FindModel
from planners.workload.stage_work import StageWork
from planners.workload.supervised import dpo_work, reward_model_work, supervised_work

_BUILDERS: dict[str, Callable[[Any, FindModel], StageWork]] = {
    "rlcef": rlcef_work,
    "synthesize": synthesize_work,
    "sft": supervised_work,
    "pretrain": supervised_work,
    "reward-model": reward_model_work,
    "dpo": dpo_work,
    "rollout": agent_work,
    "evaluate": evaluate_work,
}
"""By kind of stage.  They name assumed and missing inputs without the stage."""


def stage_work(
    stage: Stage, find_model: FindModel, *, starts: SandboxStarts | None = None, factors: Factors = NO_FACTORS
) -> StageWork:
    """The work of a stage with measured sandbox starts and the factors of earlier runs.

    Raises whatever `find_model` raises for an unknown model.
    """
    work = on_host(_BUILDERS[stage.kind](stage, find_model))
    if starts is not None:
        work = with_starts(work, starts)
    return replace(
        work,
        factors=factors,
        assumed=tuple(replace(row, name=f"{stage.name}.{row.name}") for row in work.assumed),
        missing={f"{stage.name}.{name}": log_sd for name, log_sd in work.missing.items()},
    )
