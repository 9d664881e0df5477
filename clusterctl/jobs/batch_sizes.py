"""The batches of an RL step on a layout: what a framework's configuration must say for the step that was planned."""

from __future__ import annotations

from dataclasses import dataclass

from clusterctl.errors import SpecError
from clusterctl.jobs.stage_layout import StageLayout
from planners.spec.stages_rl import RlcefStage
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
