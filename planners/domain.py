"""The nouns of the product: GPUs, models, offers.  Frozen values; unknown is `None`, never 0."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Generation = Literal["ampere", "ada", "hopper", "hopper_cut", "blackwell", "cdna3"]
"""GPU families that share efficiency constants.  `hopper_cut` = H20: Hopper memory, an eighth of the compute."""


WeightDtype = Literal["bf16", "fp8", "int8", "int4", "mxfp4", "nvfp4"]
"""How the weights of a checkpoint are stored."""


class CapacityType(StrEnum):
    """How a machine is bought.  GCP's preemptible and Azure's low priority map to `spot`."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED_1Y = "reserved_1y"
    RESERVED_3Y = "reserved_3y"
    CAPACITY_BLOCK = "capacity_block"


QUALITY_WORDS = {"derived_linear": "scaled", "component_sum": "sum of parts"}
"""What people read instead of a price's `quality`, where that is no plain word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSpec:
    """One GPU.  FLOP/s are dense peaks; bandwidths are bytes per second, one direction."""

    name: str
    generation: Generation
    bf16_flops: float
    fp8_flops: float | None
    hbm_gib: float
    """What the driver reports (nvidia-smi, with ECC on), which is up to 6 % less than the makers' GB."""
    hbm_bytes_per_s: float
    scale_up_bytes_per_s: float | None
    """NVLink or Infinity Fabric per GPU; None where GPUs only share PCIe."""
    scale_out_bytes_per_s: float | None
    """Network per GPU of the published systems (one 400 Gb/s NIC per GPU; 200 Gb/s for A100)."""
    scale_up_domain: int
    """GPUs that reach each other over the scale-up links."""
    board_watts: float | None
    reference_watts: float | None
    """Board power of the generation's reference part, whose efficiency constants were fitted."""
    aliases: tuple[str, ...] = ()
    source: str
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A transformer's shape.  Fields follow the published configs; `ffn` is per expert in MoE models."""

    name: str
    params_total: float
    params_active: float
    params_matmul_active: float
    """Active parameters without an untied input embedding: the ones that cost FLOPs."""
    layers: int | None
    hidden: int | None
    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    ffn: int | None
    ffn_matrices: int | None
    vocab: int | None
    tied_embeddings: bool | None
    experts: int | None = None
    experts_per_token: int | None = None
    shared_experts: int | None = None
    shared_ffn: int | None = None
    dense_layers: int | None = None
    dense_ffn: int | None = None
    moe_layers: int | None = None
    attention: Literal["mha", "gqa", "mqa", "mla", "hybrid"]
    attention_layers: int | None = None
    """Layers with a KV cache; it grows with the context, in `window_layers` of them up to `window` tokens."""
    window: int | None = None
    window_layers: int | None = None
    state_bytes: float | None = None
    """State per sequence of linear-attention and state-space layers, whatever the context."""
    kv_lora_rank: int | None = None
    rope_dim: int | None = None
    q_lora_rank: int | None = None
    nope_dim: int | None = None
    v_dim: int | None = None
    weight_dtype: WeightDtype | None = None
    """Of the published checkpoint; None = 16 bits."""
    weight_group: int | None = None
    """Quantized weights that share a scale, where the format does not fix it."""
    unquantized_params: float | None = None
    """Parameters that a quantized checkpoint keeps at 16 bits; None = embeddings and output head."""
    kv_dtype: Literal["bf16", "fp8"] | None = None
    """KV cache that the checkpoint is published with; None = 16 bits."""
    max_context: int | None = None
    """Tokens that positions reach, scaled (YaRN) or not."""
    params_from: Literal["shape", "stated"] = "shape"
    aliases: tuple[str, ...] = ()
    source: str
    note: str | None = None


OFFER_COLUMNS = (
    "cloud",
    "region",
    "zone",
    "instance_type",
    "capacity_type",
    "usd_per_hour",
    "as_of",
    "source",
    "quality",
    "vcpus",
    "memory_gib",
    "gpu",
    "num_gpus",
    "hbm_gib",
    "network_gbps",
    "interconnect",
    "local_nvme_gib",
    "arch",
)
"""Columns of an offers frame (polars).  One row = one thing that can be bought.

cloud, region, zone (null unless spot), instance_type, capacity_type (CapacityType values), source, quality,
interconnect, arch: str; usd_per_hour: f64 for the whole instance, null = unknown; as_of: date, null = unknown;
gpu: canonical GpuSpec name or null (no GPU); num_gpus: f64 (fractions exist); memory_gib, hbm_gib (per GPU),
network_gbps, local_nvme_gib: f64 or null; vcpus: f64.
"""
