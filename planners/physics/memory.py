"""Does it fit?  Bytes per GPU for training and for rollout, by what fills them.  Columns broadcast.

Symbols: P parameters, b·s tokens per micro batch, h hidden, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from planners.physics.workload import FSDP, MEGATRON, GpuColumns, Layout, ModelColumns, RolloutWork, TrainWork
from planners.units import GIB

if TYPE_CHECKING:
    from planners.physics.columns import Column

Array = NDArray[np.float64]

CONTEXT_BYTES = 3.0 * GIB
"""CUDA context, NCCL buffers, allocator slack on a training GPU.  Assumption; AIConfigurator reserves 3.5 GB on
H100."""

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


def train_need(
    model: ModelColumns,
    gpu: GpuColumns,
    layout: Layout,
    work: TrainWork,
    *,
    micro_batch_tokens: Column,
    offload: Column = 0.0,
) -> Need:
    """Bytes per training GPU at the worst moment.

    weights 2P, gradients 2P (FSDP) or 4P (Megatron accumulates in fp32), Adam in fp32 12P (ZeRO, arXiv:1910.02054
    section 3.1);
    fully sharded: all over every GPU plus two gathered layers; else weights and gradients over tp·pp (experts also
    over ep), Adam over dp too.
    Activations per layer and token: 34h bytes with flash attention, 2h with full recomputation plus one layer's 34h
    (Korthikanti et al., arXiv:2205.05198), over tp with sequence parallelism; pp micro batches live at once. Logits:
    6V bytes per token.
    LoRA keeps 2P of frozen weights and nothing else of them. `offload`: 1 moves the Adam states to host memory.
    Known error: activations within about 30 % (allocator, kernels' workspaces); that is what USABLE_SHARE is for.
    """
    shards = np.asarray(layout.tp, dtype=np.float64) * layout.pp
    experts = np.asarray(model.params_expert, dtype=np.float64)
    dense = model.params_total - experts
    data_ranks = np.asarray(layout.dp, dtype=np.float64) * layout.cp
    full = layout.sharding == FSDP
    split = dense / shards + experts / (shards * np.maximum(1.0, np.minimum(layout.ep, data_ranks)))
    whole = model.params_total / (shards * data_ranks)
    trained = 1.0 - np.asarray(work.lora, dtype=np.float64)
    layer = 2.0 * model.params_total / np.maximum(model.layers, 1.0) / layout.tp
    held = np.where(full, whole, split)
    gradient_bytes = np.where(layout.sharding == MEGATRON, 4.0, 2.0)
    tokens = np.asarray(micro_batch_tokens, dtype=np.float64) / layout.cp
    layers_here = np.asarray(model.layers, dtype=np.float64) / layout.pp
    kept = (
        np.where(np.asarray(work.recompute) >= 1.0, 2.0, 34.0)
        * model.hidden
        * layers_here
        * np.minimum(layout.pp, 16.0)
    )
    return Need(
        parts={
            "weights": 2.0 * held + np.where(full, 2.0 * layer, 0.0),
            "gradients": gradient_bytes * held * trained,
            "optimizer": 12.0 * trained * (1.0 - offload) * np.where(full, whole, split / data_ranks),
            "activations": tokens * (kept + 34.0 * model.hidden) / layout.tp,
            "logits": 6.0 * tokens * model.vocab / layout.tp,
            "context": np.asarray(CONTEXT_BYTES) + 0.0 * held,
        },
        available_bytes=USABLE_SHARE * np.asarray(gpu.hbm_bytes, dtype=np.float64) + 0.0 * held,
    )


def rollout_need(model: ModelColumns, gpu: GpuColumns, layout: Layout, work: RolloutWork) -> Need:
    """Bytes per rollout GPU: weights over the replica, workspace, and KV caches of MIN_LIVE_SEQUENCES longest
    sequences.

    KV per token: 2 · kv_width · attention_layers · kv_bytes, repeated where tensor parallelism exceeds the KV heads
    (and for MLA).
    Available is what the engine may use (`memory_share`). Source: PagedAttention, arXiv:2309.06180.
    """
    replica = np.asarray(layout.rollout_gpus_per_replica, dtype=np.float64)
    alone = np.asarray(layout.rollout_attention_dp, dtype=np.float64)
    dense = model.params_total - model.params_expert
    copies = np.where(alone > 0, replica, 1.0)
    repeated = np.where(
        alone > 0,
        1.0,
        np.where(np.asarray(model.is_mla) > 0, replica, np.maximum(1.0, replica / model.kv_heads)),
    )
    longest = np.asarray(work.prompt_tokens, dtype=np.float64) + work.max_response_tokens
    per_token = 2.0 * model.kv_width * model.attention_layers * work.kv_bytes * repeated
    return Need(
        parts={
            "weights": (dense * copies + model.params_expert) * work.weight_bytes / replica,
            "workspace": np.where(alone > 0, 10.0, 4.0) * GIB + 0.0 * replica,
            "KV cache": MIN_LIVE_SEQUENCES * longest * per_token / replica,
        },
        available_bytes=np.asarray(gpu.hbm_bytes, dtype=np.float64) * work.memory_share + 0.0 * replica,
    )


def host_need_bytes(model: ModelColumns, layout: Layout, *, colocated: Column, gpus_per_node: Column) -> Array:
    """Bytes of host memory per node: colocated runs move 16P over the training GPUs out while they generate, plus 2P
    of weights.

    Source: sleep mode of vLLM with offloaded FSDP states as verl and NeMo RL run it (16 bytes per parameter: 2
    weights, 2 gradients, 12 Adam).
    """
    moved = 16.0 * np.asarray(model.params_total, dtype=np.float64) / layout.train_gpus * gpus_per_node
    return np.asarray(np.asarray(colocated) * moved + 2.0 * model.params_total, dtype=np.float64)
