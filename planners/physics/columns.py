"""What the physics knows of a row: model, GPU, layout and work, as columns.

A column is a float64 array of shape (n,) or a float; all broadcast against each other.  A search passes floats for the
model and the work, arrays for GPUs and layouts.  Yes/no columns are 1.0 or 0.0.  Kinds (GPU generation, sharding class,
engine, schedule) are the codes of `codes.py`.  NaN = unknown: the physics uses the fitted default (`known`), and the
band is wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from planners.physics.codes import BASE, COLOCATED, DDP, FSDP, VLLM, ZERO2

Array: TypeAlias = NDArray[np.float64]
Column: TypeAlias = Array | float

UNKNOWN = float("nan")


def known(column: Column, otherwise: Column) -> Column:
    """`column` where it is known, `otherwise` where it is NaN.  Same unit in as out."""
    if isinstance(column, float) and not np.isnan(column):
        return column
    return np.where(np.isnan(column), otherwise, column)


def smooth_max(a: Column, b: Column, power: Column) -> Column:
    """(a^p + b^p)^(1/p): two costs that overlap; p = 1 adds them, large p hides the smaller one."""
    largest = np.maximum(a, b)
    return largest * (1 + (np.minimum(a, b) / (largest + 1e-30)) ** power) ** (1 / power)


def runs_like_fsdp(sharding: Column) -> NDArray[np.bool_]:
    """Trainers on PyTorch's own modules (FSDP, ZeRO-2, DDP): equal launches, packing and overheads."""
    return np.equal(sharding, FSDP) | np.equal(sharding, ZERO2) | np.equal(sharding, DDP)


def by_code(code: Column, choices: Sequence[Column]) -> Column:
    """The choice of each row's code; `choices` in the order of the codes."""
    if np.ndim(code) == 0:
        return choices[int(code)]
    rows = np.asarray(code).astype(np.intp)
    if all(np.ndim(choice) == 0 for choice in choices):
        return np.array(choices, dtype=np.float64)[rows]
    return np.choose(rows, [np.asarray(choice) for choice in choices])


