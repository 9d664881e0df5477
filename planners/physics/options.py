"""Optional facts about a software stack, turned into factors of the physics.  Unknown is the neutral 1.

The calibration cases name these facts only in prose, so the factors come from kernel papers and release notes; they
apply relative to the stack that is usual for the generation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planners.physics.workload import BLACKWELL, HOPPER

if TYPE_CHECKING:
    from planners.physics.workload import GpuColumns

HOPPER_ATTENTION = {"fa2": 0.75, "fa3": 1.25, "vendor": 1.25, "sdpa": 0.75, "eager": 0.2}
"""FlashAttention-3 reaches 1.5-2.0 x FlashAttention-2 forward and 1.5-1.75 x backward on H100
(arXiv:2407.08608, section 4.1); the usual stack of the calibration cases lies between."""
OTHER_ATTENTION = {"fa2": 1.0, "fa3": 1.0, "vendor": 1.15, "sdpa": 1.0, "eager": 0.25}
BLACKWELL_ATTENTION = {"fa2": 0.6, "fa3": 0.6, "vendor": 1.3, "sdpa": 0.8, "eager": 0.15}
COMPILED_TRAFFIC = 0.75
"""Fusing norms, activations and rope removes about a quarter of elementwise traffic."""
COMPILED_HOST_SPEED = 1.5


def attention_speed(kernel: str | None, gpu: GpuColumns) -> float:
    """Speed of an attention kernel against the usual one of the GPU's generation; 1 where unknown."""
    if kernel is None:
        return 1.0
    by_generation = {HOPPER: HOPPER_ATTENTION, BLACKWELL: BLACKWELL_ATTENTION}
    return by_generation.get(float(gpu.generation), OTHER_ATTENTION).get(kernel.lower(), 1.0)


def elementwise_traffic(compiled: bool | None) -> float:
    """Elementwise HBM traffic against the usual stack."""
    return COMPILED_TRAFFIC if compiled else 1.0


def host_speed(compiled: bool | None) -> float:
    """Kernel launches per second against the usual stack."""
    return COMPILED_HOST_SPEED if compiled else 1.0
