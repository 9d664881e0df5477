"""The work of stages that only generate: agent rollouts and benchmarks.  The whole job is the unit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planners.spec.benchmarks import TasksNeed, evaluate_need
from planners.spec.lengths import Durations
from planners.spec.profiles import Assumed, sandbox_need
from planners.workload.sandboxes import TOOL_SECONDS, assumed_rows, sandbox_work
from planners.workload.served_model import TAIL_FACTOR, length_fields, shown
from planners.workload.stage_work import ApiUse, Generation, StageWork

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
    generations: tuple[Generation, ...] = ()
    apis: tuple[ApiUse, ...] = ()
    if stage.api is not None:
        apis = (_api_use(stage, need),)
        name = stage.api.name
    else:
        assert stage.model is not None
        generations = (_generation(stage, need, find_model, longest),)
        name = shown(stage.model, generations[0].model)
    return StageWork(
        stage=stage.name,
        kind=stage.kind,
        title=f"{title} with {name}",
        unit="job",
        units=1.0,
        generations=generations,
        sandbox_work=sandbox_work(need.sandbox, samples=float(need.tasks * need.samples)),
        apis=apis,
        assumed=assumed_rows(stage.name, need.assumed),
        outcomes=outcomes,
    )


def _generation(
    stage: RolloutStage | EvaluateStage, need: TasksNeed, find_model: FindModel, longest: float
) -> Generation:
    assert stage.model is not None
    total = need.response_tokens.mean * need.turns
    _, spread, one_turn = length_fields(need.response_tokens, longest)
    return Generation(
        role="generate",
        model=find_model(stage.model),
        options=stage.rollout,
        samples=float(need.tasks * need.samples),
        prompt_tokens=max(need.prompt_tokens.mean, 1.0),
        response_tokens=max(total, 1.0),
        response_log_sd=spread if need.turns == 1 else 0.5,
        max_response_tokens=max(longest if need.turns > 1 else one_turn, total, 1.0),
        samples_per_prompt=float(need.samples),
        turns=float(need.turns),
        tool_seconds=need.tool_seconds.mean,
        tool_tokens=need.observation_tokens.mean,
        concurrency=stage.concurrency,
    )


def _api_use(stage: RolloutStage | EvaluateStage, need: TasksNeed) -> ApiUse:
    """Tokens that the provider bills.  Every turn sends the whole context again; all but its newest part is cached.

    input = Σ over turns of (prompt + (response + observation) × turns before) = T·p + (r + o)·T(T-1)/2; what was sent
    in the turn before is cached unless `cached_share` says otherwise.
    """
    assert stage.api is not None
    samples, turns = float(need.tasks * need.samples), float(need.turns)
    prompt, response = need.prompt_tokens.mean, need.response_tokens.mean
    growth = response + need.observation_tokens.mean
    each = turns * prompt + growth * turns * (turns - 1) / 2.0
    fresh = prompt + growth * (turns - 1)
    share = 1.0 - fresh / each if stage.cached_share is None else stage.cached_share
    return ApiUse(
        role="generate",
        api=stage.api,
        input_tokens=samples * each * (1.0 - share),
        cached_input_tokens=samples * each * share,
        output_tokens=samples * response * turns,
        requests=samples,
        turns_per_request=turns,
        tool_seconds=need.tool_seconds.mean,
        concurrency=None if stage.concurrency is None else float(stage.concurrency),
    )
