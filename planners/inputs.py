"""What the planner knows besides the spec: facts, prices, calibration.  A value; the shell reads it from files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planners.workload.factors import NO_FACTORS, Factors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from planners.domain import GpuSpec, ModelShape
    from planners.physics.calibration import Calibration
    from planners.spec.models import ModelRef
    from planners.workload.sandbox_work import SandboxStarts


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInputs:
    """Facts of one moment.  Offers have the columns `planners.domain.OFFER_COLUMNS`; the rest are the price book's."""

    find_model: Callable[[ModelRef], ModelShape]
    """Raises for a model that nobody knows; the shell's version names the nearest."""
    find_gpu: Callable[[str], GpuSpec]
    gpus: Mapping[str, GpuSpec]
    """By canonical name."""
    gpu_offers: pl.DataFrame
    cpu_offers: pl.DataFrame
    extras: pl.DataFrame
    token_prices: pl.DataFrame
    calibration: Calibration
    book: str
    """Identifies the price book."""
    sandbox_starts: SandboxStarts | None = None
    """Of this machine, for plans that live on it; None for all others."""
    availability: pl.DataFrame | None = None
    """How instance types are sold: cloud, instance_type, purchase, can_be_bought; None = nothing is known."""
    factors: Factors = NO_FACTORS
    """What own runs taught."""