def one(column: Column) -> float:
    """The only value of a column of shape (1,), or the scalar."""
    return float(np.asarray(column).reshape(-1)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelColumns:
    """A transformer as the counts that cost time.  Built by `planners.physics.shape.model_columns`."""

    params_total: Column
    params_matmul: Column
    """Active parameters that multiply (no input embedding); the output head is in."""
    params_expert: Column
    """All routed experts together; 0 for a dense model."""
    params_expert_active: Column
    """Routed experts that one token visits."""
    layers: Column
    attention_layers: Column
    window: Column
    """Tokens that a windowed layer sees; infinite without windows."""
    window_share: Column
    """Of the attention layers, those with a window."""
    state_bytes: Column
    """Per sequence, of linear-attention and state-space layers."""
    hidden: Column
    attention_width: Column
    """Query heads x head size: attention FLOPs per token and layer = 4 * context * width (forward)."""
    decode_attention_width: Column
    """The same while decoding; larger for MLA, which decodes on its absorbed weights."""
    kv_width: Column
    """Elements of K per token and layer; the cache holds twice as many."""
    kv_heads: Column
    """Heads that tensor parallelism can split the cache over."""
    is_mla: Column
    experts: Column
    experts_per_token: Column
    moe_layers: Column
    vocab: Column
    elements_per_token: Column
    """Activations that elementwise kernels touch per token in one forward pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuColumns:
    """A GPU and its links.  Bytes/s in one direction, FLOP/s dense.  Built by `gpu_columns`."""

    generation: Column
    bf16_flops: Column
    fp8_flops: Column
    """The bf16 peak where the GPU has no fp8 units."""
    has_fp8: Column
    hbm_bytes: Column
    hbm_bytes_per_s: Column
    scale_up_bytes_per_s: Column
    scale_out_bytes_per_s: Column
    """Per GPU; replace it by the offer's network where an offer is known."""
    scale_up_domain: Column
    power_ratio: Column
    """Board power over the power of the generation's reference part; 1 where unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How GPUs are split.  `train_gpus = tp * pp * cp * dp`; colocated runs use all GPUs for both sides."""

    gpus: Column
    train_gpus: Column
    rollout_gpus: Column
    gpus_per_node: Column = 8.0
    tp: Column = 1.0
    pp: Column = 1.0
    cp: Column = 1.0
    ep: Column = 1.0
    """Expert-parallel degree; divides ranks that are already counted."""
    dp: Column
    sharding: Column = FSDP
    rollout_gpus_per_replica: Column = 1.0
    rollout_pp: Column = 1.0
    """Pipeline stages of a replica; the rest of its GPUs is tensor parallel."""
    rollout_attention_dp: Column = 0.0
    """1: attention data parallel, experts parallel (MoE serving): each GPU keeps whole KV caches."""
    virtual_stages: Column = UNKNOWN
    """Interleaved pipeline stages per GPU; 1 = plain 1F1B; unknown = the usual interleaving."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainWork:
    """Training of one step.  In RL the tokens come from `RolloutWork`; `seq_len` is the packing width."""

    seq_len: Column
    batch_sequences: Column = 0.0
    """Sequences per optimizer update (supervised work only)."""
    updates_per_step: Column = 1.0
    """Optimizer updates per RL step."""
    epochs: Column = 1.0
    micro_batch_samples: Column = 1.0
    packed: Column = 1.0
    """1: sequences fill the micro batch without padding; 0: padded towards the longest one."""
    fills_seq_len: Column = 0.0
    """1: a packed RL micro batch holds `seq_len` tokens; 0: `micro_batch_samples` sequences."""
    fp8: Column = 0.0
    lora: Column = 0.0
    recompute: Column = 0.0
    """1 full, 0.1 selective, 0 none: the share of the forward pass that is done twice."""
    rl: Column = 0.0
    post_training: Column = 0.0
    """1 for SFT, LoRA, reward models and RL."""
    reference: Column = 0.0
    critic: Column = 0.0
    old_log_prob: Column = 1.0
    """1: the trainer computes the samples' log-probs again; 0: it takes those of the rollout engine."""
    sync_method: Column = UNKNOWN
    """Code of the stated method of weight sync."""
    untuned: Column = 0.0
    """1: nobody tuned layout and kernels for this model and hardware."""
    offload: Column = 0.0
    """1: optimizer states live in host memory and the CPUs update them."""
    exports_weights: Column = 0.0
    """1: an RL trainer measured alone still writes its weights for the engine each step."""
    flops_per_token: Column = UNKNOWN
    """Training FLOPs per token where the publisher states them (unusual architectures)."""
    attention_speed: Column = 1.0
    """Attention kernel against the usual one of the GPU generation (see `rates.attention_speed`)."""
    compiled: Column = UNKNOWN
    """1 where a compiler fuses kernels, 0 where none does."""
    evaluation_share: Column = 0.0
    """Extra time for evaluation passes, as a share of training time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutWork:
    """Generation of one step (RL) or of one job (synthesize, rollout, evaluate).  Tokens are per sample."""

    samples: Column
    prompt_tokens: Column
    max_response_tokens: Column
    response_tokens: Column = UNKNOWN
    """Mean response, all turns together."""
    response_log_sd: Column = UNKNOWN
    """Spread of the log-normal response length; `lengths.log_sd_from_p95` gets it from mean and p95."""
    natural_class: Column = BASE
    """What kind of model writes: decides the mean response where it is unknown."""
    fixed_length: Column = 0.0
    """1: every sample has the mean length (benchmarks)."""
    samples_per_prompt: Column = 1.0
    """Samples that share one prefill of the prompt (prefix cache)."""
    turns: Column = 1.0
    tool_seconds_per_turn: Column = 0.0
    """Seconds in the environment after each turn but the last; the trajectory keeps its slot."""
    tool_tokens_per_turn: Column = 0.0
    """Tokens that a tool's answer adds to the context."""
    prefix_cache_hit: Column = 1.0
    """Share of the earlier context that is not prefilled again when a turn starts."""
    engine: Column = VLLM
    eager: Column = UNKNOWN
    """1: decoding without CUDA graphs.  Unknown: what stacks of that year did."""
    weight_bytes: Column = 2.0
    """Of a parameter outside routed experts."""
    expert_weight_bytes: Column = 2.0
    fp8: Column = 0.0
    """1: fp8 matrix multiplications."""
    kv_bytes: Column = 2.0
    accepted_tokens: Column = 1.0
    """Tokens that an iteration adds to a sequence: above 1 with speculative decoding or multi-token prediction."""
    drafted_tokens: Column = 0.0
    """Tokens that each iteration checks beside the next one."""
    max_live_sequences: Column = 256.0
    """Per replica: the engine's limit, or the stated concurrency."""
    memory_share: Column = 0.9
    """Share of HBM that the engine may use."""
    resident_bytes: Column = 0.0
    """Per GPU, of other models that are served beside this one: judges, reward models."""
    schedule: Column = COLOCATED
    staleness_steps: Column = 0.0
    generated_per_used: Column = 1.0
    """Samples generated per sample trained on: dynamic sampling, discarded stale rollouts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One row per (model, GPU, layout, work)."""

    model: ModelColumns
    gpu: GpuColumns
    layout: Layout
    train: TrainWork
    rollout: RolloutWork
    environment_seconds: Column = 0.0
    """Judging in sandboxes after the last token, per step, that no phase hides."""
    year: Column
    """Year of the software stack; decides how mature it is."""
