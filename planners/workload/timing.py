"""A demand on candidate layouts: seconds per unit, by phase, as columns over the layouts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planners.physics.columns import COLOCATED, UNKNOWN, Layout, TrainWork, Workload
from planners.physics.generate import GenerateTime, generate
from planners.physics.shape import model_columns
from planners.physics.step import StepTime, compose_step, predict, supervised_seconds
from planners.workload.factors import with_factors
from planners.workload.work_columns import NO_ROLLOUT, rollout_work, train_work

if TYPE_CHECKING:
    from planners.domain import ModelShape
    from planners.physics.columns import Array, Column, GpuColumns, RolloutWork
    from planners.physics.constants import Constants
    from planners.physics.train import TrainTime
    from planners.search.search_space import Layouts
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
    """The same without factors of own runs, where there are any: what sandboxes hide behind, as their factor does."""

    def upright(self) -> Timing:
        """The same as columns of shape (n, 1), to broadcast against a row of slots."""
        names = ("schedule", "generate", "judging", "trainer", "sync", "api")
        columns: dict[str, Any] = {name: np.reshape(np.asarray(getattr(self, name)), (-1, 1)) for name in names}
        return dataclasses.replace(self, **columns, by_physics=self.by_physics and self.by_physics.upright())

    def unit_seconds(self, exposed: Column) -> Array:
        """Seconds of a unit in which the sandboxes are exposed for `exposed` seconds.  Broadcasts."""
        rollout = np.maximum(self.generate + self.judging, self.api) + exposed
        return compose_step(schedule=self.schedule, rollout_side=rollout, trainer_side=self.trainer, sync=self.sync)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingContext:
    """Everything besides the demand that decides how long it takes."""

    constants: Constants
    gpu: GpuColumns
    layouts: Layouts
    gpus_per_node: Array
    year: float
    gpu_names: tuple[str, ...] = ()
    """Canonical names by `layouts.machine`; empty without GPUs."""
    slots: Column = UNKNOWN
    """Sandboxes at once, where trajectories hold them; NaN = no limit."""
    grid_points: int = 33


def time_demand(demand: StageWork, at: TimingContext) -> Timing:
    """Seconds of one unit of `demand` on every layout of `at`, by physics and what own runs taught."""
    timing = _time_by_physics(demand, at)
    if not demand.factors:
        return timing
    return dataclasses.replace(with_factors(timing, demand, at), by_physics=timing)


def _time_by_physics(demand: StageWork, at: TimingContext) -> Timing:
    lay = at.layouts
    zero = np.zeros(len(lay))
    api = np.asarray(_api_seconds(demand, at.slots) + zero)
    if demand.learning is not None and not demand.learning.rl:
        update = supervised_seconds(at.constants, supervised_workload(demand, at))
        return Timing(
            schedule=COLOCATED, generate=zero, judging=zero, trainer=update.seconds, api=zero, supervised=update
        )
    if demand.host is not None:
        made, learned = demand.host.generate_seconds, demand.host.train_seconds
        return Timing(schedule=COLOCATED, generate=zero + made, judging=zero, trainer=zero + learned, api=api)
    beside = demand.servings if demand.learning is None else demand.servings[1:]
    generations = tuple((serving, _generate(demand, serving, at)) for serving in beside)
    if demand.learning is None:
        seconds = sum((g.makespan_seconds for _, g in generations), zero)
        return Timing(
            schedule=COLOCATED, generate=seconds, judging=zero, trainer=zero, api=api, generations=generations
        )
    step = predict(at.constants, rl_workload(demand, at), grid_points=at.grid_points)
    judging = sum((g.makespan_seconds for _, g in generations), zero) + _critic_forward(demand, at)
    return Timing(
        schedule=lay.schedule,
        generate=step.exposed_generate_seconds,
        judging=judging,
        trainer=step.trainer_seconds,
        sync=step.sync_seconds,
        api=api,
        step=step,
        generations=((demand.servings[0], step.generate), *generations),
    )


def _workload(
    at: TimingContext, model: ModelShape, serving: Generation | None, train: TrainWork, rollout: RolloutWork
) -> Workload:
    layout = _layout(at, serving)
    return Workload(model=model_columns(model), gpu=at.gpu, layout=layout, train=train, rollout=rollout, year=at.year)


def rl_workload(demand: StageWork, at: TimingContext) -> Workload:
    """The physics' view of one RL step."""
    assert demand.learning is not None
    main = demand.servings[0]
    rollout = rollout_work(main, at, rl=True, staleness_steps=demand.staleness_steps)
    return _workload(at, main.model, main, train_work(demand.learning, at, main), rollout)


