"""The constants of the physics: one line each, with prior value, spread, unit, meaning and source.

Values here are priors.  `tools/fit/fit.py` fits those marked fitted on published runs and writes the result to
`clusterctl/catalog/data/calibration.json`; the others are held, because the published runs do not identify them, and
their spread only widens the bands.  Sources: "kernel" = published kernel benchmarks and makers' guides, "links" =
makers' link figures and collective benchmarks, "runs" = judgement on published runs, checked in docs/ACCURACY.md.
"""

# ruff: noqa: RUF009 - `fitted` and `held` return dataclasses.field, which is meant to stand there

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from planners.physics.columns import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is known of a constant before looking at the calibration cases."""

    name: str
    value: float
    log_sd: float
    """Standard deviation of ln(constant)."""
    unit: str
    meaning: str
    source: str
    fitted: bool


def _constant(value: float, log_sd: float, unit: str, meaning: str, source: str, *, fitted: bool) -> Any:
    prior = {"value": value, "log_sd": log_sd, "unit": unit, "meaning": meaning, "source": source, "fitted": fitted}
    return field(default=value, metadata=prior)


fitted = partial(_constant, fitted=True)
"""A constant that the calibration cases move."""
held = partial(_constant, fitted=False)
"""A constant that stays at its prior value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """Constants as columns: floats for one estimate, arrays of shape (samples,) for a band."""

    # Efficiency of matrix multiplications, of the dense peak.
    gemm_bf16_ampere: Column = fitted(0.75, 0.12, "of peak", "bf16 GEMM, A100 class", "kernel")
    gemm_bf16_hopper: Column = fitted(0.70, 0.12, "of peak", "bf16 GEMM, H100 class", "kernel")
    gemm_bf16_blackwell: Column = held(0.70, 0.12, "of peak", "bf16 GEMM, B200 class", "kernel")
    gemm_bf16_cdna3: Column = fitted(0.50, 0.20, "of peak", "bf16 GEMM, MI300X class", "kernel")
    gemm_bf16_hopper_cut: Column = held(0.85, 0.10, "of peak", "bf16 GEMM, H20", "kernel")
    gemm_bf16_ada: Column = held(0.65, 0.20, "of peak", "bf16 GEMM, L40S class", "kernel")
    gemm_fp8_hopper: Column = fitted(0.60, 0.15, "of peak", "fp8 GEMM, H100 class and H20", "kernel")
    gemm_fp8_blackwell: Column = fitted(0.60, 0.15, "of peak", "fp8 GEMM, B200 class", "kernel")
    gemm_fp8_cdna3: Column = fitted(0.40, 0.20, "of peak", "fp8 GEMM, MI300X class", "kernel")
    gemm_fp8_ada: Column = held(0.50, 0.25, "of peak", "fp8 GEMM, L40S class", "kernel")
    attention_ampere: Column = held(0.55, 0.15, "of bf16 peak", "FlashAttention-2, A100", "arXiv:2307.08691")
    attention_hopper: Column = fitted(0.50, 0.15, "of bf16 peak", "FlashAttention, H100", "arXiv:2407.08608")
    attention_blackwell: Column = held(0.40, 0.20, "of bf16 peak", "attention, B200", "runs")
    attention_cdna3: Column = held(0.30, 0.25, "of bf16 peak", "attention, MI300X", "runs")
    attention_hopper_cut: Column = held(0.66, 0.15, "of bf16 peak", "attention, H20", "runs")
    attention_ada: Column = held(0.50, 0.25, "of bf16 peak", "attention, L40S class", "kernel")
    power_exponent: Column = fitted(0.70, 0.40, "exponent", "peak ~ board power to this exponent", "runs")
    # Elementwise work and launches.
    elementwise_traffic: Column = fitted(2.0, 0.30, "ratio", "HBM traffic per activation touched", "runs")
    unfused_traffic: Column = fitted(2.0, 0.30, "ratio", "the same, modules that nothing fuses", "runs")
    fp8_extra_traffic: Column = held(0.5, 0.5, "ratio", "more elementwise traffic of fp8 recipes", "runs")
    lora_extra_traffic: Column = fitted(0.6, 0.5, "ratio", "adapters read and write each layer again", "runs")
    launch_megatron_seconds: Column = held(2e-4, 0.6, "s", "per layer, pass and micro batch", "runs")
    launch_fsdp_seconds: Column = fitted(6e-4, 0.6, "s", "per layer, pass and micro batch", "runs")
    launch_moe_seconds: Column = fitted(1e-3, 0.6, "s", "per MoE layer, pass and micro batch", "runs")
    optimizer_step_seconds: Column = fitted(0.05, 0.8, "s", "fixed per optimizer update", "runs")
    # Stacks.
    fsdp_overhead: Column = fitted(1.05, 0.10, "ratio", "FSDP against Megatron", "runs")
    zero1_overhead: Column = fitted(1.10, 0.15, "ratio", "ZeRO-1 against Megatron", "runs")
    megatron_rl_overhead: Column = fitted(1.15, 0.20, "ratio", "Megatron inside an RL trainer", "runs")
    fsdp_post_training_overhead: Column = fitted(1.25, 0.20, "ratio", "FSDP in SFT and RL trainers", "runs")
    blackwell_post_training_overhead: Column = fitted(1.4, 0.25, "ratio", "the same, untuned B200", "runs")
    moe_gemm_penalty: Column = fitted(1.5, 0.25, "ratio", "grouped GEMM against dense", "runs")
    moe_rl_penalty: Column = fitted(2.5, 0.40, "ratio", "MoE layers inside RL trainers", "runs")
    software_drift: Column = fitted(1.06, 0.05, "per year", "training stacks get faster", "runs")
    attention_drift: Column = fitted(1.20, 0.07, "per year", "Hopper and later: attention", "arXiv:2407.08608")
    padding_share: Column = fitted(0.25, 0.5, "ratio", "padding kept by unpacked RL trainers", "runs")
    # Traffic.
    exposed_tp: Column = fitted(0.6, 0.4, "ratio", "tensor-parallel traffic not hidden", "links")
    exposed_tp_modules: Column = fitted(1.25, 0.3, "ratio", "the same, of PyTorch's own modules", "links")
    exposed_cp: Column = held(0.5, 0.5, "ratio", "context-parallel traffic not hidden", "links")
    exposed_ep: Column = fitted(0.7, 0.4, "ratio", "expert traffic not hidden", "links")
    cp_attention_exponent: Column = held(0.10, 0.5, "exponent", "attention slows with cp", "runs")
    virtual_stages: Column = held(4.0, 0.4, "count", "interleaved pipeline stages per GPU", "arXiv:2104.04473")
    dp_bandwidth_share: Column = held(0.7, 0.3, "of link", "reached by large collectives", "links")
    straggler_per_doubling: Column = held(0.01, 0.6, "ratio", "slower per doubling of GPUs over 8", "runs")
    untuned_overhead: Column = held(1.3, 0.15, "ratio", "trainers that nobody tuned for model and GPU", "runs")
    # Whole runs.
    waste_fixed: Column = held(0.05, 0.4, "ratio", "start, evaluation, checkpoints", "runs")
    waste_per_decade: Column = held(0.03, 0.4, "ratio", "per decade of GPU-hours over 100", "runs")
    # Rollout engine.
    decode_hbm_vllm: Column = fitted(0.70, 0.12, "of peak", "HBM bandwidth while decoding, vLLM", "kernel")
    decode_hbm_trtllm: Column = fitted(0.85, 0.10, "of peak", "the same, TensorRT-LLM", "kernel")
    decode_compute: Column = fitted(0.70, 0.20, "of GEMM rate", "GEMM while decoding", "kernel")
    decode_moe_penalty: Column = fitted(2.0, 0.25, "ratio", "expert GEMM while decoding", "runs")
    prefill_compute: Column = fitted(0.70, 0.15, "of GEMM rate", "GEMM in prefill", "kernel")
    roofline_power: Column = fitted(1.4, 0.15, "exponent", "overlap of bandwidth and compute", "runs")
    iteration_vllm_seconds: Column = fitted(3e-3, 0.4, "s", "host time per iteration, vLLM and SGLang", "runs")
    iteration_trainer_seconds: Column = fitted(4.5e-3, 0.4, "s", "the same, inside an RL trainer", "runs")
    iteration_trtllm_seconds: Column = fitted(1e-3, 0.5, "s", "the same, TensorRT-LLM", "runs")
    decode_layer_seconds: Column = fitted(12e-6, 0.4, "s", "launches per layer", "kernel")
    decode_moe_layer_seconds: Column = fitted(25e-6, 0.5, "s", "more launches per MoE layer", "kernel")
    sequence_vllm_seconds: Column = fitted(8e-6, 0.5, "s", "host time per sequence, vLLM", "runs")
    sequence_trtllm_seconds: Column = fitted(2e-6, 0.5, "s", "the same, TensorRT-LLM", "runs")
    lora_layer_seconds: Column = held(28e-6, 0.5, "s", "14 more launches per layer with LoRA adapters", "kernel")
    eager_penalty: Column = fitted(3.0, 0.4, "ratio", "host time without CUDA graphs", "runs")
    engine_drift: Column = held(1.25, 0.10, "per year", "engines' host time falls", "runs")
    allreduce_scale_up_seconds: Column = fitted(12e-6, 0.3, "s", "latency in the scale-up domain", "links")
    allreduce_scale_out_seconds: Column = held(60e-6, 0.4, "s", "latency across nodes", "links")
    response_log_sd: Column = held(0.8, 0.25, "ln", "spread of response lengths", "runs")
    # Mean response without a cap where nobody states one; its uncertainty counts as that of a missing input.
    length_base_tokens: Column = held(750.0, 0.05, "tokens", "usual response, base model", "runs")
    length_instruct_tokens: Column = held(900.0, 0.05, "tokens", "the same, chat model", "runs")
    length_reasoner_tokens: Column = held(8000.0, 0.05, "tokens", "the same, reasoning model", "runs")
    length_agent_tokens: Column = held(6000.0, 0.05, "tokens", "the same, all turns of an agent", "runs")
    controller_sample_seconds: Column = fitted(1e-3, 0.7, "s", "RL controller, per sample of a step", "runs")
    # Weight sync.
    sync_fixed_seconds: Column = fitted(2.0, 0.5, "s", "fixed per weight sync", "runs")
    sync_nic_share: Column = fitted(0.8, 0.35, "of one NIC", "reached by weight sync", "runs")
    sync_spread: Column = held(1.0, 0.9, "ratio", "weight sync by a method that is not stated", "runs")
    broadcast_bytes_per_s: Column = fitted(4.5e9, 0.5, "B/s", "weight sync, tensor by tensor over NCCL", "runs")
    checkpoint_engine_bytes_per_s: Column = fitted(17e9, 0.3, "B/s", "weight sync by a checkpoint engine", "runs")
    colocated_reshard_factor: Column = fitted(2.0, 0.3, "ratio", "reshard after the broadcast when colocated", "runs")


PRIORS: tuple[Prior, ...] = tuple(Prior(name=f.name, **f.metadata) for f in fields(Constants))
"""Every constant, in the order that vectors and covariances of constants use."""
