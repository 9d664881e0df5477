"""How long a unit of a stage takes on candidate layouts: seconds by phase, as columns over the layouts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from planners.physics.codes import COLOCATED
from planners.physics.columns import Array, Column
from planners.physics.generate import GenerateTime, generate
from planners.physics.step import TRAINER_PHASES, StepTime, compose_step, predict, supervised_seconds
from planners.physics.train import TrainTime
from planners.workload.factor_lookup import factor_column
from planners.workload.layouts import TimingContext
from planners.workload.stage_work import Generation, HostWork, StageWork
from planners.workload.work_columns import generation_workload, training_workload

API_TOKENS_PER_SECOND = 60.0
"""Output speed of one request to a hosted model.  Assumption; `output_tokens_per_second` replaces it."""
API_LATENCY_SECONDS = 1.0
"""Time to the first token of one request.  Assumption."""
BATCH_SECONDS = 24 * 3600.0
"""Until a batch of requests is answered, at most: Gemini, developers.googleblog.com/scale-your-ai-workloads-batch-mode-
gemini-api (2025-07-07); OpenAI and Anthropic promise the same."""
API_REQUESTS_IN_FLIGHT = 64.0
"""Requests at once that an account allows.  Assumption; `requests_in_flight` replaces it."""
Seconds = TypeVar("Seconds", GenerateTime, TrainTime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds per unit without sandboxes.  Columns over the layouts."""

    schedule: Array
    api: Column
    """Seconds in which API calls keep the unit waiting, beside the GPUs."""
    generations: tuple[tuple[Generation, GenerateTime], ...] = ()
    step: StepTime | None = None
    """Of an RL step; its main generation is the first of `generations`."""
    supervised: TrainTime | None = None
    host: HostWork | None = None
    critic: Column = 0.0
    """Seconds in which the outcome critic reads every sample once."""
    by_physics: Timing | None = None
    """The same without factors, where there are any: the sandbox factor is on seconds exposed beside these."""

    @property
    def generate(self) -> Column:
        """The main generation, as the schedule exposes it, and the RL controller's time for its samples; all
        generations of a stage that trains nothing."""
        if self.step is not None:
            return self.step.exposed_generate_seconds + self.step.controller_seconds
        return self._makespans(0) + (self.host.generate_seconds if self.host else 0.0)

    @property
    def judging(self) -> Column:
        """Judge models and the outcome critic, after generation on the rollout GPUs."""
        return self._makespans(1) + self.critic if self.step is not None else np.zeros(len(self.schedule))

    @property
    def trainer(self) -> Column:
        """All phases of the trainer but the sync."""
        if self.step is not None:
            return self.step.trainer_seconds
        if self.supervised is not None:
            return self.supervised.seconds
        return np.zeros(len(self.schedule)) + (self.host.train_seconds if self.host else 0.0)

    @property
    def sync(self) -> Column:
        """The new weights go into the rollout engine."""
        return 0.0 if self.step is None else self.step.sync_seconds

    def _makespans(self, first: int) -> Column:
        return sum((time.makespan_seconds for _, time in self.generations[first:]), np.zeros(len(self.schedule)))

    def unit_seconds(self, exposed: Column) -> Array:
        """Seconds of a unit in which the sandboxes are exposed for `exposed` seconds.  Broadcasts."""
        rollout = np.maximum(self.generate + self.judging, self.api) + exposed
        return compose_step(schedule=self.schedule, rollout_side=rollout, trainer_side=self.trainer, sync=self.sync)


def time_work(work: StageWork, at: TimingContext) -> Timing:
    """Seconds of one unit of `work` on every layout of `at`, by physics and by factors of earlier runs."""
    timing = _time_by_physics(work, at)
    return replace(_with_factors(timing, work, at), by_physics=timing) if work.factors else timing


def _time_by_physics(work: StageWork, at: TimingContext) -> Timing:
    constants, grid_points, step, supervised = at.constants, at.grid_points, None, None
    if work.training is not None and work.training.rl:
        step = predict(constants, training_workload(work, at), grid_points=grid_points)
    elif work.training is not None:
        supervised = supervised_seconds(constants, training_workload(work, at))
    generations = tuple(
        (each, step.generate)
        if step is not None and number == 0
        else (each, generate(constants, generation_workload(work, each, at), grid_points=grid_points))
        for number, each in enumerate(work.generations)
    )
    return Timing(
        schedule=np.full(len(at.layouts), COLOCATED) if step is None else at.layouts.schedule,
        api=_api_seconds(work, at.slots),
        generations=generations,
        step=step,
        supervised=supervised,
        host=work.host,
        critic=_critic_seconds(work, at),
    )


def _critic_seconds(work: StageWork, at: TimingContext) -> Column:
    """Seconds in which the outcome critic reads every sample once; 0 where generation is left out."""
    reading = work.outcome_critic
    if reading is None or not at.grid_points:
        return 0.0
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
        if use.api.batch:
            total = total + use.turns_per_request * BATCH_SECONDS
            continue
        quickest = (use.input_tokens + use.output_tokens) / (use.api.tokens_per_minute or np.inf) * 60.0
        total = total + np.maximum(waves * seconds, quickest)
    return total


def _with_factors(timing: Timing, work: StageWork, at: TimingContext) -> Timing:
    """`timing` with each phase times its factor, parts included.  The sandbox's is applied where it is exposed."""

    def factor(phase: str) -> Column:
        return factor_column(work, phase, at)

    step, supervised, host = timing.step, timing.supervised, timing.host
    if step is not None:
        phases = [("generate", "exposed_generate_seconds"), ("generate", "controller_seconds"), *TRAINER_PHASES.items()]
        seconds = {name: getattr(step, name) * factor(phase) for phase, name in phases}
        train, log_prob = _scaled(step.train, factor("train")), _scaled(step.log_prob, factor("log-prob"))
        step = replace(step, **seconds, train=train, log_prob=log_prob)
    if host is not None:
        generating, training = host.generate_seconds * factor("generate"), host.train_seconds * factor("train")
        host = replace(host, generate_seconds=generating, train_seconds=training)
    return replace(
        timing,
        generations=tuple((each, _scaled(time, factor(each.role))) for each, time in timing.generations),
        step=step,
        supervised=None if supervised is None else _scaled(supervised, factor("train")),
        host=host,
        critic=timing.critic * factor("outcome critic"),
    )


def _scaled(time: Seconds, factor: Column) -> Seconds:
    """The seconds of a phase, parts included, times `factor`."""
    names = ("makespan_seconds", "throughput_seconds") if isinstance(time, GenerateTime) else ("seconds",)
    changed = {name: getattr(time, name) * factor for name in names}
    return replace(time, **changed, parts={name: seconds * factor for name, seconds in time.parts.items()})
