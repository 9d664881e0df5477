"""Seconds of one RL step from its phases, and of one optimizer update of supervised work.

Phases take turns on the same GPUs, or run side by side on two pools (`compose_step`).  The last phase is the weight
sync: the trainer's new weights go into the rollout engine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planners.physics.codes import ASYNC, BROADCAST, CHECKPOINT_ENGINE, COLOCATED, FILE, SHARDED
from planners.physics.columns import Array, Column, Workload, smooth_max
from planners.physics.constants import Constants
from planners.physics.generate import NOTHING_GENERATED, GenerateTime, mean_response
from planners.physics.rates import link_bytes_per_s
from planners.physics.train import (
    FORWARD,
    WEIGHT_EXPORT_BYTES_PER_S,
    Batch,
    TrainTime,
    train_time,
    training_passes,
    weight_export_seconds,
)
from planners.physics.workload_rows import generate_distinct

TRAINER_PHASES = {
    "log-prob": "log_prob_seconds",
    "reference": "reference_seconds",
    "value": "value_seconds",
    "train": "train_seconds",
    "critic train": "critic_train_seconds",
    "weight sync": "sync_seconds",
}
"""Phases of the training pool, as people call them, and their seconds in a StepTime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """Seconds of one RL step by phase.  `step_seconds` follows the schedule; phases of one pool add up."""

    exposed_generate_seconds: Column
    """What the schedule leaves of generation: makespan when synchronous, less with staleness."""
    controller_seconds: Column
    """Samples collected, padded and handed to the trainer by the RL controller."""
    log_prob_seconds: Column
    reference_seconds: Column
    value_seconds: Column
    train_seconds: Column
    critic_train_seconds: Column
    sync_seconds: Column
    step_seconds: Column
    trained_tokens: Column
    """Per step, padding included."""
    generate: GenerateTime
    train: TrainTime
    log_prob: TrainTime

    @property
    def trainer_seconds(self) -> Column:
        """All phases of the training pool but the sync."""
        scoring = self.log_prob_seconds + self.reference_seconds + self.value_seconds
        return scoring + self.train_seconds + self.critic_train_seconds


def compose_step(*, schedule: Column, rollout_side: Column, trainer_side: Column, sync: Column) -> Array:
    """Seconds of a step: rollout + trainer + sync.  Two pools some steps apart: smooth_max(rollout, trainer; 8) + sync.

    Two pools in lockstep do not overlap: training waits for the samples of this step, and they for its weights.
    rollout_side: generation as the schedule exposes it, judging, environment; trainer_side: log-probs and training.
    """
    beside = smooth_max(rollout_side, trainer_side, 8.0)
    return np.asarray(np.where(np.equal(schedule, ASYNC), beside, rollout_side + trainer_side) + sync)


def predict(c: Constants, w: Workload, *, grid_points: int = 33) -> StepTime:
    """Seconds of one RL step.

    Generate + environment + trainer phases + sync.  Two pools k steps apart: smooth_max(generate, trainer; 8) + sync,
    where staleness k replaces a share k/(1+k) of the makespan by throughput-limited generation.  `grid_points` 0 leaves
    generation out: the phases of the trainer don't depend on it.
    Error on families left out: docs/ACCURACY.md, kind rl_step.
    """
    generated = generate_distinct(c, w, grid_points=grid_points) if grid_points else NOTHING_GENERATED
    rl = rl_batch(c, w)
    once = replace(rl, tokens=rl.tokens / w.train.epochs, updates=1.0)
    trained = train_time(c, w, rl, training_passes(w))
    forward = train_time(c, w, once, FORWARD)
    reference = forward.seconds * w.train.reference
    value = forward.seconds * w.train.critic
    critic = trained.seconds * w.train.critic
    log_prob = forward.seconds * w.train.old_log_prob
    trainer = trained.seconds + log_prob + reference + value + critic
    sync = sync_seconds(c, w)
    controller = c.controller_sample_seconds * w.rollout.samples * w.rollout.generated_per_used
    stale = w.rollout.staleness_steps
    hidden = np.where(np.equal(w.rollout.schedule, ASYNC), stale / (1 + stale), 0.0)
    fastest = np.minimum(generated.throughput_seconds, generated.makespan_seconds)
    exposed = (1 - hidden) * generated.makespan_seconds + hidden * fastest
    rollout = exposed + w.environment_seconds + controller
    return StepTime(
        exposed_generate_seconds=exposed,
        controller_seconds=controller,
        log_prob_seconds=log_prob,
        reference_seconds=reference,
        value_seconds=value,
        train_seconds=trained.seconds,
        critic_train_seconds=critic,
        sync_seconds=sync,
        trained_tokens=rl.tokens,
        generate=generated,
        train=trained,
        log_prob=forward,
        step_seconds=compose_step(schedule=w.rollout.schedule, rollout_side=rollout, trainer_side=trainer, sync=sync),
    )


