"""Rates that a GPU and its links reach: FLOP/s in training, bytes per second of a collective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planners.physics.codes import ADA, AMPERE, GENERATIONS, HOPPER_CUT
from planners.physics.columns import Column, GpuColumns, Workload, by_code
from planners.physics.constants import Constants

HOPPER_ATTENTION = {"fa2": 0.75, "fa3": 1.25, "vendor": 1.25, "sdpa": 0.75, "eager": 0.2}
"""FlashAttention-3 reaches 1.5-2.0 x FlashAttention-2 forward and 1.5-1.75 x backward on H100
(arXiv:2407.08608, section 4.1); the usual stack of the calibration cases lies between."""
OTHER_ATTENTION = {"fa2": 1.0, "fa3": 1.0, "vendor": 1.15, "sdpa": 1.0, "eager": 0.25}
BLACKWELL_ATTENTION = {"fa2": 0.6, "fa3": 0.6, "vendor": 1.3, "sdpa": 0.8, "eager": 0.15}
COMPILED_TRAFFIC = 0.75
"""Of the usual elementwise traffic.  Assumption."""
COMPILED_HOST_SPEED = 1.5
"""Kernel launches per second against the usual stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRates:
    """FLOP/s that one GPU sustains."""

    bf16: Column
    """Matrix multiplications."""
    fp8: Column
    """The same in fp8; in bf16 where the GPU has no fp8 units."""
    attention: Column


INSTEAD = {"gemm_fp8_ampere": "gemm_bf16_ampere", "gemm_fp8_hopper_cut": "gemm_fp8_hopper"}
"""Constants that a generation does not have of its own."""


def _constants(c: Constants, quantity: str) -> list[Column]:
    """The constants `<quantity>_<generation>`, in the order of GENERATIONS."""
    names = [f"{quantity}_{name}" for name in GENERATIONS]
    return [getattr(c, INSTEAD.get(name, name)) for name in names]


def gpu_rates(c: Constants, w: Workload) -> GpuRates:
    """Peak x efficiency x (power / reference power)^exponent.

    Sustained GEMMs are limited by board power, not by the nominal peak: two parts of one generation with equal
    peaks and other power differ in time by the ratio of their power.  Attention kernels of Hopper and later
    parts get faster by the year (-3 .. +1 around 2025): FlashAttention-2 reaches 35-40 % of an H100's peak,
    FlashAttention-3 and vendor kernels 55-75 % forward (arXiv:2407.08608); Ampere's were mature in 2023.
    """
    g = w.gpu
    bf16 = by_code(g.generation, _constants(c, "gemm_bf16"))
    fp8 = by_code(g.generation, _constants(c, "gemm_fp8"))
    attention = by_code(g.generation, _constants(c, "attention"))
    power = g.power_ratio**c.power_exponent
    mature = np.equal(g.generation, AMPERE) | np.equal(g.generation, ADA) | np.equal(g.generation, HOPPER_CUT)
    drift = c.attention_drift ** np.clip(w.year - 2025.0, -3.0, 1.0)
    kernel_year = np.where(mature, 1.0, drift)
    bf16_rate = g.bf16_flops * bf16 * power
    return GpuRates(
        bf16=bf16_rate,
        fp8=np.where(np.asarray(g.has_fp8) > 0, g.fp8_flops * fp8 * power, bf16_rate),
        attention=g.bf16_flops * attention * power * kernel_year,
    )


def attention_speed(kernel: str, gpu: GpuColumns) -> Column:
    """Speed of an attention kernel against the usual one of the GPU's generation; 1 for one that is not known.

    From kernel papers and release notes: the calibration cases name their kernels only in prose.
    """
    hopper, blackwell, other = (
        speeds.get(kernel.lower(), 1.0) for speeds in (HOPPER_ATTENTION, BLACKWELL_ATTENTION, OTHER_ATTENTION)
    )
    return by_code(gpu.generation, (other, hopper, blackwell, other, other, other))


def link_bytes_per_s(w: Workload, ranks: Column) -> Column:
    """Per GPU, of a collective over `ranks` GPUs: the scale-up links where they reach all, else a node's NICs."""
    g = w.gpu
    node = np.minimum(g.scale_up_bytes_per_s, g.scale_out_bytes_per_s * w.layout.gpus_per_node)
    return np.where(ranks <= g.scale_up_domain, g.scale_up_bytes_per_s, node)
