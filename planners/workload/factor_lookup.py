"""Which factor applies to a phase of a stage, and to which key a run of that phase will add."""

from __future__ import annotations

import numpy as np

from planners.domain import ModelShape
from planners.physics.codes import SHARDING_NAMES
from planners.physics.columns import Column
from planners.physics.step import TRAINER_PHASES
from planners.workload.factors import ANY_GPU, Factor, FactorKey
from planners.workload.layouts import TimingContext
from planners.workload.stage_work import StageWork

WORK = {
    "rlcef": "rl_step",
    "sft": "sft",
    "reward-model": "sft",
    "dpo": "sft",
    "pretrain": "pretrain",
    "synthesize": "generate",
    "rollout": "generate",
    "evaluate": "generate",
}
"""Stage kind -> kind of the published cases and of the earlier runs that it is compared with."""
SIZES_B = (1, 3, 10, 30, 100, 300)
"""Ends of the size classes, in billions of parameters: within three times of each other, as `Calibration.matching`."""


def place_of(work: StageWork, phase: str, sharding: str) -> FactorKey | None:
    """The key of a phase; None where nothing can be learned: API calls run at the speed of their provider."""
    kind = WORK[work.kind]
    if phase == "sandbox" and work.sandbox_work is not None:
        stated = work.sandbox_work.seconds_stated
        inputs = "" if stated is None else f"{stated:g} s a run"
        return FactorKey(kind, phase, sandbox_profile=work.sandbox_work.profile, inputs=inputs)
    if work.host is not None:
        return FactorKey(kind, phase, "host")
    inputs = ", ".join(sorted(name.partition(".")[2] + " unknown" for name in work.missing))
    if work.training is not None and phase in TRAINER_PHASES:
        adapter = " LoRA" if work.training.options.lora_rank else ""
        return FactorKey(kind, phase, model_class(work.training.model) + adapter, sharding, inputs=inputs)
    model = next((generation.model for generation in work.generations if generation.role == phase), None)
    if phase == "outcome critic":
        model = work.critic_forward
    if model is None:
        return None
    # evaluations inside a stage have no phase of their own: they generate as the stage does
    named = "generate" if phase == "evaluate" and kind != "generate" else phase
    return FactorKey(kind, named, model_class(model), work.generations[0].options.engine, inputs=inputs)


def model_class(model: ModelShape) -> str:
    """`dense 3-10B`, `moe >300B`."""
    billions = model.params_total / 1e9
    low = max((size for size in SIZES_B if size <= billions), default=None)
    high = min((size for size in SIZES_B if size > billions), default=None)
    size = f"<{high}B" if low is None else f">{low}B" if high is None else f"{low}-{high}B"
    return f"{'moe' if model.experts else 'dense'} {size}"


def find_factor(work: StageWork, phase: str, *, gpu: str, sharding: str) -> Factor | None:
    """The factor of a phase on one fleet."""
    place = place_of(work, phase, sharding) if work.factors else None
    return None if place is None else work.factors.find(place, gpu if uses_gpu(place) else "")


def uses_gpu(place: FactorKey) -> bool:
    """Whether the GPU has a part in the phase."""
    return bool(place.engine)


def factor_column(work: StageWork, phase: str, at: TimingContext) -> Column:
    """Factors of a phase on every layout of `at`; 1 where no run gives one."""
    if not work.factors:
        return 1.0
    if not at.gpu_names:
        found = find_factor(work, phase, gpu="", sharding="")
        return 1.0 if found is None else float(np.exp(found.log_factor))
    table = np.zeros((len(at.gpu_names), len(SHARDING_NAMES)))
    for column, sharding in enumerate(SHARDING_NAMES):
        place = place_of(work, phase, sharding)
        if place is not None:
            by_gpu = work.factors.by_gpu(place)
            known = [by_gpu.get(gpu) or by_gpu.get(ANY_GPU) for gpu in at.gpu_names]
            table[:, column] = [0.0 if found is None else found.log_factor for found in known]
    return np.asarray(np.exp(table[at.layouts.machine, at.layouts.sharding.astype(np.int64)]))
