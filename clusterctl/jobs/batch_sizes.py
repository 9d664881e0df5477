"""The batches of a step on a layout: what a framework's configuration must say for the step that was planned."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clusterctl.errors import SpecError
from clusterctl.jobs.stage_layout import StageLayout
from planners.plan.value import StagePlan
from planners.spec.run_spec import Stage
from planners.spec.stages_data import DpoStage, PretrainStage, RewardModelStage, SftStage
from planners.spec.stages_rl import RlcefStage
from planners.workload.supervised import usual_batch
from planners.workload.work_columns import MICRO_BATCH_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizes:
    """Sequences of one RL step."""

    samples: int
    """Generated and trained on."""
    mini_batch: int
    """Of one optimizer update, on all ranks."""
    micro_batch: int
    """Of one forward pass, on one rank."""
    accumulation: int
    """Micro batches per update and rank."""
    longest_tokens: int
    """Prompt and answer at their caps."""


def batch_sizes(stage: RlcefStage, layout: StageLayout) -> BatchSizes:
    """Sizes that divide evenly.  Raises SpecError where the data-parallel ranks can't share an update."""
    samples = stage.prompts_per_step * stage.samples_per_prompt
    mini_batch, odd = divmod(samples, stage.optimizer_steps_per_step)
    ranks = max(layout.dp, 1)
    if odd or mini_batch % ranks:
        near = -(-stage.prompts_per_step // ranks) * ranks * stage.optimizer_steps_per_step
        raise SpecError(
            f"stage `{stage.name}`: {samples:,} samples in {stage.optimizer_steps_per_step} updates are no whole "
            f"number for each of {ranks} data-parallel ranks",
            hint=f"prompts_per_step: {near} would be, or other degrees under `train`",
        )
    share = mini_batch // ranks
    most = min(stage.train.micro_batch_samples or _usual(stage, layout), share)
    micro_batch = next(size for size in range(most, 0, -1) if share % size == 0)
    return BatchSizes(
        samples=samples,
        mini_batch=mini_batch,
        micro_batch=micro_batch,
        accumulation=share // micro_batch,
        longest_tokens=_longest_prompt(stage) + stage.max_response_tokens,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSizes:
    """Sequences of one optimizer update of a stage that trains on data, and how many updates there are."""

    steps: int
    batch: int
    """Of one update, on all ranks."""
    micro_batch: int
    accumulation: int


Supervised = SftStage | PretrainStage | RewardModelStage | DpoStage


def update_sizes(stage: Supervised, planned: StagePlan, layout: StageLayout) -> UpdateSizes:
    """Sizes that divide evenly; the updates of the plan where sequences are packed, else those of the samples.

    Where no batch is stated, the usual one is rounded up to what the ranks share.  Raises SpecError where the
    data-parallel ranks can't share an update.
    """
    ranks = max(layout.dp, 1)
    planned_batch = stage.global_batch_samples or round(usual_batch(stage.kind, float(stage.seq_len)))
    batch = stage.global_batch_samples or math.ceil(planned_batch / ranks) * ranks
    share, odd = divmod(batch, ranks)
    if odd or not share:
        raise SpecError(
            f"stage `{stage.name}`: {batch:,} sequences are no whole number for each of {ranks} data-parallel ranks",
            hint=f"global_batch_samples: {-(-batch // ranks) * ranks} would be, or other degrees under `train`",
        )
    most = min(round(float(planned.layout.get("micro batch", share))), share) or 1
    micro_batch = next(size for size in range(most, 0, -1) if share % size == 0)
    packed = stage.kind in ("sft", "pretrain") and layout.train_nodes > 0
    samples = None if packed else stage.samples
    steps = math.ceil(samples * stage.epochs / batch) if samples else math.ceil(planned.units * planned_batch / batch)
    return UpdateSizes(steps=max(steps, 1), batch=batch, micro_batch=micro_batch, accumulation=share // micro_batch)


def stage_sizes(stage: Stage, planned: StagePlan, layout: StageLayout) -> BatchSizes | UpdateSizes | None:
    """The sizes of a stage that trains.  Raises SpecError as they do."""
    if isinstance(stage, RlcefStage):
        return batch_sizes(stage, layout)
    return update_sizes(stage, planned, layout) if isinstance(stage, Supervised) else None


def _usual(stage: RlcefStage, layout: StageLayout) -> int:
    """What plans take where nothing is stated: one sequence with Megatron, a number of tokens with others; a group
    without GPUs."""
    if layout.sharding == "megatron":
        return 1
    if not layout.sharding:
        return stage.samples_per_prompt
    mean = stage.response_tokens.mean if stage.response_tokens else stage.max_response_tokens / 2
    return max(1, round(MICRO_BATCH_TOKENS / max(stage.prompt_tokens.mean + mean, 1.0)))


def _longest_prompt(stage: RlcefStage) -> int:
    """Stated, else four times the mean: the cap that engines and data loaders are told."""
    spread = stage.prompt_tokens
    return round(spread.max or max(4 * spread.mean, 1024))
