"""Does it fit?  Bytes per GPU for training and for rollout, by what fills them.  Columns broadcast.

Symbols: P parameters, b·s tokens per micro batch, h hidden, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planners.physics.codes import COLOCATED, DDP, FSDP, MEGATRON, ZERO2
from planners.physics.columns import Array, Column, Workload
from planners.physics.decode import cache_bytes, replica_weight_bytes, workspace_bytes
from planners.units import GIB

CONTEXT_BYTES = 3.0 * GIB
"""CUDA context and NCCL buffers of a training GPU.  Assumption; AIConfigurator: 3.5 GB on H100."""

ALLOCATOR_SLACK = 1.1
"""Memory held over memory in use, for tensors that come and go.  Assumption; weights and states are allocated once."""

FULL_SHARE = 0.98
"""Of HBM, from which a plan warns: activations are known within about 30 %, so a fuller GPU may not hold the run."""

FEW_SEQUENCES = 4.0
"""Longest sequences for which a rollout replica should have room; with less it runs, but slowly, and a plan warns."""

HOST_ADAM_BYTES = 16.0
"""Host memory per parameter of an offloaded Adam: fp32 weight, gradient and two moments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes per GPU by what fills them, and whether they fit."""

    parts: dict[str, Array]
    available_bytes: Array
    few_sequences: NDArray[np.bool_] | bool = False
    """Rollout: true where there is room for less than FEW_SEQUENCES."""

    @property
    def total_bytes(self) -> Array:
        """Sum of the parts."""
        return np.asarray(sum(self.parts.values()), dtype=np.float64)

    @property
    def tight(self) -> NDArray[np.bool_]:
        """True where it fits, but only just: what else fits is better."""
        return np.asarray(self.few_sequences | (self.total_bytes > FULL_SHARE * self.available_bytes))

    @property
    def missing_bytes(self) -> Array:
        """How much the sum is above what is available; negative where it fits."""
        return self.total_bytes - self.available_bytes

    @property
    def fits(self) -> NDArray[np.bool_]:
        """True where the sum is within what is available."""
        return self.total_bytes <= self.available_bytes


def _states(w: Workload) -> dict[str, Array]:
    """Bytes per GPU of weights, gradients and Adam states of one trained model, wherever they live.

    Per parameter: weights 2, gradients 2 (Megatron accumulates in fp32: 4), Adam in fp32 12 (ZeRO, arXiv:1910.02054
    section 3.1).  Each is held once per tp·pp group (experts once per ep of its ranks) or, where the sharding says so,
    divided over all GPUs: FSDP everything, ZeRO-2 gradients and Adam, ZeRO-1 and Megatron Adam, DDP nothing.  What is
    divided over all GPUs is P / (tp·pp·dp·cp), experts or not.  LoRA keeps 2P of frozen weights and nothing else.
    """
    m, lay = w.model, w.layout
    shards, data_ranks = lay.tp * lay.pp, lay.dp * lay.cp
    over_experts = shards * np.maximum(1.0, np.minimum(lay.ep, data_ranks))
    per_group = (m.params_total - m.params_expert) / shards + m.params_expert / over_experts
    divided = m.params_total / (shards * data_ranks)
    trained = 1.0 - w.train.lora
    gradient_bytes = np.where(np.equal(lay.sharding, MEGATRON), 4.0, 2.0) * trained
    return {
        "weights": 2.0 * np.where(np.equal(lay.sharding, FSDP), divided, per_group),
        "gradients": gradient_bytes * np.where(np.isin(lay.sharding, (FSDP, ZERO2)), divided, per_group),
        "optimizer": 12.0 * trained * np.where(np.equal(lay.sharding, DDP), per_group, divided),
    }


def train_need(w: Workload, *, micro_batch_tokens: Column) -> Need:
    """Bytes per training GPU at the worst moment.

    States of the policy and, with PPO, of a critic of the same shape; 2P of a frozen reference (LoRA's is its own
    base); where FSDP shards the weights, two gathered layers and the gradients of one.  Activations per layer and
    token: 34h bytes with flash attention, 2h with full recomputation plus one layer's 34h (Korthikanti et al.,
    arXiv:2205.05198), over tp with sequence parallelism; pp micro batches live at once.  Logits: 6V bytes per token.
    Known error: activations within about 30 % (kernels' workspaces).
    """
    m, lay = w.model, w.layout
    states = _states(w)
    states["optimizer"] = states["optimizer"] * (1.0 - w.train.offload)
    layer = 2.0 * m.params_total / np.maximum(m.layers, 1.0) / lay.tp
    tokens = ALLOCATOR_SLACK * micro_batch_tokens / lay.cp
    per_layer = np.where(np.greater_equal(w.train.recompute, 1.0), 2.0, 34.0) * m.hidden
    kept = per_layer * (m.layers / lay.pp) * np.minimum(lay.pp, 16.0)
    parts = states | {
        "critic": np.asarray(w.train.critic * sum(states.values())),
        "reference": np.asarray(w.train.reference * (1.0 - w.train.lora) * states["weights"]),
        "gathered layers": np.where(np.equal(lay.sharding, FSDP), (3.0 - w.train.lora) * layer, 0.0),
        "activations": np.asarray(tokens * (kept + 34.0 * m.hidden) / lay.tp),
        "logits": np.asarray(6.0 * tokens * m.vocab / lay.tp),
        "context": np.asarray(CONTEXT_BYTES),
    }
    used = {name: part for name, part in parts.items() if name in states or np.any(part)}
    return Need(parts=used, available_bytes=w.gpu.hbm_bytes + 0.0 * states["weights"])


def rollout_need(w: Workload) -> Need:
    """Bytes per rollout GPU: weights over the replica, workspace, the other models that are served there, and KV caches
    of FEW_SEQUENCES longest sequences, or of as many as there is room for, at least one.  Available is what the engine
    may use (`memory_share`).  Source: PagedAttention, arXiv:2309.06180.
    """
    work, replica = w.rollout, np.asarray(w.layout.rollout_gpus_per_replica)
    parts = {"weights": replica_weight_bytes(w) / replica, "workspace": workspace_bytes(w) + 0.0 * replica}
    if np.any(work.resident_bytes):
        parts["other models"] = work.resident_bytes + 0.0 * replica
    need = Need(parts=parts, available_bytes=w.gpu.hbm_bytes * work.memory_share + 0.0 * replica)
    each = longest_sequence_bytes(w)
    held = np.clip(np.floor(-need.missing_bytes / each), 1.0, FEW_SEQUENCES)
    return replace(need, parts=parts | {"KV cache": held * each}, few_sequences=held < FEW_SEQUENCES)


def longest_sequence_bytes(w: Workload) -> Array:
    """Bytes per rollout GPU of the cache of one sequence of the longest length."""
    longest = w.rollout.prompt_tokens + w.rollout.max_response_tokens
    return np.asarray(cache_bytes(w, longest) / np.asarray(w.layout.rollout_gpus_per_replica), dtype=np.float64)


def host_need_bytes(w: Workload) -> Array:
    """Bytes of host memory per node.

    Colocated RL moves out what the trainer and the served models hold while the other side works: weights and Adam
    states of the policy and the critic, the reference, the judges (sleep mode of vLLM with offloaded FSDP states, as
    verl and NeMo RL run it; gradients are dropped), and the node's share of 2P of the weights on their way to the
    engine: they go in buckets, no node gathers them all.  Offloaded Adam states stay there, with gradients in fp32
    (arXiv:2101.06840).
    """
    states, offload = _states(w), w.train.offload
    gpus = np.minimum(w.layout.gpus_per_node, w.layout.train_gpus)
    models = 1.0 + w.train.critic
    reference = w.train.reference * (1.0 - w.train.lora) * states["weights"]
    moved = (states["weights"] + (1.0 - offload) * states["optimizer"]) * models + reference
    colocated = np.equal(w.rollout.schedule, COLOCATED) & (np.asarray(w.train.rl) > 0)
    out = np.where(colocated, gpus * moved + w.layout.gpus_per_node * w.rollout.resident_bytes, 0.0)
    kept = HOST_ADAM_BYTES / 12.0 * offload * states["optimizer"] * models * gpus
    sent = 2.0 * w.model.params_total * w.train.rl * gpus / w.layout.train_gpus
    return np.asarray(out + kept + sent)
