"""Factors on the seconds of phases, by where they hold; and which of them speaks for a phase of a plan.

Where a phase of a stage gets its factor from, and where a run of it will count.

Factors of own runs on the seconds of a stage's phases.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planners.physics.columns import SHARDING_NAMES
from planners.physics.step import TRAINER_PHASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from planners.domain import ModelShape
    from planners.physics.columns import Column
    from planners.physics.generate import GenerateTime
    from planners.physics.step import StepTime
    from planners.physics.train import TrainTime
    from planners.workload.stage_work import StageWork
    from planners.workload.timing import Timing, TimingContext

ANY_GPU = "*"
"""GPU of a factor that own runs on other GPUs suggest."""


class FactorKey(NamedTuple):
    """Where a factor holds, but for the GPU.  Empty = has no part in the phase."""

    work: str
    """rl_step, sft, pretrain or generate."""
    phase: str
    model_class: str = ""
    """dense or moe with a range of sizes; `host` for the quickstart's policy."""
    engine: str = ""
    """Inference engine of a rollout phase, sharding of a trainer's."""
    sandbox_profile: str = ""
    """Profile of the sandboxes."""
    inputs: str = ""
    """Decisive inputs as the spec has them: those it leaves open, which the factor then stands for, and the seconds of
    a sandbox run that it states, which would count twice if they were corrected later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """Seconds of a phase over what is planned without own runs: exp(log_factor)."""

    place: FactorKey
    gpu: str
    """Canonical name, ANY_GPU, or empty where none takes part."""
    log_factor: float
    log_sd: float
    """Of the next run's ln(actual / planned): what is not known of the factor, and what runs scatter."""
    ratios: Mapping[str, float]
    """Run -> actual over planned."""

    @property
    def key(self) -> tuple[str, ...]:
        """Place and GPU, for sorting and comparing."""
        return (*self.place, self.gpu)


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """The factors in use, under one id."""

    identity: str = ""
    by_place: Mapping[FactorKey, Mapping[str, Factor]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.by_place)

    def find(self, place: FactorKey, gpu: str) -> Factor | None:
        """The factor of this GPU, else the one that runs on others suggest."""
        known = self.by_place.get(place, {})
        return known.get(gpu) or (known.get(ANY_GPU) if gpu else None)

    def moved(self, phase: str, log_step: float) -> Factors:
        """The same with every factor of a phase larger by `log_step`."""
        changed = {
            place: {
                gpu: replace(factor, log_factor=factor.log_factor + log_step * (place.phase == phase))
                for gpu, factor in by_gpu.items()
            }
            for place, by_gpu in self.by_place.items()
        }
        return Factors(identity=self.identity, by_place=changed)


NO_FACTORS = Factors()


def collect(factors: Iterable[Factor]) -> Factors:
    """Factors under the id of their content: the same runs give the same id."""
    rows = sorted(factors, key=lambda factor: factor.key)
    text = "\n".join(f"{row.key} {row.log_factor:.6f} {row.log_sd:.6f} {sorted(row.ratios)}" for row in rows)
    by_place: dict[FactorKey, dict[str, Factor]] = {}
    for row in rows:
        by_place.setdefault(row.place, {})[row.gpu] = row
    return Factors(identity=hashlib.sha256(text.encode()).hexdigest()[:8] if rows else "", by_place=by_place)


WORK = {
    "rlcef": "rl_step",
    "sft": "sft",
    "reward-model": "sft",
    "pretrain": "pretrain",
    "synthesize": "generate",
    "rollout": "generate",
    "evaluate": "generate",
}
"""Stage kind -> the kind of published case, and of own run, that speaks for it."""
SIZES_B = (1, 3, 10, 30, 100, 300)
"""Ends of the size classes, in billions of parameters: within three times of each other, as `Calibration.matching`."""


def place_of(demand: StageWork, phase: str, sharding: str) -> FactorKey | None:
    """The place of a phase; None where nothing can be learned: API calls run at their provider's speed."""
    work = WORK[demand.kind]
    if phase == "sandbox" and demand.sandboxing is not None:
        stated = demand.sandboxing.seconds_stated
        inputs = "" if stated is None else f"{stated:g} s a run"
        return FactorKey(work, phase, sandbox_profile=demand.sandboxing.profile, inputs=inputs)
    if demand.host is not None:
        return FactorKey(work, phase, "host")
    inputs = ", ".join(sorted(name.partition(".")[2] + " unknown" for name in demand.missing))
    if demand.learning is not None and phase in TRAINER_PHASES:
        adapter = " LoRA" if demand.learning.options.lora_rank else ""
        return FactorKey(work, phase, model_class(demand.learning.model) + adapter, sharding, inputs=inputs)
    model = next((serving.model for serving in demand.servings if serving.role == phase), None)
    if phase == "outcome critic":
        model = demand.critic_forward
    if model is None:
        return None
    # evaluations inside a stage have no phase of their own: they generate as the stage does
    named = "generate" if phase == "evaluate" and work != "generate" else phase
    return FactorKey(work, named, model_class(model), demand.servings[0].options.engine, inputs=inputs)


def model_class(model: ModelShape) -> str:
    """`dense 3-10B`, `moe >300B`."""
    billions = model.params_total / 1e9
    low = max((size for size in SIZES_B if size <= billions), default=None)
    high = min((size for size in SIZES_B if size > billions), default=None)
    size = f"<{high}B" if low is None else f">{low}B" if high is None else f"{low}-{high}B"
    return f"{'moe' if model.experts else 'dense'} {size}"


def find_factor(demand: StageWork, phase: str, *, gpu: str, sharding: str) -> Factor | None:
    """The factor of a phase on one fleet."""
    place = place_of(demand, phase, sharding) if demand.factors else None
    return None if place is None else demand.factors.find(place, gpu if uses_gpu(place) else "")


def uses_gpu(place: FactorKey) -> bool:
    """Whether the GPU has a part in the phase."""
    return bool(place.engine)


def factor_column(demand: StageWork, phase: str, at: TimingContext) -> Column:
    """Factors of a phase on every layout of `at`; 1 where own runs say nothing."""
    if not demand.factors:
        return 1.0
    if not at.gpu_names:
        found = find_factor(demand, phase, gpu="", sharding="")
        return 1.0 if found is None else float(np.exp(found.log_factor))
    table = np.zeros((len(at.gpu_names), len(SHARDING_NAMES)))
    for column, sharding in enumerate(SHARDING_NAMES):
        place = place_of(demand, phase, sharding)
        if place is not None and place in demand.factors.by_place:
            known = [demand.factors.find(place, gpu) for gpu in at.gpu_names]
            table[:, column] = [0.0 if found is None else found.log_factor for found in known]
    return np.asarray(np.exp(table[at.layouts.machine, at.layouts.sharding.astype(np.int64)]))


def with_factors(timing: Timing, demand: StageWork, at: TimingContext) -> Timing:
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
