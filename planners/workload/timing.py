"""How long a unit of a stage takes on candidate layouts: seconds by phase, as columns over the layouts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planners.physics.columns import COLOCATED
from planners.physics.generate import GenerateTime, generate
from planners.physics.step import TRAINER_PHASES, StepTime, compose_step, predict, supervised_seconds
from planners.workload.factor_lookup import factor_column
from planners.workload.work_columns import generation_workload, rl_workload, supervised_workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from planners.physics.columns import Array, Column
    from planners.physics.train import TrainTime
    from planners.workload.layouts import TimingContext
    from planners.workload.stage_work import Generation, StageWork

API_TOKENS_PER_SECOND = 60.0
"""Output speed of one request to a hosted model.  Assumption; `output_tokens_per_second` replaces it."""
API_LATENCY_SECONDS = 1.0
"""Time to the first token of one request.  Assumption."""
API_REQUESTS_IN_FLIGHT = 64.0
"""Requests at once that an account allows.  Assumption; `requests_in_flight` replaces it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds per unit without sandboxes.  Columns over the layouts."""

    schedule: Column
    generate: Column
    """The main generation, as the schedule exposes it."""
    judging: Column
    """Judge models and the outcome critic, after generation on the rollout GPUs."""
    trainer: Column
    sync: Column = 0.0
    api: Column
    """Seconds in which API calls keep the unit waiting, beside the GPUs."""
    step: StepTime | None = None
    generations: tuple[tuple[Generation, GenerateTime], ...] = ()
    supervised: TrainTime | None = None
    by_physics: Timing | None = None
    """The same without factors, where there are any: the sandbox factor is on seconds exposed beside these."""

    def upright(self) -> Timing:
        """The same as columns of shape (n, 1), to broadcast against a row of slots."""
        names = ("schedule", "generate", "judging", "trainer", "sync", "api")
        columns: dict[str, Any] = {name: np.reshape(np.asarray(getattr(self, name)), (-1, 1)) for name in names}
        return dataclasses.replace(self, **columns, by_physics=self.by_physics and self.by_physics.upright())

    def unit_seconds(self, exposed: Column) -> Array:
        """Seconds of a unit in which the sandboxes are exposed for `exposed` seconds.  Broadcasts."""
        rollout = np.maximum(self.generate + self.judging, self.api) + exposed
        return compose_step(schedule=self.schedule, rollout_side=rollout, trainer_side=self.trainer, sync=self.sync)


def time_work(work: StageWork, at: TimingContext) -> Timing:
    """Seconds of one unit of `work` on every layout of `at`, by physics and by factors of earlier runs."""
    timing = _time_by_physics(work, at)
    if not work.factors:
        return timing
    return dataclasses.replace(_with_factors(timing, work, at), by_physics=timing)


def _time_by_physics(work: StageWork, at: TimingContext) -> Timing:
    lay = at.layouts
    zero = np.zeros(len(lay))
    api = np.asarray(_api_seconds(work, at.slots) + zero)
    if work.training is not None and not work.training.rl:
        update = supervised_seconds(at.constants, supervised_workload(work, at))
        return Timing(
            schedule=COLOCATED, generate=zero, judging=zero, trainer=update.seconds, api=zero, supervised=update
        )
    if work.host is not None:
        made, learned = work.host.generate_seconds, work.host.train_seconds
        return Timing(schedule=COLOCATED, generate=zero + made, judging=zero, trainer=zero + learned, api=api)
    beside = work.generations if work.training is None else work.generations[1:]
    generations = tuple((generation, _generate(work, generation, at)) for generation in beside)
    if work.training is None:
        seconds = sum((g.makespan_seconds for _, g in generations), zero)
        return Timing(
            schedule=COLOCATED, generate=seconds, judging=zero, trainer=zero, api=api, generations=generations
        )
    step = predict(at.constants, rl_workload(work, at), grid_points=at.grid_points)
    judging = sum((g.makespan_seconds for _, g in generations), zero) + _critic_forward(work, at)
    return Timing(
        schedule=lay.schedule,
        generate=step.exposed_generate_seconds,
        judging=judging,
        trainer=step.trainer_seconds,
        sync=step.sync_seconds,
        api=api,
        step=step,
        generations=((work.generations[0], step.generate), *generations),
    )


def _generate(work: StageWork, generation: Generation, at: TimingContext) -> GenerateTime:
    return generate(at.constants, generation_workload(work, generation, at), grid_points=at.grid_points)


def _critic_forward(work: StageWork, at: TimingContext) -> Column:
    """Seconds in which the outcome critic reads every sample once: a prefill without an answer."""
    if work.critic_forward is None:
        return 0.0
    main = work.generations[0]
    response = main.response_tokens if main.response_tokens == main.response_tokens else main.max_response_tokens / 2
    reading = dataclasses.replace(
        main,
        role="outcome critic",
        model=work.critic_forward,
        prompt_tokens=main.prompt_tokens + response,
        response_tokens=1.0,
        max_response_tokens=1.0,
        samples_per_prompt=1.0,
        turns=1.0,
        tool_seconds=0.0,
        tool_tokens=0.0,
    )
    return generate(at.constants, generation_workload(work, reading, at), grid_points=2).makespan_seconds


def _api_seconds(work: StageWork, slots: Column) -> Column:
    """Seconds for all API requests of a unit, limited by requests in flight (and held sandboxes)."""
    total: Column = 0.0
    for use in work.apis:
        speed = use.api.output_tokens_per_second or API_TOKENS_PER_SECOND
        writing = use.output_tokens / max(use.requests, 1.0) / speed
        seconds = writing + use.turns_per_request * (API_LATENCY_SECONDS + use.tool_seconds)
        allowed = float(use.api.requests_in_flight or API_REQUESTS_IN_FLIGHT)
        in_flight: Column = min(allowed, use.concurrency or allowed)
        if not work.generations:
            in_flight = np.fmin(in_flight, slots)
        waves = np.maximum(use.requests / np.maximum(in_flight, 1.0), 1.0)
        quickest = (use.input_tokens + use.output_tokens) / (use.api.tokens_per_minute or np.inf) * 60.0
        total = total + np.maximum(waves * seconds, quickest)
    return total


def _with_factors(timing: Timing, work: StageWork, at: TimingContext) -> Timing:
    """`timing` with each phase times its factor, parts included.  The sandbox's is applied where it is exposed."""

    def factor(phase: str) -> Column:
        return factor_column(work, phase, at)

    generations = tuple(
        (generation, _generation(time, factor(generation.role))) for generation, time in timing.generations
    )
    beside = timing.generations if timing.step is None else timing.generations[1:]
    more = sum(
        (new.makespan_seconds - old.makespan_seconds)
        for (_, old), (_, new) in zip(beside, generations[len(generations) - len(beside) :], strict=True)
    )
    if timing.supervised is not None:
        supervised = _training(timing.supervised, factor("train"))
        return dataclasses.replace(timing, trainer=supervised.seconds, supervised=supervised)
    if timing.step is None:
        generate = timing.generate + more if beside else timing.generate * factor("generate")
        trainer = timing.trainer * factor("train")
        return dataclasses.replace(timing, generate=generate, trainer=trainer, generations=generations)
    step = _step(timing.step, factor)
    critic = timing.judging - sum(time.makespan_seconds for _, time in beside)
    return dataclasses.replace(
        timing,
        generate=timing.generate * factor("generate"),
        trainer=step.trainer_seconds,
        sync=step.sync_seconds,
        judging=timing.judging + more + critic * (factor("outcome critic") - 1.0),
        step=step,
        generations=generations,
    )


def _step(step: StepTime, factor: Callable[[str], Column]) -> StepTime:
    seconds = {name: getattr(step, name) * factor(phase) for phase, name in TRAINER_PHASES.items()}
    train, log_prob = _training(step.train, factor("train")), _training(step.log_prob, factor("log-prob"))
    return dataclasses.replace(step, **seconds, train=train, log_prob=log_prob)


def _training(time: TrainTime, factor: Column) -> TrainTime:
    parts = {name: seconds * factor for name, seconds in time.parts.items()}
    return dataclasses.replace(time, seconds=time.seconds * factor, parts=parts)


def _generation(time: GenerateTime, factor: Column) -> GenerateTime:
    return dataclasses.replace(
        time,
        makespan_seconds=time.makespan_seconds * factor,
        throughput_seconds=time.throughput_seconds * factor,
        parts={name: seconds * factor for name, seconds in time.parts.items()},
    )
