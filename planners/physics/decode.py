"""One decode iteration of one replica, and how many sequences the replica can hold.

An iteration makes one token for each of n live sequences with mean context c.  Its time is affine in n and n*c apart
from the experts touched, so the coefficients are computed once per row and the makespan only multiplies.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from planners.physics.codes import TRANSFORMERS, TRTLLM, VLLM
from planners.physics.columns import Array, Column, Workload, known, runs_like_fsdp, smooth_max
from planners.physics.constants import Constants
from planners.physics.lengths import attended
from planners.physics.rates import gpu_rates, link_bytes_per_s
from planners.units import GIB

WORKSPACE_GIB = 4.0
EXCHANGE_WORKSPACE_GIB = 10.0
"""With attention data parallelism: buffers of the token exchange."""
TRANSFORMERS_HOST_PENALTY = 4.0
"""Plain Hugging Face generation: no continuous batching, no graphs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeCosts:
    """Coefficients of an iteration.  Seconds, per replica; n sequences, c tokens of context each.

    bandwidth = weights + experts * (1 - untouched^n) + n * (state + kv * c)
    compute   = n * width * (compute + attention * c), c without what lies outside a layer's window
    t         = smooth_max(bandwidth, compute) + collective + host + n * (per sequence), over the accepted tokens
    """

    weights: Column
    experts: Column
    untouched: Column
    """Share of experts that one token leaves alone."""
    kv: Column
    state: Column
    """Of linear attention, read and written by each token."""
    window: Column
    window_share: Column
    compute: Column
    attention: Column
    collective: Column
    collective_per_sequence: Column
    host: Column
    host_per_sequence: Column
    width: Column
    """Tokens per sequence that an iteration computes: the next one and the drafted ones."""
    accepted: Column
    """Tokens per sequence that it yields."""
    power: Column

    def over_grid(self) -> DecodeCosts:
        """The same with a last axis of length 1, to broadcast against a grid of lengths."""
        return DecodeCosts(**{f.name: v[..., None] if np.ndim(v := getattr(self, f.name)) else v for f in fields(self)})

    def seconds(self, live: Column, context: Column) -> Column:
        """Seconds per token with `live` sequences of mean `context`: one iteration over the tokens that it yields."""
        context = attended(context, self.window, self.window_share)
        bandwidth = self.weights + live * (self.state + context * self.kv)
        if np.any(self.experts):
            bandwidth = bandwidth + self.experts * (1 - self.untouched ** (live * self.width))
        compute = live * self.width * (self.compute + context * self.attention)
        per_sequence = self.collective_per_sequence * self.width + self.host_per_sequence
        fixed = self.collective + self.host + live * per_sequence
        return (smooth_max(bandwidth, compute, self.power) + fixed) / self.accepted

    def parts(self, live: Column, context: Column) -> dict[str, Column]:
        """What an iteration's seconds consist of, each as if nothing overlapped."""
        touched = self.experts * (1 - self.untouched ** (live * self.width))
        context = attended(context, self.window, self.window_share)
        return {
            "HBM bandwidth, weights": self.weights + touched,
            "HBM bandwidth, KV cache": live * (self.state + context * self.kv),
            "compute": live * self.width * (self.compute + context * self.attention),
            "tensor-parallel traffic": self.collective + live * self.width * self.collective_per_sequence,
            "kernel launch": self.host + live * self.host_per_sequence,
        }


def decode_costs(c: Constants, w: Workload) -> DecodeCosts:
    """Coefficients of a decode iteration on `rollout_gpus_per_replica` = R GPUs.

    Weights: dense bytes once (R times with attention data parallelism), each expert that some sequence visits;
    KV: 2 x width x layers x bytes, replicated where heads cannot be split; compute: 2 FLOPs per active parameter
    at `decode_compute` of the raw peak; collectives: two per layer, latency + 4h bytes per sequence (divided by
    R/k with attention data parallelism, where only chosen experts' GPUs get the token).  A pipeline of p stages runs p
    micro-batches at a time, so that an iteration reads the weights as slowly as R/p GPUs do.
    Source: docs/ACCURACY.md; against an iteration-level simulation 1.00-1.03 without queueing.
    """
    m, g, r = w.model, w.gpu, w.rollout
    gpus, stages = w.layout.rollout_gpus_per_replica, w.layout.rollout_pp
    trtllm = np.equal(r.engine, TRTLLM)
    hbm = gpus * g.hbm_bytes_per_s * np.where(trtllm, c.decode_hbm_trtllm, c.decode_hbm_vllm)
    dense = (m.params_total - m.params_expert) * weight_copies(w)
    rates = gpu_rates(c, w)
    rate = gpus * c.decode_compute
    gemm = rate * np.where(np.asarray(r.fp8) > 0, rates.fp8, rates.bf16)
    flops = 2 * (m.params_matmul - m.params_expert_active) + 2 * m.params_expert_active * c.decode_moe_penalty
    across = gpus / stages > g.scale_up_domain
    latency = np.where(across, c.allreduce_scale_out_seconds, c.allreduce_scale_up_seconds)
    host = _host_factor(c, w)
    iteration = np.where(np.asarray(w.train.rl) > 0, c.iteration_trainer_seconds, c.iteration_vllm_seconds)
    return DecodeCosts(
        weights=dense * r.weight_bytes / hbm * stages,
        experts=m.params_expert * r.expert_weight_bytes / hbm * stages,
        untouched=(1 - m.experts_per_token / np.maximum(m.experts, 1.0)) ** (1 / np.asarray(stages)),
        kv=kv_bytes_per_token(w) / hbm,
        state=2 * m.state_bytes / hbm,
        window=m.window,
        window_share=m.window_share,
        compute=flops / gemm,
        attention=4 * m.decode_attention_width * m.attention_layers / (rates.bf16 * rate),
        collective=np.where(gpus > stages, m.layers * 2 * latency, 0.0)
        + np.where(np.asarray(stages) > 1, stages * c.allreduce_scale_out_seconds, 0.0),
        collective_per_sequence=collective_seconds_per_token(w),
        host=host
        * (
            stages * np.where(trtllm, c.iteration_trtllm_seconds, iteration)
            + m.layers * c.decode_layer_seconds
            + m.moe_layers * c.decode_moe_layer_seconds
            + m.layers * c.lora_layer_seconds * w.train.lora
        ),
        host_per_sequence=host * np.where(trtllm, c.sequence_trtllm_seconds, c.sequence_vllm_seconds),
        width=1.0 + np.asarray(r.drafted_tokens),
        accepted=np.asarray(r.accepted_tokens),
        power=c.roofline_power,
    )