def supervised_workload(demand: StageWork, at: TimingContext) -> Workload:
    """The physics' view of one optimizer update."""
    assert demand.learning is not None
    return _workload(at, demand.learning.model, None, train_work(demand.learning, at, None), NO_ROLLOUT)


def serving_workload(demand: StageWork, serving: Generation, at: TimingContext) -> Workload:
    """The physics' view of one generation beside (or without) training: an older RL stack decodes eagerly."""
    rl = demand.learning is not None
    rollout = rollout_work(serving, at, rl=rl, staleness_steps=0.0)
    return _workload(at, serving.model, serving, TrainWork(seq_len=1.0, rl=float(rl)), rollout)


def _generate(demand: StageWork, serving: Generation, at: TimingContext) -> GenerateTime:
    return generate(at.constants, serving_workload(demand, serving, at), grid_points=at.grid_points)


def _critic_forward(demand: StageWork, at: TimingContext) -> Column:
    """Seconds in which the outcome critic reads every sample once: a prefill without an answer."""
    if demand.critic_forward is None:
        return 0.0
    main = demand.servings[0]
    response = main.response_tokens if main.response_tokens == main.response_tokens else main.max_response_tokens / 2
    reading = dataclasses.replace(
        main,
        role="outcome critic",
        model=demand.critic_forward,
        prompt_tokens=main.prompt_tokens + response,
        response_tokens=1.0,
        max_response_tokens=1.0,
        samples_per_prompt=1.0,
        turns=1.0,
        tool_seconds=0.0,
        tool_tokens=0.0,
    )
    return generate(at.constants, serving_workload(demand, reading, at), grid_points=2).makespan_seconds


def _api_seconds(demand: StageWork, slots: Column) -> Column:
    """Seconds for all API requests of a unit, limited by requests in flight (and held sandboxes)."""
    total: Column = 0.0
    for use in demand.apis:
        speed = use.api.output_tokens_per_second or API_TOKENS_PER_SECOND
        writing = use.output_tokens / max(use.requests, 1.0) / speed
        seconds = writing + use.turns_per_request * (API_LATENCY_SECONDS + use.tool_seconds)
        allowed = float(use.api.requests_in_flight or API_REQUESTS_IN_FLIGHT)
        in_flight: Column = min(allowed, use.concurrency or allowed)
        if not demand.servings:
            in_flight = np.fmin(in_flight, slots)
        waves = np.maximum(use.requests / np.maximum(in_flight, 1.0), 1.0)
        quickest = (use.input_tokens + use.output_tokens) / (use.api.tokens_per_minute or np.inf) * 60.0
        total = total + np.maximum(waves * seconds, quickest)
    return total


def _layout(at: TimingContext, serving: Generation | None) -> Layout:
    """Layout columns; a serving gets the candidate's replica size (its own model's where it is not the main one)."""
    lay = at.layouts
    return Layout(
        gpus=lay.gpus,
        train_gpus=lay.train_gpus,
        rollout_gpus=lay.rollout_gpus,
        gpus_per_node=at.gpus_per_node,
        tp=lay.tp,
        pp=lay.pp,
        cp=lay.cp,
        ep=lay.ep,
        dp=lay.dp,
        sharding=lay.sharding,
        rollout_gpus_per_replica=lay.replica if serving is None else replica_gpus(at, serving),
        rollout_attention_dp=0.0,
    )


def replica_gpus(at: TimingContext, serving: Generation) -> Array:
    """GPUs per replica: as stated, else the candidate's, doubled until the weights fill 0.6 of the memory at most."""
    if serving.options.tp is not None:
        return np.minimum(float(serving.options.tp), at.layouts.rollout_gpus)
    weights = serving.model.params_total * (1.0 if serving.options.precision == "fp8" else 2.0)
    needed = 2.0 ** np.ceil(np.log2(np.maximum(weights / (0.6 * np.asarray(at.gpu.hbm_bytes)), 1.0)))
    return np.minimum(np.maximum(at.layouts.replica, needed), at.layouts.rollout_gpus)