def rl_batch(c: Constants, w: Workload) -> Batch:
    """Tokens of one RL step as the trainer sees them.

    A sequence is prompt + response + tool answers; without packing it is padded by `padding_share` of the gap to
    the longest possible one (the batch's own maximum lies below the cap).
    """
    r, train = w.rollout, w.train
    answers = (r.turns - 1) * r.tool_tokens_per_turn
    mean = r.prompt_tokens + mean_response(c, w) + answers
    longest = np.minimum(4 * r.prompt_tokens, 1024.0) + r.max_response_tokens + answers
    share = np.where(np.asarray(w.year) < 2025, 1.0, c.padding_share)
    padding = share * np.maximum(longest - mean, 0.0)
    padded = mean + padding * (1 - train.packed)
    widest = r.prompt_tokens + r.max_response_tokens + answers
    filled = train.micro_batch_samples * padded
    filled = np.where(
        np.asarray(train.fills_seq_len) > 0, np.maximum(filled, np.maximum(train.seq_len, widest)), filled
    )
    return Batch(
        tokens=r.samples * padded * train.epochs,
        mean_sequence=mean,
        updates=train.updates_per_step,
        micro_batch_tokens=filled,
    )


def supervised_seconds(c: Constants, w: Workload) -> TrainTime:
    """Seconds of one optimizer update of pretraining, SFT, LoRA, a reward model or DPO.

    `batch_sequences` full sequences of `seq_len` tokens; tokens/s = batch_sequences x seq_len / seconds.  DPO's frozen
    reference reads each once (arXiv:2305.18290).
    Error on families left out: docs/ACCURACY.md, kinds pretrain and sft.
    """
    train = w.train
    batch = Batch(
        tokens=train.batch_sequences * train.seq_len,
        mean_sequence=train.seq_len,
        updates=1.0,
        micro_batch_tokens=train.micro_batch_samples * train.seq_len,
    )
    update = train_time(c, w, batch, training_passes(w))
    reference = train_time(c, w, batch, FORWARD).seconds * train.reference if np.any(train.reference) else 0.0
    export = weight_export_seconds(w)
    more = {"reference": reference, "weight export": export}
    return TrainTime(seconds=update.seconds + reference + export, parts=update.parts | more)


LORA_SHARE = 0.02
"""Share of the weights that a LoRA adapter is."""
HOST_OFFLOAD_BYTES_PER_S = 20e9
"""Per GPU over PCIe: a colocated trainer moves its states out before generation and in again after it."""


def sync_seconds(c: Constants, w: Workload) -> Column:
    """Seconds of one weight sync.

    fixed + 2 P / rate + what a colocated trainer moves out of the GPUs and in again.  Unless a method is stated, the
    whole model passes one link (the scale-up links when all GPUs are in one domain, else one NIC) and is resharded when
    colocated: measured times grow with the model and not with the number of nodes.  Known error: a method that nobody
    states is up to 10 times slower or faster, so the band is wide.
    """
    colocated = np.equal(w.rollout.schedule, COLOCATED)
    share = np.where(np.asarray(w.train.lora) > 0, LORA_SHARE, 1.0)
    transfer = 2 * w.model.params_total * share / _sync_bytes_per_s(c, w, colocated)
    moved = w.model.params_total * _state_bytes_per_param(w) / (w.layout.gpus * HOST_OFFLOAD_BYTES_PER_S)
    return c.sync_fixed_seconds + transfer + np.where(colocated, moved, 0.0)


def _sync_bytes_per_s(c: Constants, w: Workload, colocated: NDArray[np.bool_]) -> Column:
    gpus, near = w.layout.gpus, np.maximum(w.layout.gpus_per_node, w.gpu.scale_up_domain)
    link = np.where(gpus <= near, link_bytes_per_s(w, gpus), w.gpu.scale_out_bytes_per_s)
    reached = c.sync_nic_share * link
    usual = reached / (np.where(colocated, c.colocated_reshard_factor, 1.0) * c.sync_spread)
    method = np.asarray(w.train.sync_method)
    if np.all(np.isnan(method)):
        return usual
    nodes = np.maximum(w.layout.train_gpus / w.layout.gpus_per_node, 1.0)
    rates = {
        BROADCAST: c.broadcast_bytes_per_s,
        CHECKPOINT_ENGINE: c.checkpoint_engine_bytes_per_s,
        SHARDED: reached * nodes,
        FILE: WEIGHT_EXPORT_BYTES_PER_S,
    }
    for code, rate in rates.items():
        usual = np.where(np.equal(method, code), rate, usual)
    return usual


def _state_bytes_per_param(w: Workload) -> Column:
    """Weights 2, and of what trains gradients 2 and Adam states 12, unless they live in host memory anyway."""
    return 2.0 + (1.0 - w.train.lora) * (2.0 + 12.0 * (1.0 - w.train.offload))
