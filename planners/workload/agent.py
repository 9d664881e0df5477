"""The work of stages that only generate: agent rollouts and benchmarks.  The whole job is the unit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planners.spec.benchmarks import TasksNeed, evaluate_need
from planners.spec.lengths import Durations
from planners.spec.profiles import Assumed, sandbox_need
from planners.workload.sandboxes import TOOL_SECONDS, assumed_rows, sandbox_work
from planners.workload.served_model import TAIL_FACTOR, ServedModel, hosted, shown
from planners.workload.stage_work import StageWork

if TYPE_CHECKING:
    from planners.spec.stages_agent import EvaluateStage, RolloutStage
    from planners.workload.served_model import FindModel


def agent_work(stage: RolloutStage, find_model: FindModel) -> StageWork:
    """Agents on tasks: tasks × attempts trajectories of many turns, each holding a sandbox."""
    sandbox = sandbox_need(stage.sandbox, default_profile="swe")
    tool = () if stage.tool_seconds else (Assumed(name="tool_seconds", value=f"{TOOL_SECONDS:g}", source="assumption"),)
    need = TasksNeed(
        tasks=stage.tasks,
        samples=stage.attempts,
        turns=stage.turns,
        prompt_tokens=stage.prompt_tokens,
        response_tokens=stage.response_tokens,
        observation_tokens=stage.observation_tokens,
        tool_seconds=stage.tool_seconds or Durations(mean=TOOL_SECONDS),
        sandbox=sandbox,
        assumed=(*tool, *sandbox.assumed),
    )
    attempts = float(stage.tasks * stage.attempts)
    solved = {"solved tasks": attempts * stage.resolve_rate} if stage.resolve_rate else {}
    title = f"{stage.tasks:,} tasks × {stage.attempts} attempts, {stage.turns} turns"
    longest = float(stage.max_context_tokens)
    return _demand(stage, need, find_model, title=title, outcomes={"attempts": attempts} | solved, longest=longest)


def evaluate_work(stage: EvaluateStage, find_model: FindModel) -> StageWork:
    """A benchmark: tasks × samples, single-turn or agentic by benchmark."""
    need = evaluate_need(stage)
    if need.turns == 1:
        need = replace(need, tool_seconds=Durations(mean=0))
    solved = {"solved tasks": need.tasks * stage.resolve_rate} if stage.resolve_rate else {}
    title = f"{stage.benchmark}, {need.tasks:,} problems × {need.samples} samples"
    longest = (need.response_tokens.max or need.response_tokens.mean * TAIL_FACTOR) * need.turns
    outcomes = {"samples": float(need.tasks * need.samples)} | solved
    return _demand(stage, need, find_model, title=title, outcomes=outcomes, longest=longest)


def _demand(
    stage: RolloutStage | EvaluateStage,
    need: TasksNeed,
    find_model: FindModel,
    *,
    title: str,
    outcomes: dict[str, float],
    longest: float,
) -> StageWork:
    """longest: tokens of a trajectory."""
    samples = float(need.tasks * need.samples)
    model = ServedModel(
        role="generate",
        served=stage,
        samples=samples,
        prompt_tokens=need.prompt_tokens.mean,
        response_tokens=need.response_tokens.mean,
        lengths=need.response_tokens,
        longest=longest,
        samples_per_prompt=float(need.samples),
        turns=float(need.turns),
        observation_tokens=need.observation_tokens.mean,
        tool_seconds=need.tool_seconds.mean,
        concurrency=stage.concurrency,
        cached_share=stage.cached_share,
    )
    generations, apis = hosted([model], find_model, stage.rollout)
    name = stage.api.name if stage.api else shown(stage.model or "", generations[0].model)
    return StageWork(
        stage=stage.name,
        kind=stage.kind,
        title=f"{title} with {name}",
        unit="job",
        units=1.0,
        generations=generations,
        sandbox_work=sandbox_work(need.sandbox, samples=samples),
        apis=apis,
        assumed=assumed_rows(stage.name, need.assumed),
        outcomes=outcomes,
    )
