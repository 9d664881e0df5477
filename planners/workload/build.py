"""Builds the work of a stage of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planners.workload.agent import evaluate_demand, rollout_demand
from planners.workload.data import reward_model_demand, supervised_demand, synthesize_demand
from planners.workload.rl import rlcef_demand

if TYPE_CHECKING:
    from planners.spec.run import Stage
    from planners.workload.served_model import FindModel
    from planners.workload.stage_work import StageWork


def stage_demand(stage: Stage, find_model: FindModel) -> StageWork:
    """The work of a stage.  Raises whatever `find_model` raises for an unknown model."""
    match stage.kind:
        case "rlcef":
            return rlcef_demand(stage, find_model)
        case "synthesize":
            return synthesize_demand(stage, find_model)
        case "sft" | "pretrain":
            return supervised_demand(stage, find_model)
        case "reward-model":
            return reward_model_demand(stage, find_model)
        case "rollout":
            return rollout_demand(stage, find_model)
        case "evaluate":
            return evaluate_demand(stage, find_model)