def collective_seconds_per_token(w: Workload) -> Column:
    """Bandwidth part of a replica's collectives per token: 2 per layer of 4h bytes (1 - 1/tp), in p stages at once."""
    m, stages = w.model, w.layout.rollout_pp
    gpus = w.layout.rollout_gpus_per_replica / stages
    fewer = np.where(attention_alone(w), gpus / np.maximum(m.experts_per_token, 1.0), 1.0)
    payload = m.layers * 2 * m.hidden * 4 * (1 - 1 / np.maximum(gpus, 1.0))
    return np.where(gpus > 1, payload / link_bytes_per_s(w, gpus) / fewer / stages, 0.0)


def _host_factor(c: Constants, w: Workload) -> Column:
    """Host time against today's vLLM: eager decoding (as stated; else FSDP-class RL stacks up to 2025), older
    engines, plain Hugging Face generation."""
    r = w.rollout
    usual = (
        np.equal(r.engine, VLLM)
        & (np.asarray(w.train.rl) > 0)
        & runs_like_fsdp(w.layout.sharding)
        & (np.asarray(w.year) <= 2025)
    )
    eager = known(r.eager, np.where(usual, 1.0, 0.0))
    age = np.where(np.equal(r.engine, TRTLLM), 1.0, c.engine_drift ** -np.clip(w.year - 2025.0, -2.0, 1.0))
    plain = np.where(np.equal(r.engine, TRANSFORMERS), TRANSFORMERS_HOST_PENALTY, 1.0)
    return np.where(np.asarray(eager) > 0.5, c.eager_penalty, 1.0) * age * plain


def attention_alone(w: Workload) -> NDArray[np.bool_]:
    """Whether each GPU of a replica runs attention for its own sequences (attention data parallelism)."""
    return np.asarray(w.layout.rollout_attention_dp) > 0


def weight_copies(w: Workload) -> Array:
    """Copies of the dense weights in a replica: one per GPU where attention runs alone."""
    return np.where(attention_alone(w), w.layout.rollout_gpus_per_replica, 1.0)


def workspace_bytes(w: Workload) -> Array:
    """What an engine needs on each GPU besides weights and caches."""
    return np.where(attention_alone(w), EXCHANGE_WORKSPACE_GIB, WORKSPACE_GIB) * GIB


def kv_copies(w: Workload) -> Array:
    """GPUs that hold the same part of the KV cache.

    Tensor parallelism splits KV heads; beyond their number, and always for MLA, GPUs hold copies.  Attention data
    parallelism keeps each sequence on one GPU.
    """
    tp = w.layout.rollout_gpus_per_replica / w.layout.rollout_pp
    copies = np.where(np.asarray(w.model.is_mla) > 0, tp, np.maximum(1.0, tp / w.model.kv_heads))
    return np.where(attention_alone(w), 1.0, copies)


def kv_bytes_per_token(w: Workload) -> Column:
    """Bytes of KV cache per token of context over the whole replica, copies on several GPUs counted."""
    m = w.model
    return 2 * m.kv_width * m.attention_layers * w.rollout.kv_bytes * kv_copies(w)


def cache_bytes(w: Workload, context: Column) -> Column:
    """Bytes that one sequence of `context` tokens holds over the whole replica: KV cache and linear-attention state."""
    seen = attended(context, w.model.window, w.model.window_share)
    return kv_bytes_per_token(w) * seen + w.model.state_bytes


def replica_weight_bytes(w: Workload) -> Column:
    """Bytes of weights over the whole replica; dense ones once per GPU with attention data parallelism."""
    dense = (w.model.params_total - w.model.params_expert) * weight_copies(w) * w.rollout.weight_bytes
    return dense + w.model.params_expert * w.rollout.expert_weight_bytes


def live_capacity(w: Workload, context: Column) -> Column:
    """Sequences that a replica can hold at once: the engine's limit or the memory left after the weights, at least 1.

    free = R x (HBM x share - workspace - other models) - weights; divided by the bytes of a sequence.  What cannot hold
    one whole sequence does not fit (`memory.rollout_need`); of a published run, one runs all the same.
    """
    gpus = w.layout.rollout_gpus_per_replica
    usable = w.gpu.hbm_bytes * w.rollout.memory_share - workspace_bytes(w) - w.rollout.resident_bytes
    free = gpus * usable - replica_weight_bytes(w)
    return np.maximum(1.0, np.minimum(w.rollout.max_live_sequences, free / cache_bytes(w, context)))
