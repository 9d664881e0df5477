"""Rates that a GPU reaches in training: peak x efficiency of its generation x board power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planners.physics.workload import ADA, AMPERE, HOPPER_CUT

if TYPE_CHECKING:
    from planners.physics.columns import Column
    from planners.physics.constants import Constants
    from planners.physics.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRates:
    """FLOP/s of one GPU."""

    linear: Column
    """Matrix multiplications at the precision of the work."""
    bf16: Column
    attention: Column


def by_generation(code: Column, choices: tuple[Column, ...]) -> Column:
    """The choice of each row's generation; `choices` in the order of the codes in `workload.py`."""
    if np.ndim(code) == 0:
        return choices[int(code)]
    return np.choose(np.asarray(code).astype(np.intp), [np.asarray(choice) for choice in choices])


def training_rates(c: Constants, w: Workload) -> TrainingRates:
    """Peak x efficiency x (power / reference power)^exponent.

    Sustained GEMMs are limited by board power, not by the nominal peak: two parts of one generation with equal
    peaks and other power differ in time by the ratio of their power.  Attention kernels of Hopper and later
    parts get faster by the year (-3 .. +1 around 2025): FlashAttention-2 reaches 35-40 % of an H100's peak,
    FlashAttention-3 and vendor kernels 55-75 % forward (arXiv:2407.08608); Ampere's were mature in 2023.
    """
    g = w.gpu
    bf16 = by_generation(
        g.generation,
        (c.gemm_bf16_ampere, c.gemm_bf16_hopper, c.gemm_bf16_blackwell, c.gemm_bf16_cdna3,
         c.gemm_bf16_hopper_cut, c.gemm_bf16_ada),
    )  # fmt: skip
    fp8 = by_generation(
        g.generation,
        (c.gemm_bf16_ampere, c.gemm_fp8_hopper, c.gemm_fp8_blackwell, c.gemm_fp8_cdna3,
         c.gemm_fp8_hopper, c.gemm_fp8_ada),
    )  # fmt: skip
    attention = by_generation(
        g.generation,
        (c.attention_ampere, c.attention_hopper, c.attention_blackwell, c.attention_cdna3,
         c.attention_hopper_cut, c.attention_ada),
    )  # fmt: skip
    power = g.power_ratio**c.power_exponent
    mature = np.equal(g.generation, AMPERE) | np.equal(g.generation, ADA) | np.equal(g.generation, HOPPER_CUT)
    drift = c.attention_drift ** np.clip(w.year - 2025.0, -3.0, 1.0)
    kernel_year = np.where(mature, 1.0, drift)
    bf16_rate = g.bf16_flops * bf16 * power
    use_fp8 = (np.asarray(w.train.fp8) > 0) & (np.asarray(g.has_fp8) > 0)
    return TrainingRates(
        linear=np.where(use_fp8, g.fp8_flops * fp8 * power, bf16_rate),
        bf16=bf16_rate,
        attention=g.bf16_flops * attention * power * kernel_year,
    )
