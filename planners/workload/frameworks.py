"""What RL frameworks do where a spec or a published case does not say it: eager, packing, log-probs, weight sync,
sharding.

Read in each project's default configuration and documentation, late 2025; a stated field wins.
"""

from __future__ import annotations

from dataclasses import dataclass

from planners.spec.stage_options import Sharding
from planners.spec.stages_rl import Framework, OldLogProb, RlcefStage, SyncMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkDefaults:
    """None = it depends on the run, and the usual rule decides."""

    eager: bool | None = None
    packing: bool | None = None
    old_log_prob: OldLogProb = "recompute"
    sync_method: SyncMethod | None = None
    sharding: Sharding = "auto"
    """How it trains where nothing is stated; auto: as fits best, it can do both."""


FRAMEWORKS: dict[Framework, FrameworkDefaults] = {
    "verl": FrameworkDefaults(),
    "nemo-rl": FrameworkDefaults(eager=False, packing=True),
    "slime": FrameworkDefaults(eager=False, packing=True),
    "skyrl": FrameworkDefaults(eager=True, packing=True, sync_method="broadcast"),
    "prime-rl": FrameworkDefaults(eager=False, packing=True, old_log_prob="rollout"),
    "trl": FrameworkDefaults(eager=False, packing=False, sync_method="broadcast", sharding="fsdp"),
    "openrlhf": FrameworkDefaults(eager=False, packing=True, sync_method="broadcast", sharding="zero3"),
}
"""Sources: verl/trainer/config (packing and CUDA graphs by script and version); NeMo-RL
examples/configs/grpo_math_1B.yaml (sequence_packing enabled, enforce_eager False); slime docs/en/get_started/usage.md;
prime-rl docs (packed batches, log-probs of the inference engine); from memory: SkyRL (enforce_eager true by default),
TRL's GRPOTrainer (padded batches, one parameter at a time to vLLM), OpenRLHF (--packing_samples, NCCL broadcast)."""


def as_the_framework_runs_it(stage: RlcefStage) -> RlcefStage:
    """The stage with what its framework decides, where nothing else is stated."""
    if stage.framework is None:
        return stage
    usual = FRAMEWORKS[stage.framework]
    rollout, train = stage.rollout, stage.train
    whole = train.sharding == "auto" and max(train.tp or 1, train.pp or 1, train.ep or 1) == 1
    changes = {
        "rollout": rollout.model_copy(update={"eager": usual.eager if rollout.eager is None else rollout.eager}),
        "train": train.model_copy(
            update={
                "packing": usual.packing if train.packing is None else train.packing,
                "sharding": usual.sharding if whole else train.sharding,
            }
        ),
        "old_log_prob": stage.old_log_prob or usual.old_log_prob,
        "sync_method": stage.sync_method or usual.sync_method,
    }
    return stage.model_copy(update=changes)
