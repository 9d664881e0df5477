"""Stages that only generate, as demands: agent rollouts (`rollout`) and benchmarks (`evaluate`).  The whole job is
the unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planners.plan.defaults import BENCHMARKS, TOOL_SECONDS
from planners.plan.demand import ApiUse, Assumed, Demand, Serving
from planners.plan.demand_rl import length_fields, short
from planners.plan.demand_sandbox import sandboxing
from planners.spec.lengths import Lengths

if TYPE_CHECKING:
    from planners.plan.demand_rl import FindModel
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
    profile: str


def rollout_demand(stage: RolloutStage, find_model: FindModel) -> Demand:
    """Agents on tasks: tasks × attempts trajectories of many turns, each holding a sandbox."""
    samples = float(stage.tasks * stage.attempts)
    agents = _Agents(
        samples=samples, samples_per_task=float(stage.attempts), turns=float(stage.turns),
        prompt_tokens=stage.prompt_tokens.mean, response=stage.response_tokens,
        observation_tokens=stage.observation_tokens.mean,
        tool_seconds=stage.tool_seconds.mean if stage.tool_seconds else TOOL_SECONDS,
        longest_tokens=float(stage.max_context_tokens), cached_share=stage.cached_share, profile="swe",
    )  # fmt: skip
    rate = stage.resolve_rate
    outcomes = {"attempts": samples} | ({"solved tasks": samples * rate} if rate else {})
    rows = [] if stage.tool_seconds else [("tool_seconds", f"{TOOL_SECONDS:g}", "assumption")]
    title = f"{stage.tasks:,} tasks × {stage.attempts} attempts, {stage.turns} turns"
    return _demand(stage, agents, find_model, title=title, outcomes=outcomes, rows=rows)


def evaluate_demand(stage: EvaluateStage, find_model: FindModel) -> Demand:
    """A benchmark: tasks × samples, single-turn or agentic by benchmark."""
    known = BENCHMARKS.get(stage.benchmark)
    tasks = stage.tasks or (known.tasks if known else 1)
    turns = float(stage.turns or (known.turns if known else 1))
    rows = []
    for field in ("tasks", "turns", "prompt_tokens", "response_tokens", "observation_tokens"):
        if known is not None and getattr(stage, field) is None:
            rows.append((field, f"{getattr(known, field):g}", known.source))
    response = stage.response_tokens or Lengths(mean=known.response_tokens if known else 1.0)
    prompt = stage.prompt_tokens.mean if stage.prompt_tokens else (known.prompt_tokens if known else 1.0)
    seen = known.observation_tokens if known else 0.0
    samples = float(tasks * stage.samples)
    agents = _Agents(
        samples=samples, samples_per_task=float(stage.samples), turns=turns, prompt_tokens=prompt, response=response,
        observation_tokens=stage.observation_tokens.mean if stage.observation_tokens else seen,
        tool_seconds=stage.tool_seconds.mean if stage.tool_seconds else (TOOL_SECONDS if turns > 1 else 0.0),
        longest_tokens=response.max or response.mean * turns * TAIL_FACTOR, cached_share=stage.cached_share,
        profile=known.profile if known else "judge",
    )  # fmt: skip
    outcomes = {"samples": samples} | ({"solved tasks": tasks * stage.resolve_rate} if stage.resolve_rate else {})
    title = f"{stage.benchmark}: {tasks:,} problems × {stage.samples} samples"
    return _demand(stage, agents, find_model, title=title, outcomes=outcomes, rows=rows)


def _demand(
    stage: RolloutStage | EvaluateStage, agents: _Agents, find_model: FindModel, *, title: str,
    outcomes: dict[str, float], rows: list[tuple[str, str, str]],
) -> Demand:  # fmt: skip
    wanted, assumed = sandboxing(
        stage.sandbox, stage=stage.name, default_profile=agents.profile, samples=agents.samples
    )
    servings: tuple[Serving, ...] = ()
    apis: tuple[ApiUse, ...] = ()
    if stage.api is not None:
        apis = (_api_use(stage, agents),)
        name = stage.api.name
    else:
        assert stage.model is not None
        servings = (_serving(stage, agents, find_model),)
        name = short(servings[0].model.name)
    stated = {row[0] for row in rows}
    assert len(stated) == len(rows)
    return Demand(
        stage=stage.name, kind=stage.kind, title=f"{title} with {name}", unit="job", units=1.0, servings=servings,
        sandboxing=wanted, apis=apis,
        assumed=(*(Assumed(name=f"{stage.name}.{n}", value=v, source=s) for n, v, s in rows), *assumed),
        outcomes=outcomes,
    )  # fmt: skip


def _serving(stage: RolloutStage | EvaluateStage, agents: _Agents, find_model: FindModel) -> Serving:
    assert stage.model is not None
    total = agents.response.mean * agents.turns
    _, spread, longest = length_fields(agents.response, agents.longest_tokens)
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
    )  # fmt: skip
