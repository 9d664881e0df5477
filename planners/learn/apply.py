"""Factors of own runs on the seconds of a stage's phases."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from planners.learn.places import factor_column
from planners.physics.step import TRAINER_PHASES

if TYPE_CHECKING:
    from collections.abc import Callable

    from planners.demand.needs import Demand
    from planners.demand.timing import Situation, Timing
    from planners.physics.columns import Column
    from planners.physics.generate import GenerateTime
    from planners.physics.step import StepTime
    from planners.physics.train import TrainTime


def with_factors(timing: Timing, demand: Demand, at: Situation) -> Timing:
    """`timing` with each phase times its factor, parts included.  The sandbox's is applied where it is exposed."""

    def factor(phase: str) -> Column:
        return factor_column(demand, phase, at)

    generations = tuple((serving, _generation(time, factor(serving.role))) for serving, time in timing.generations)
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
