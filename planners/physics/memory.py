"""Does it fit?  Bytes per GPU for training and for rollout, by what fills them.  Columns broadcast.

Symbols: P parameters, b·s tokens per micro batch, h hidden, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import COLOCATED, FSDP, MEGATRON, Array, Column, Workload
from planners.physics.decode import kv_bytes_per_token, weight_copies, workspace_bytes
from planners.units import GIB

CONTEXT_BYTES = 3.0 * GIB
"""CUDA context, NCCL buffers, allocator slack of a training GPU.  Assumption; AIConfigurator: 3.5 GB on H100."""

USABLE_SHARE = 0.94
"""Of HBM, before fragmentation makes an allocator fail.  Assumption."""

MIN_LIVE_SEQUENCES = 4.0
"""A rollout replica whose KV cache holds fewer whole sequences than this is rejected: it decodes one at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes per GPU by what fills them, and whether they fit."""

    parts: dict[str, Array]
    available_bytes: Array

    @property
    def total_bytes(self) -> Array:
        """Sum of the parts."""
        return np.asarray(sum(self.parts.values()), dtype=np.float64)

    @property
    def fits(self) -> NDArray[np.bool_]:
        """True where the sum is within what is available."""
        return self.total_bytes <= self.available_bytes


def train_need(w: Workload, *, micro_batch_tokens: Column, offload: Column = 0.0) -> Need:
    """Bytes per training GPU at the worst moment.

    weights 2P, gradients 2P (FSDP) or 4P (Megatron accumulates in fp32), Adam in fp32 12P (ZeRO, arXiv:1910.02054
    section 3.1); fully sharded: all over every GPU plus two gathered layers; else weights and gradients over tp·pp
    (experts also over ep), Adam over dp too. Activations per layer and token: 34h bytes with flash attention, 2h with
    full recomputation plus one layer's 34h (Korthikanti et al., arXiv:2205.05198), over tp with sequence parallelism;
    pp micro batches live at once. Logits: 6V bytes per token. LoRA keeps 2P of frozen weights and nothing else of
    them.  `offload`: 1 moves the Adam states to host memory. Known error: activations within about 30 % (allocator,
    kernels' workspaces); that is what USABLE_SHARE is for.
    """
    m, lay = w.model, w.layout
    shards, data_ranks = lay.tp * lay.pp, lay.dp * lay.cp
    full = np.equal(lay.sharding, FSDP)
    over_experts = shards * np.maximum(1.0, np.minimum(lay.ep, data_ranks))
    split = (m.params_total - m.params_expert) / shards + m.params_expert / over_experts
    whole = m.params_total / (shards * data_ranks)
    trained = 1.0 - w.train.lora
    layer = 2.0 * m.params_total / np.maximum(m.layers, 1.0) / lay.tp
    held = np.where(full, whole, split)
    gradient_bytes = np.where(np.equal(lay.sharding, MEGATRON), 4.0, 2.0)
    tokens = micro_batch_tokens / lay.cp
    per_layer = np.where(np.greater_equal(w.train.recompute, 1.0), 2.0, 34.0) * m.hidden
    kept = per_layer * (m.layers / lay.pp) * np.minimum(lay.pp, 16.0)
    return Need(
        parts={
            "weights": 2.0 * held + np.where(full, 2.0 * layer, 0.0),
            "gradients": gradient_bytes * held * trained,
            "optimizer": 12.0 * trained * (1.0 - offload) * np.where(full, whole, split / data_ranks),
            "activations": np.asarray(tokens * (kept + 34.0 * m.hidden) / lay.tp),
            "logits": np.asarray(6.0 * tokens * m.vocab / lay.tp),
            "context": CONTEXT_BYTES + 0.0 * held,
        },
        available_bytes=USABLE_SHARE * w.gpu.hbm_bytes + 0.0 * held,
    )


def rollout_need(w: Workload) -> Need:
    """Bytes per rollout GPU: weights over the replica, workspace, and KV caches of MIN_LIVE_SEQUENCES longest
    sequences.  Available is what the engine may use (`memory_share`).  Source: PagedAttention, arXiv:2309.06180.
    """
    m, work, replica = w.model, w.rollout, np.asarray(w.layout.rollout_gpus_per_replica)
    dense = m.params_total - m.params_expert
    longest = work.prompt_tokens + work.max_response_tokens
    return Need(
        parts={
            "weights": (dense * weight_copies(w) + m.params_expert) * work.weight_bytes / replica,
            "workspace": workspace_bytes(w) + 0.0 * replica,
            "KV cache": MIN_LIVE_SEQUENCES * longest * kv_bytes_per_token(w) / replica,
        },
        available_bytes=w.gpu.hbm_bytes * work.memory_share + 0.0 * replica,
    )


def host_need_bytes(w: Workload) -> Array:
    """Bytes of host memory per node: colocated runs move 16P over the training GPUs out while they generate, plus 2P
    of weights.

    Source: sleep mode of vLLM with offloaded FSDP states as verl and NeMo RL run it (16 bytes per parameter: 2
    weights, 2 gradients, 12 Adam).
    """
    moved = 16.0 * w.model.params_total / w.layout.train_gpus * w.layout.gpus_per_node
    return np.asarray(np.equal(w.rollout.schedule, COLOCATED) * moved + 2.0 * w.model.params_total, dtype=np.float64)
