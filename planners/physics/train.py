"""Training time: matrix multiplications, attention, elementwise traffic, collectives, launches, stack overhead.

Legend: T tokens of one step over all GPUs, s mean sequence (tokens), U optimizer updates, G training GPUs.
The structure, what each term is worth and what was tried instead: docs/ACCURACY.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planners.physics.codes import BLACKWELL, DDP, FSDP, MEGATRON, ZERO1, ZERO2
from planners.physics.columns import Column, Workload, known, runs_like_fsdp, smooth_max
from planners.physics.constants import Constants
from planners.physics.lengths import attended_causally
from planners.physics.rates import COMPILED_HOST_SPEED, COMPILED_TRAFFIC, gpu_rates, link_bytes_per_s
from planners.physics.shape import PCIE_BYTES_PER_S

WEIGHT_EXPORT_BYTES_PER_S = 2e9
WEIGHT_EXPORT_FIXED_SECONDS = 0.5
"""An RL trainer that hands its weights to the engine through files: about 8 GB in 4 s (Prime-RL's tables)."""


HOST_ADAM_BYTES = 28.0
"""DRAM traffic of Adam on the CPU per parameter: reads weight, gradient and both moments in fp32, writes all but the
gradient (ZeRO-Offload, arXiv:2101.06840)."""
HOST_MEMORY_BYTES_PER_S = 100e9
"""DRAM bandwidth of a node that a CPU optimizer reaches.  Assumption: a sixth of the peak of two sockets with eight
channels of DDR5-4800; one measured stack was 2-4 times slower still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """How often each kind of work of one forward pass is done."""

    linear: Column
    attention: Column
    elementwise: Column
    backward: bool


FORWARD = Passes(linear=1.0, attention=1.0, elementwise=1.0, backward=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainTime:
    """Seconds of one step's pass over its tokens, and what they consist of."""

    seconds: Column
    parts: dict[str, Column]
    """Seconds by cause, each as if nothing overlapped; together more than `seconds` where they overlap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step trains on."""

    tokens: Column
    mean_sequence: Column
    updates: Column
    micro_batch_tokens: Column


def training_passes(w: Workload) -> Passes:
    """Forward + backward: 3 x the forward FLOPs of the weights (2 x with LoRA: no weight gradient), 3.5 x those of
    attention (backward recomputes the scores), plus one more forward when activations are recomputed."""
    train = w.train
    full = np.where(np.asarray(train.recompute) > 0.5, 1.0, 0.0)
    some = np.where(np.asarray(train.recompute) > 0.0, 1.0, 0.0)
    return Passes(
        linear=3.0 - train.lora + full, attention=3.5 + some, elementwise=3.0 + train.recompute, backward=True
    )


def train_time(c: Constants, w: Workload, batch: Batch, passes: Passes) -> TrainTime:
    """Seconds to pass `batch` through the trainer.

    core = (linear + attention + elementwise + tp + cp + expert traffic) / G, then launches (as a smooth maximum),
    the pipeline bubble 1 + (pp - 1) / (micro batches x virtual stages), data-parallel traffic (smooth maximum),
    stack and straggler factors, and a fixed optimizer time per update.  Known error: ACCURACY.md; largest for MoE
    in RL trainers and for stacks with unknown dispatchers.
    """
    m, lay, train = w.model, w.layout, w.train
    moe_rl = np.where((np.asarray(train.rl) > 0) & (np.asarray(m.experts) > 0), c.moe_rl_penalty, 1.0)
    work = _compute_seconds(c, w, batch, passes, moe_rl) | _traffic_seconds(c, w, batch, passes, moe_rl)
    per_gpu = {name: seconds / lay.train_gpus for name, seconds in work.items()}
    core = sum(per_gpu.values())

    micro_batches = np.maximum(1.0, batch.tokens / batch.updates / lay.dp / batch.micro_batch_tokens)
    launches = (
        batch.updates
        * micro_batches
        * passes.elementwise
        / (lay.pp * np.where(np.equal(train.compiled, 1.0), COMPILED_HOST_SPEED, 1.0))
    )
    per_layer = np.where(runs_like_fsdp(lay.sharding), c.launch_fsdp_seconds, c.launch_megatron_seconds)
    dense_launch = launches * m.layers * per_layer
    moe_launch = launches * m.moe_layers * c.launch_moe_seconds * moe_rl
    core = smooth_max(core, dense_launch, 3.0) + moe_launch

    bubble = core * (lay.pp - 1) / (micro_batches * _virtual_stages(c, w))
    data_parallel = _data_parallel_seconds(c, w, batch, micro_batches, passes)
    core = smooth_max(core + bubble, data_parallel, 2.5)

    factor = _stack_factor(c, w)
    optimizer = _optimizer_seconds(c, w, batch) if passes.backward else 0.0
    parts = per_gpu | {
        "kernel launch": dense_launch + moe_launch,
        "pipeline bubble": bubble,
        "data-parallel traffic": data_parallel,
    }
    named: dict[str, Column] = {name: seconds * factor for name, seconds in parts.items()}
    return TrainTime(seconds=core * factor + optimizer, parts=named | {"optimizer step": optimizer})


def _compute_seconds(c: Constants, w: Workload, batch: Batch, passes: Passes, moe_rl: Column) -> dict[str, Column]:
    """GPU-seconds of matrix multiplications, attention and elementwise kernels.

    linear = 2 x passes x T x parameters / rate, experts slower by `moe_gemm_penalty`, the output head in bf16;
    attention = 2 x passes x T x s x width x layers / rate (causal: half of 4; a window w leaves s - (s - w)^2 / s);
    elementwise = 2 bytes x passes x T x (elements x traffic + 4 vocab) / HBM bandwidth.
    """
    m, train = w.model, w.train
    rates = gpu_rates(c, w)
    rate = np.where(np.asarray(train.fp8) > 0, rates.fp8, rates.bf16)
    head = m.vocab * m.hidden
    dense = np.maximum(m.params_matmul - head - m.params_expert_active, 0.0)
    flops = 2 * passes.linear * batch.tokens
    experts = flops * m.params_expert_active * c.moe_gemm_penalty / rate
    linear = flops * (dense / rate + head / rates.bf16) + experts
    attention = (
        2
        * passes.attention
        * batch.tokens
        * attended_causally(batch.mean_sequence, m.window, m.window_share)
        * m.attention_width
        * m.attention_layers
        / (rates.attention * train.attention_speed)
        * w.layout.cp**c.cp_attention_exponent
    )
    stated = np.logical_not(np.isnan(train.flops_per_token))
    if np.any(stated):
        total = batch.tokens * known(train.flops_per_token, 0.0) * (passes.linear / 3) / rate
        linear, attention = np.where(stated, total, linear), np.where(stated, 0.0, attention)
    elements = m.elements_per_token * _traffic(c, w) + 4 * m.vocab
    return {
        "compute": linear + (moe_rl - 1) * experts,
        "attention": attention,
        "HBM bandwidth": 2 * passes.elementwise * batch.tokens * elements / w.gpu.hbm_bytes_per_s,
    }


def _traffic(c: Constants, w: Workload) -> Column:
    """HBM traffic per element that a layer touches.

    torch.compile fuses norms, activations and rope, as Megatron's kernels do; modules of PyTorch run one kernel per
    operation unless something fuses them: where that is stated, and in post-training that does not say.  fp8 recipes
    quantise; adapters read a layer's input once per projection, which Megatron fuses (QKV, gate and up).
    """
    train, modules = w.train, runs_like_fsdp(w.layout.sharding)
    silent = np.isnan(train.compiled) & (np.asarray(train.post_training) > 0)
    unfused = modules & (np.equal(train.compiled, 0.0) | silent)
    fusion = np.where(unfused, c.unfused_traffic, np.where(np.equal(train.compiled, 1.0), COMPILED_TRAFFIC, 1.0))
    fp8 = 1 + c.fp8_extra_traffic * train.fp8 * w.gpu.has_fp8
    return c.elementwise_traffic * fusion * fp8 * (1 + c.lora_extra_traffic * train.lora * modules)


def _traffic_seconds(c: Constants, w: Workload, batch: Batch, passes: Passes, moe_rl: Column) -> dict[str, Column]:
    """GPU-seconds of exposed traffic inside a model-parallel group.

    tp: 4 all-reduces of 2h bytes per layer, forward and backward, which Megatron overlaps with GEMMs and PyTorch's
    modules do in line (torchtitan, arXiv:2410.06511; its asynchronous TP gains 10 %); cp: 3 exchanges of keys and
    values; ep: 4 all-to-alls of k x h.  A group inside the scale-up domain uses its links; outside, all-reduces see
    the NICs of the whole node, an all-to-all sees one NIC but sends a token to at most four nodes.
    """
    m, g, lay = w.model, w.gpu, w.layout
    share = passes.elementwise / 3
    inside = lay.ep * lay.tp <= np.maximum(g.scale_up_domain, lay.gpus_per_node)
    ep_bw = np.where(inside, link_bytes_per_s(w, lay.ep * lay.tp), g.scale_out_bytes_per_s)
    copies = np.where(inside, m.experts_per_token, np.minimum(m.experts_per_token, 4.0))
    tokens = batch.tokens
    tp = tokens * (lay.tp - 1) * m.layers * 4 * share * (2 * m.hidden) * 2 / link_bytes_per_s(w, lay.tp)
    cp = (
        tokens * m.attention_layers * 3 * share * (4 * m.kv_width) * (lay.cp - 1) / link_bytes_per_s(w, lay.tp * lay.cp)
    )
    ep = tokens * m.moe_layers * 4 * share * copies * m.hidden * 2 * (1 - 1 / np.maximum(lay.ep, 1.0)) / ep_bw
    return {
        "tensor-parallel traffic": np.where(runs_like_fsdp(lay.sharding), c.exposed_tp_modules, c.exposed_tp) * tp,
        "context-parallel traffic": c.exposed_cp * cp,
        "expert traffic": c.exposed_ep * ep * moe_rl,
    }


def _virtual_stages(c: Constants, w: Workload) -> Column:
    """Interleaved stages per GPU: as stated; else the usual interleaving of Megatron-class pretraining, 1 in RL."""
    lay = w.layout
    usual = np.where(np.equal(lay.sharding, MEGATRON) & np.equal(w.train.rl, 0.0), c.virtual_stages, 1.0)
    return np.maximum(1.0, np.minimum(known(lay.virtual_stages, usual), w.model.layers / lay.pp))


def _data_parallel_seconds(c: Constants, w: Workload, batch: Batch, micro_batches: Column, passes: Passes) -> Column:
    """Seconds of data-parallel collectives per GPU.

    FSDP gathers its weights twice and scatters gradients once per micro batch (2 bytes each).  Per parameter and update
    Megatron and ZeRO-1 reduce 4 bytes and gather 2; ZeRO-2 scatters 2 per micro batch and gathers 2; DDP all-reduces 2,
    there and back.  LoRA has no gradients to speak of; a forward pass only gathers.
    """
    m, lay = w.model, w.layout
    full = 1.0 - w.train.lora
    bandwidth = c.dp_bandwidth_share * link_bytes_per_s(w, lay.train_gpus)
    split = lay.tp * lay.pp
    rounds = 2.0 + full if passes.backward else 1.0
    ranks = np.maximum(lay.dp * lay.cp, 1.0)
    sharded = batch.updates * micro_batches * m.params_total / split * 2 * rounds * (1 - 1 / ranks)
    replicated: Column = 0.0
    if passes.backward:
        experts = m.params_expert / (split * np.maximum(1.0, np.minimum(lay.ep, lay.dp * lay.cp)))
        dense = (m.params_total - m.params_expert) / split
        each = np.where(np.equal(lay.sharding, ZERO2), 2 * micro_batches + 2, 6)
        each = np.where(np.equal(lay.sharding, DDP), 4, each)
        replicated = batch.updates * (dense + experts) * each * full * (1 - 1 / np.maximum(lay.dp, 1.0))
    return np.where(np.equal(lay.sharding, FSDP), sharded, replicated) / bandwidth


def _stack_factor(c: Constants, w: Workload) -> Column:
    """Overhead of the stack: class, post-training, untuned hardware, age of the software, stragglers."""
    lay, train = w.layout, w.train
    fsdp = runs_like_fsdp(lay.sharding)
    post = fsdp & (np.asarray(train.post_training) > 0)
    by_class = np.where(fsdp, c.fsdp_overhead, np.where(np.equal(lay.sharding, ZERO1), c.zero1_overhead, 1.0))
    by_use = np.where(
        post, c.fsdp_post_training_overhead, np.where(np.asarray(train.rl) > 0, c.megatron_rl_overhead, 1.0)
    )
    untuned = np.where(post & np.equal(w.gpu.generation, BLACKWELL), c.blackwell_post_training_overhead, 1.0)
    stragglers = 1 + c.straggler_per_doubling * np.log2(np.maximum(lay.train_gpus, 8.0) / 8)
    age = c.software_drift ** -np.clip(w.year - 2025.0, -3.0, 1.0)
    new = np.where(np.asarray(train.untuned) > 0, c.untuned_overhead, 1.0)
    return by_class * by_use * untuned * new * stragglers * age * (1 + train.evaluation_share)


def _optimizer_seconds(c: Constants, w: Workload, batch: Batch) -> Column:
    """Fixed time per update plus 30 bytes of optimizer state per parameter through HBM, sharded over the GPUs; for
    offloaded states the CPUs' time, and gradients and weights (2 bytes each) over the PCIe links of the GPUs."""
    lay, trained = w.layout, (1.0 - w.train.lora) * w.model.params_total
    sharing = np.where(np.equal(lay.sharding, DDP), lay.tp * lay.pp, lay.train_gpus)
    in_hbm = trained * 30 / (sharing * w.gpu.hbm_bytes_per_s)
    per_node = trained / sharing * np.minimum(lay.gpus_per_node, lay.train_gpus)
    on_host = per_node * HOST_ADAM_BYTES / HOST_MEMORY_BYTES_PER_S + trained / sharing * 4 / PCIE_BYTES_PER_S
    return batch.updates * (c.optimizer_step_seconds + np.where(np.asarray(w.train.offload) > 0, on_host, in_hbm))


def weight_export_seconds(w: Workload) -> Column:
    """Seconds per step in which an RL trainer measured alone writes its weights for the engine."""
    copied = WEIGHT_EXPORT_FIXED_SECONDS + 2 * w.model.params_total / WEIGHT_EXPORT_BYTES_PER_S
    return w.train.exports_weights * copied
