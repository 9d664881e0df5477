"""In which formats an engine holds weights and KV cache: as stated, else as the checkpoint is published."""

from __future__ import annotations

from typing import NamedTuple

from planners.domain import ModelShape, WeightDtype
from planners.physics.codes import TRTLLM
from planners.physics.columns import one
from planners.physics.shape import model_columns
from planners.spec.stage_options import Precision, RolloutOptions

BITS: dict[WeightDtype, float] = {"bf16": 16, "fp8": 8, "int8": 8, "int4": 4, "mxfp4": 4, "nvfp4": 4}
SCALES: dict[WeightDtype, tuple[float, int]] = {"int4": (16, 128), "mxfp4": (8, 32), "nvfp4": (8, 16)}
"""Bits of a scale, and weights that share it: GPTQ and AWQ (arXiv:2210.17323, 2306.00978; groups of 128 unless stated),
OCP Microscaling Formats v1.0, NVFP4.  Scales of 8-bit formats stay below 0.1 %."""


class Weights(NamedTuple):
    """Bytes per parameter, scales included, and the format of what is quantized."""

    dense: float
    expert: float
    dtype: WeightDtype


def served_weights(model: ModelShape, precision: Precision | None, *, policy: bool) -> Weights:
    """Weights as an engine holds them.

    A stated `precision` wins, else the published format.  The policy of an RL run changes every step and is served in
    the published FP8 or in bf16: nobody quantizes to 4 bits again in each step.  4-bit and int8 weights are multiplied
    in bf16 (weight-only kernels).  Embeddings and head stay at 16 bits, unless `unquantized_params` says what does.
    """
    dtype: WeightDtype = precision or model.weight_dtype or "bf16"
    if dtype == "bf16" or (policy and dtype != "fp8"):
        return Weights(2.0, 2.0, "bf16")
    scale_bits, group = SCALES.get(dtype, (0.0, 1))
    quantized = (BITS[dtype] + scale_bits / (model.weight_group or group)) / 8.0
    experts = one(model_columns(model).params_expert)
    dense = model.params_total - experts
    kept = model.unquantized_params if dtype == model.weight_dtype else None
    if kept is None:
        kept = (model.vocab or 0) * (model.hidden or 0) * (1.0 if model.tied_embeddings else 2.0)
    kept_dense = min(kept, dense)
    return Weights(
        dense=quantized + (2.0 - quantized) * kept_dense / max(dense, 1.0),
        expert=quantized + (2.0 - quantized) * (kept - kept_dense) / max(experts, 1.0),
        dtype=dtype,
    )


def kv_bytes(model: ModelShape, options: RolloutOptions, engine: float) -> float:
    """Bytes of a cached element: as stated, as the checkpoint asks for, 1 with FP8 weights in TensorRT-LLM, else 2."""
    fp8_engine = engine == TRTLLM and (options.precision or model.weight_dtype) == "fp8"
    dtype = options.kv_cache_dtype or model.kv_dtype or ("fp8" if fp8_engine else "bf16")
    return 1.0 if dtype == "fp8" else 2.0
