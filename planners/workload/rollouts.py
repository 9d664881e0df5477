"""The work of stages that only generate: synthesis, agent rollouts, benchmarks.  The whole job is the unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from planners.spec.benchmarks import BENCHMARKS
from planners.spec.distributions import Durations, Lengths
from planners.spec.profiles import Assumed
from planners.spec.stage_options import SandboxSpec
from planners.spec.stages_agent import EvaluateStage, RolloutStage
from planners.spec.stages_data import SynthesizeStage
from planners.workload.sandbox_work import TOOL_SECONDS, sandbox_work
from planners.workload.served_model import LENGTHS, TAIL_FACTOR, FindModel, ServedModel, hosted, shown, unstated
from planners.workload.stage_work import StageWork


def synthesize_work(stage: SynthesizeStage, find_model: FindModel) -> StageWork:
    """All candidates written, tried and verified."""
    candidates = float(stage.candidates or -(-(stage.items or 1) // max(stage.kept_share, 1e-6)))
    reasoning = stage.reasoning_tokens.mean if stage.reasoning_tokens else 0.0
    prompt, item = stage.prompt_tokens, stage.response_tokens
    assumed = unstated(stage, *LENGTHS)
    models = [
        ServedModel("teacher", stage.teacher, candidates, prompt, item, reasoning_tokens=reasoning, assumed=assumed)
    ]
    if stage.student is not None:
        attempts = candidates * stage.student.attempts
        answer = stage.student.response_tokens or item
        models.append(ServedModel("student", stage.student, attempts, prompt, answer, assumed=assumed))
    generations, apis = hosted(models, find_model, stage.rollout)
    sandboxes = sandbox_work(stage.sandbox, "judge", samples=sum(model.samples for model in models))
    accepted = candidates * stage.kept_share
    unfiltered = Assumed(name="yields", value="every candidate kept", source="no filter stated")
    return StageWork(
        stage=stage.name,
        kind=stage.kind,
        title=f"{accepted:,.0f} accepted items from {candidates:,.0f} candidates",
        unit="job",
        units=1.0,
        generations=generations,
        sandbox_work=sandboxes,
        apis=apis,
        assumed=(*(() if stage.yields else (unfiltered,)), *sandboxes.assumed),
        outcomes={"accepted items": accepted},
    )


def _times(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def agent_work(stage: RolloutStage, find_model: FindModel) -> StageWork:
    """Agents on tasks: tasks × attempts trajectories of many turns, each holding a sandbox."""
    attempts = float(stage.tasks * stage.attempts)
    solved = {"solved tasks": attempts * stage.resolve_rate} if stage.resolve_rate else {}
    title = f"{_times(stage.tasks, 'task')} × {_times(stage.attempts, 'attempt')}, {_times(stage.turns, 'turn')}"
    return _rollout(stage, find_model, title, {"attempts": attempts} | solved)


def evaluate_work(stage: EvaluateStage, find_model: FindModel) -> StageWork:
    """A benchmark is a rollout of tasks × samples, single-turn or agentic by benchmark."""
    rollout, assumed = benchmark_rollout(stage)
    solved = {"solved tasks": rollout.tasks * stage.resolve_rate} if stage.resolve_rate else {}
    title = f"{stage.benchmark}, {_times(rollout.tasks, 'problem')} × {_times(stage.samples, 'sample')}"
    work = _rollout(rollout, find_model, title, {"samples": float(rollout.tasks * stage.samples)} | solved)
    return replace(work, kind=stage.kind, assumed=(*assumed, *work.assumed))


def _rollout(stage: RolloutStage, find_model: FindModel, title: str, outcomes: dict[str, float]) -> StageWork:
    samples = float(stage.tasks * stage.attempts)
    sandboxes = sandbox_work(stage.sandbox, "swe", samples=samples)
    tool = () if stage.tool_seconds else (Assumed(name="tool_seconds", value=f"{TOOL_SECONDS:g}", source="assumption"),)
    model = ServedModel(
        "generate",
        stage,
        samples,
        stage.prompt_tokens,
        stage.response_tokens,
        longest=max(stage.max_context_tokens - stage.prompt_tokens.mean, 1.0),
        samples_per_prompt=float(stage.attempts),
        turns=float(stage.turns),
        observation_tokens=stage.observation_tokens.mean,
        tool_seconds=stage.tool_seconds.mean if stage.tool_seconds else TOOL_SECONDS,
        concurrency=stage.concurrency,
        cached_share=stage.cached_share,
        assumed=unstated(stage, *LENGTHS, *(("turns",) if stage.turns > 1 else ())),
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
        sandbox_work=sandboxes,
        apis=apis,
        assumed=(*tool, *sandboxes.assumed),
        outcomes=outcomes,
    )


def benchmark_rollout(stage: EvaluateStage) -> tuple[RolloutStage, tuple[Assumed, ...]]:
    """`stage` with every gap filled from its benchmark, and a row with its source for each filled field."""
    benchmark = BENCHMARKS[stage.benchmark]
    assumed: list[Assumed] = []

    def filled(field: str, stated: Any, default: Any) -> Any:
        if stated is not None:
            return stated
        value = f"{default.mean:g}" if isinstance(default, Lengths | Durations) else str(default)
        assumed.append(Assumed(name=field, value=value, source=benchmark.source))
        return default

    def field(name: str) -> Any:
        return filled(name, getattr(stage, name), benchmark.fields.get(name))

    spec = stage.sandbox or SandboxSpec()
    sandbox: dict[str, Any] = {"profile": spec.profile or benchmark.profile}
    sandbox["seconds"] = filled("sandbox.seconds", spec.seconds, benchmark.judge_seconds)
    tasks = field("tasks")
    turns, prompt, response = field("turns"), field("prompt_tokens"), field("response_tokens")
    observation, tool = field("observation_tokens"), field("tool_seconds")
    rollout = RolloutStage.model_construct(
        _fields_set=stage.model_fields_set,
        kind="rollout",
        name=stage.name,
        model=stage.model,
        api=stage.api,
        tasks=tasks,
        attempts=stage.samples,
        turns=turns,
        prompt_tokens=prompt,
        response_tokens=response,
        observation_tokens=observation,
        max_context_tokens=round(prompt.mean + (response.max or response.mean * TAIL_FACTOR) * turns),
        tool_seconds=tool if turns > 1 else Durations(mean=0),
        cached_share=stage.cached_share,
        resolve_rate=stage.resolve_rate,
        concurrency=stage.concurrency,
        rollout=stage.rollout,
        sandbox=spec.model_copy(update=sandbox),
    )
    return rollout, tuple(assumed)
