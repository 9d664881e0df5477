"""Stages that only generate, as demands: agent rollouts (`rollout`) and benchmarks (`evaluate`).  The whole job is
the unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planners.demand.needs import ApiUse, Assumed, Demand, Serving
from planners.demand.rl import length_fields, shown
from planners.demand.sandbox import TOOL_SECONDS, assumed_rows, sandboxing
from planners.spec.benchmarks import evaluate_need
from planners.spec.profiles import sandbox_need

if TYPE_CHECKING:
    from planners.demand.rl import FindModel
    from planners.spec.lengths import Lengths
    from planners.spec.profiles import SandboxNeed
    from planners.spec.stages_agent import EvaluateStage, RolloutStage

TAIL_FACTOR = 4.0
"""Longest over mean tokens of a trajectory without a stated cap.  Assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Agents:
    """The shape of the trajectories, whichever stage asks for them."""

    samples: float
    samples_per_task: float
    turns: float
    prompt_tokens: float
    response: Lengths
    """Per turn."""
    observation_tokens: float
    tool_seconds: float
    longest_tokens: float
    cached_share: float | None
    need: SandboxNeed


def rollout_demand(stage: RolloutStage, find_model: FindModel) -> Demand:
    """Agents on tasks: tasks × attempts trajectories of many turns, each holding a sandbox."""
    samples = float(stage.tasks * stage.attempts)
    need = sandbox_need(stage.sandbox, default_profile="swe")
    agents = _Agents(
        samples=samples, samples_per_task=float(stage.attempts), turns=float(stage.turns),
        prompt_tokens=stage.prompt_tokens.mean, response=stage.response_tokens,
        observation_tokens=stage.observation_tokens.mean,
        tool_seconds=stage.tool_seconds.mean if stage.tool_seconds else TOOL_SECONDS,
        longest_tokens=float(stage.max_context_tokens), cached_share=stage.cached_share, need=need,
    )  # fmt: skip
    rate = stage.resolve_rate
    outcomes = {"attempts": samples} | ({"solved tasks": samples * rate} if rate else {})
    assumed = assumed_rows(stage.name, need.assumed)
    if stage.tool_seconds is None:
        assumed = (Assumed(name=f"{stage.name}.tool_seconds", value=f"{TOOL_SECONDS:g}", source="assumption"), *assumed)
    title = f"{stage.tasks:,} tasks × {stage.attempts} attempts, {stage.turns} turns"
    return _demand(stage, agents, find_model, title=title, outcomes=outcomes, assumed=assumed)


def evaluate_demand(stage: EvaluateStage, find_model: FindModel) -> Demand:
    """A benchmark: tasks × samples, single-turn or agentic by benchmark."""
    need = evaluate_need(stage)
    samples = float(need.tasks * need.samples)
    turns = float(need.turns)
    agents = _Agents(
        samples=samples, samples_per_task=float(need.samples), turns=turns, prompt_tokens=need.prompt_tokens.mean,
        response=need.response_tokens, observation_tokens=need.observation_tokens.mean,
        tool_seconds=need.tool_seconds.mean if turns > 1 else 0.0,
        longest_tokens=(need.response_tokens.max or need.response_tokens.mean * TAIL_FACTOR) * turns,
        cached_share=stage.cached_share, need=need.sandbox,
    )  # fmt: skip
    outcomes = {"samples": samples} | ({"solved tasks": need.tasks * stage.resolve_rate} if stage.resolve_rate else {})
    title = f"{stage.benchmark}, {need.tasks:,} problems × {need.samples} samples"
    return _demand(
        stage, agents, find_model, title=title, outcomes=outcomes, assumed=assumed_rows(stage.name, need.assumed)
    )


def _demand(
    stage: RolloutStage | EvaluateStage, agents: _Agents, find_model: FindModel, *, title: str,
    outcomes: dict[str, float], assumed: tuple[Assumed, ...],
) -> Demand:  # fmt: skip
    servings: tuple[Serving, ...] = ()
    apis: tuple[ApiUse, ...] = ()
    if stage.api is not None:
        apis = (_api_use(stage, agents),)
        name = stage.api.name
    else:
        assert stage.model is not None
        servings = (_serving(stage, agents, find_model),)
        name = shown(stage.model, servings[0].model)
    return Demand(
        stage=stage.name, kind=stage.kind, title=f"{title} with {name}", unit="job", units=1.0, servings=servings,
        sandboxing=sandboxing(agents.need, samples=agents.samples), apis=apis, assumed=assumed, outcomes=outcomes,
    )  # fmt: skip


def _serving(stage: RolloutStage | EvaluateStage, agents: _Agents, find_model: FindModel) -> Serving:
    assert stage.model is not None
    total = agents.response.mean * agents.turns
    _, spread, longest = length_fields(agents.response, agents.longest_tokens)
    if agents.turns > 1:
        longest = agents.longest_tokens  # the stated lengths are those of one turn
    return Serving(
        role="generate", model=find_model(stage.model), options=stage.rollout, samples=agents.samples,
        prompt_tokens=max(agents.prompt_tokens, 1.0), response_tokens=max(total, 1.0),
        response_log_sd=spread if agents.turns == 1 else 0.5, max_response_tokens=max(longest, total, 1.0),
        samples_per_prompt=agents.samples_per_task, turns=agents.turns, tool_seconds=agents.tool_seconds,
        tool_tokens=agents.observation_tokens, concurrency=stage.concurrency,
    )  # fmt: skip


def _api_use(stage: RolloutStage | EvaluateStage, agents: _Agents) -> ApiUse:
    """Tokens that the provider bills: every turn resends the context, of which all but the newest part is cached.

    input = Σ over turns of (prompt + (response + observation) × turns before) = T·p + (r + o)·T(T-1)/2; what was
    sent in the turn
    before is cached unless `cached_share` says otherwise.
    """
    assert stage.api is not None
    turns, response = agents.turns, agents.response.mean
    growth = response + agents.observation_tokens
    each = turns * agents.prompt_tokens + growth * turns * (turns - 1) / 2.0
    fresh = agents.prompt_tokens + growth * (turns - 1)
    share = 1.0 - fresh / each if agents.cached_share is None else agents.cached_share
    return ApiUse(
        role="generate", api=stage.api, input_tokens=agents.samples * each * (1.0 - share),
        cached_input_tokens=agents.samples * each * share, output_tokens=agents.samples * response * turns,
        requests=agents.samples, turns_per_request=turns, tool_seconds=agents.tool_seconds,
        concurrency=None if stage.concurrency is None else float(stage.concurrency),
    )  # fmt: skip
