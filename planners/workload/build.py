"""Builds the work of a stage of any kind."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planners.spec.profiles import shown
from planners.workload.agent import agent_work, evaluate_work
from planners.workload.data import reward_model_work, supervised_work, synthesize_work
from planners.workload.factors import NO_FACTORS, Factors
from planners.workload.rl import rlcef_work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planners.spec.profiles import Assumed
    from planners.spec.run import Stage
    from planners.workload.sandboxes import SandboxStarts
    from planners.workload.served_model import FindModel
    from planners.workload.stage_work import StageWork


def stage_work(
    stage: Stage, find_model: FindModel, *, starts: SandboxStarts | None = None, factors: Factors = NO_FACTORS
) -> StageWork:
    """The work of a stage with measured sandbox starts and the factors of earlier runs.

    Raises whatever `find_model` raises for an unknown model.
    """
    return replace(with_starts(_work_of(stage, find_model), starts), factors=factors)


def _work_of(stage: Stage, find_model: FindModel) -> StageWork:
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


def with_starts(work: StageWork, starts: SandboxStarts | None) -> StageWork:
    """`work` with measured starts, where the spec leaves them to profile `judge`: others start more."""
    wanted = work.sandbox_work
    if starts is None or wanted is None or wanted.profile != "judge":
        return work
    start, rate = (f"{work.stage}.sandbox.{field}" for field in ("start_seconds", "starts_per_second_per_node"))
    measured = {start: starts.start_seconds, rate: starts.per_second_per_node}
    assumed = {row.name for row in work.assumed}
    if starts.start_seconds is not None and start in assumed:
        wanted = replace(wanted, start_seconds=starts.start_seconds)
    if starts.per_second_per_node is not None and rate in assumed:
        wanted = replace(wanted, starts_per_second_per_node=starts.per_second_per_node)
    return replace(
        work, sandbox_work=wanted, assumed=tuple(_as_measured(row, measured, starts) for row in work.assumed)
    )


def _as_measured(row: Assumed, measured: Mapping[str, object], starts: SandboxStarts) -> Assumed:
    if row.name not in measured:
        return row
    if measured[row.name] is None:
        return replace(row, source=f"{row.source}; {starts.source}")
    return replace(row, value=shown(measured[row.name]), source=starts.source)
