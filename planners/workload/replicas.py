"""The GPUs of a rollout replica: how many, how they split the model, what they hold, and how many sequences at once."""

from __future__ import annotations

import numpy as np

from planners.physics.codes import COLOCATED, ENGINES, TRTLLM
from planners.physics.columns import Array, Column, one
from planners.physics.decode import WORKSPACE_GIB
from planners.physics.shape import model_columns
from planners.spec.shapes import tensor_parallel_degrees
from planners.units import GIB
from planners.workload.layouts import TimingContext
from planners.workload.stage_work import Generation, StageWork
from planners.workload.weight_formats import served_weights

LIVE_SEQUENCES_RL = 1024.0
LIVE_SEQUENCES_SERVING = 256.0
LIVE_SEQUENCES_TRTLLM = 2048.0

FULL_GPU_SEQUENCES = 32.0
"""Sequences per GPU from which engines serve mixtures of experts attention data parallel: weights are then read for
enough tokens, and KV caches need no copies.  Assumption: the guides of SGLang and TensorRT-LLM name no number."""

UNLIMITED_TP = 1024
"""Of a model whose heads are unknown."""


def replica_gpus(at: TimingContext, generation: Generation) -> Array:
    """GPUs per replica: as stated, else the candidate's, doubled until the weights fill 0.8 of the memory at most (0.6
    beside their trainer, 0.3 beside another model); above what tensor parallelism reaches only where that is needed."""
    pipeline = float(generation.options.pp or 1)
    if generation.options.tp is not None:
        return np.minimum(generation.options.tp * pipeline, at.layouts.rollout_gpus)
    beside_trainer = (at.layouts.schedule == COLOCATED) & generation.policy
    share = 0.3 if generation.is_beside_another else np.where(beside_trainer, 0.6, 0.8)
    least = weight_bytes(generation) / (share * np.asarray(at.gpu.hbm_bytes))
    needed = 2.0 ** np.ceil(np.log2(np.maximum(least, 1.0)))
    limit = np.minimum(at.gpu.scale_up_domain, widest_tp(generation))
    wanted = np.where(needed > limit, at.layouts.replica, np.minimum(at.layouts.replica, limit * pipeline))
    return np.minimum(np.maximum(np.maximum(wanted, needed), pipeline), at.layouts.rollout_gpus)


def widest_tp(generation: Generation) -> float:
    """The largest power of two that tensor parallelism of this model may reach."""
    degrees = tensor_parallel_degrees(generation.model)
    return float(max((d for d in degrees if d & (d - 1) == 0), default=UNLIMITED_TP))


def pipeline_stages(at: TimingContext, generation: Generation, replica: Array) -> Column:
    """As stated; 1 with a stated tp; else as many as tensor parallelism leaves of the replica."""
    options = generation.options
    if options.pp is not None:
        return np.minimum(float(options.pp), replica)
    if options.tp is not None:
        return 1.0
    stages = np.maximum(replica / np.minimum(at.gpu.scale_up_domain, widest_tp(generation)), 1.0)
    return np.where(np.asarray(attention_alone(at, generation, replica)) > 0, 1.0, stages)


def attention_alone(at: TimingContext, generation: Generation, replica: Array) -> Column:
    """1 where each GPU of a replica runs attention for its own sequences and experts are spread over all.

    As stated; else mixtures of experts do it when a stated tp cannot divide the heads, when a stated concurrency fills
    the GPUs, and with TensorRT-LLM when nothing limits the concurrency.
    """
    options = generation.options
    if options.attention_dp is not None or not generation.model.experts:
        return float(bool(options.attention_dp))
    most = max(tensor_parallel_degrees(generation.model), default=UNLIMITED_TP)
    if options.concurrency is None and generation.concurrency is None:
        full = np.full(len(replica), ENGINES[options.engine] == TRTLLM)
    else:
        replicas = _replicas(at, replica)
        live = np.fmin(options.concurrency or np.inf, (generation.concurrency or np.inf) / replicas)
        full = np.asarray(live >= FULL_GPU_SEQUENCES * replica)
    indivisible = (most % replica > 0) & (options.tp is not None)
    return np.where(full | indivisible, 1.0, 0.0)


def _replicas(at: TimingContext, replica: Array) -> Array:
    """How many replicas of so many GPUs there are; one at the least."""
    return np.maximum(np.floor(at.layouts.rollout_gpus / replica), 1.0)


def live_limit(generation: Generation, at: TimingContext, replica: Array, engine: float, *, rl: bool) -> Column:
    """Sequences at once per replica: as stated, for a replica or for all; else the engine's usual limit (max_num_seqs
    of the calibrated stacks), for each GPU where attention runs alone.  Trajectories may not exceed their sandboxes."""
    per_replica: Column = np.inf
    if generation.options.concurrency is not None:
        per_replica = float(generation.options.concurrency)
    elif generation.concurrency is None:
        usual = LIVE_SEQUENCES_RL if rl else LIVE_SEQUENCES_SERVING
        usual = LIVE_SEQUENCES_TRTLLM if engine == TRTLLM else usual
        per_replica = usual * np.where(np.asarray(attention_alone(at, generation, replica)) > 0, replica, 1.0)
    replicas = _replicas(at, replica)
    total = np.fmin(generation.concurrency or np.inf, at.slots if generation.turns > 1 else np.inf)
    return np.maximum(np.fmin(per_replica, total / replicas), 1.0)


def weight_bytes(generation: Generation) -> float:
    """Of all weights, at the precision in which they are served."""
    model = model_columns(generation.model)
    held = served_weights(generation.model, generation.options.precision, policy=generation.policy)
    return one((model.params_total - model.params_expert) * held.dense + model.params_expert * held.expert)


def resident_bytes(generation: Generation, work: StageWork, at: TimingContext) -> Column:
    """Per rollout GPU, weights and workspaces of the models that an RL step serves beside `generation`.

    Judges and the outcome critic stay loaded from step to step; stages that only generate load one model at a time.
    """
    served = (*work.generations, work.outcome_critic) if work.training is not None else ()
    others = [other for other in served if other is not None and other.role != generation.role]
    return sum((weight_bytes(other) / replica_gpus(at, other) + WORKSPACE_GIB * GIB for other in others), 0.0)
