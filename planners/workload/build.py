"""Builds the work of a stage of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planners.workload.agent import agent_work, evaluate_work
from planners.workload.data import reward_model_work, supervised_work, synthesize_work
from planners.workload.rl import rlcef_work

if TYPE_CHECKING:
    from planners.spec.run import Stage
    from planners.workload.served_model import FindModel
    from planners.workload.stage_work import StageWork


def stage_work(stage: Stage, find_model: FindModel) -> StageWork:
    """The work of a stage.  Raises whatever `find_model` raises for an unknown model."""
    match stage.kind:
        case "rlcef":
            return rlcef_work(stage, find_model)
        case "synthesize":
            return synthesize_work(stage, find_model)
        case "sft" | "pretrain":
            return supervised_work(stage, find_model)
        case "reward-model":
            return reward_model_work(stage, find_model)
        case "rollout":
            return agent_work(stage, find_model)
        case "evaluate":
            return evaluate_work(stage, find_model)
