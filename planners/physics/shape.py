"""From facts to columns: a model's shape and a GPU's data sheet as the counts that cost time."""

from __future__ import annotations

import numpy as np

from planners.domain import GpuSpec, ModelShape
from planners.physics.codes import GENERATIONS
from planners.physics.columns import GpuColumns, ModelColumns
from planners.units import GIB

PCIE_BYTES_PER_S = 25e9
"""PCIe 4.0 x16, one direction, as collectives reach it: the link of GPUs without NVLink or Infinity Fabric."""
DEFAULT_SCALE_OUT_BYTES_PER_S = 25e9
"""200 Gb/s per GPU, where a data sheet names no network."""


def gpu_columns(spec: GpuSpec) -> GpuColumns:
    """Columns (scalars) of one GPU.  A GPU without fp8 units computes fp8 work at its bf16 peak."""
    watts, reference = spec.board_watts, spec.reference_watts
    return GpuColumns(
        generation=GENERATIONS[spec.generation],
        bf16_flops=spec.bf16_flops,
        fp8_flops=spec.fp8_flops or spec.bf16_flops,
        has_fp8=float(spec.fp8_flops is not None),
        hbm_bytes=spec.hbm_gib * GIB,
        hbm_bytes_per_s=spec.hbm_bytes_per_s,
        scale_up_bytes_per_s=spec.scale_up_bytes_per_s or PCIE_BYTES_PER_S,
        scale_out_bytes_per_s=spec.scale_out_bytes_per_s or DEFAULT_SCALE_OUT_BYTES_PER_S,
        scale_up_domain=float(spec.scale_up_domain),
        power_ratio=watts / reference if watts and reference else 1.0,
    )


def model_columns(shape: ModelShape) -> ModelColumns:
    """Columns (scalars) of one model.

    A missing width comes from P = 12 L h^2 with h = sqrt(P/360) (30 layers at that width, a usual aspect ratio);
    missing heads are h/128.  Error of a filled shape: tens of percent in attention and activation work, none in
    the parameter count.
    """
    hidden, layers = _hidden_and_layers(shape)
    heads = shape.heads or max(1, hidden // 128)
    head_dim = shape.head_dim or 128
    attention_layers = layers if shape.attention_layers is None else shape.attention_layers
    window_layers = (shape.window_layers or attention_layers) if shape.window else 0
    mla = shape.kv_lora_rank is not None
    if mla:
        latent, rope = float(shape.kv_lora_rank or 512), float(shape.rope_dim or 64)
        width = heads * ((shape.nope_dim or 128) + rope + (shape.v_dim or 128)) / 2
        decode_width = heads * (2 * latent + rope) / 2
        kv_width, kv_heads = (latent + rope) / 2, 1.0
    else:
        kv_heads = float(shape.kv_heads or heads)
        width = decode_width = float(heads * head_dim)
        kv_width = kv_heads * head_dim
    experts = shape.experts or 0
    chosen = shape.experts_per_token or 0
    moe_layers = (layers if shape.moe_layers is None else shape.moe_layers) if experts else 0
    ffn = shape.ffn or (hidden if experts else max(1, int(shape.params_total / layers / (hidden * 3))))
    per_expert = moe_layers * (shape.ffn_matrices or 3) * hidden * ffn
    vocab = shape.vocab or 128_000
    return ModelColumns(
        params_total=shape.params_total,
        params_matmul=shape.params_matmul_active,
        params_expert=float(experts * per_expert),
        params_expert_active=float(chosen * per_expert),
        layers=float(layers),
        attention_layers=float(attention_layers),
        window=float(shape.window or np.inf),
        window_share=window_layers / max(attention_layers, 1),
        state_bytes=shape.state_bytes or 0.0,
        hidden=float(hidden),
        attention_width=float(width),
        decode_attention_width=float(decode_width),
        kv_width=float(kv_width),
        kv_heads=kv_heads,
        is_mla=float(mla),
        experts=float(experts),
        experts_per_token=float(chosen),
        moe_layers=float(moe_layers),
        vocab=float(vocab),
        elements_per_token=_elements_per_token(
            shape,
            hidden=hidden,
            layers=layers,
            ffn=ffn,
            moe_layers=moe_layers,
            attention=attention_layers * (2 * width + 4 * kv_width),
        ),
    )


def _hidden_and_layers(shape: ModelShape) -> tuple[int, int]:
    """Published width and depth, or the missing ones from the parameter count."""
    params, hidden, layers = shape.params_total, shape.hidden, shape.layers
    if hidden is None and layers is None:
        hidden = max(128, round((params / 360) ** 0.5 / 128) * 128)
    elif hidden is None:
        hidden = max(1, int((params / (12 * (layers or 1))) ** 0.5))
    assert hidden is not None
    return hidden, layers or max(8, round(params / (12 * hidden * hidden)))


def _elements_per_token(
    shape: ModelShape, *, hidden: int, layers: int, ffn: int, moe_layers: int, attention: float
) -> float:
    """Activations touched per token and forward pass: norms and residuals, rope and attention in- and outputs,
    feed-forward activations, MoE permutation.  Counts tensors, not kernels; the constant `elementwise_traffic`
    turns it into bytes."""
    dense_layers = layers - moe_layers
    dense_ffn = shape.dense_ffn or ffn
    if shape.experts and dense_layers > 0 and not shape.dense_ffn:
        dense_ffn = 4 * hidden  # hybrids: Mamba and attention blocks stand where a dense feed-forward would
    chosen = shape.experts_per_token or 0
    shared = (shape.shared_experts or 0) * 4 * (shape.shared_ffn or ffn)
    return float(
        layers * 10 * hidden
        + attention
        + dense_layers * 4 * dense_ffn
        + moe_layers * (chosen * (4 * hidden + 4 * ffn) + shared)
    )
