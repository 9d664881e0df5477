"""Measured runs to factors: one per place and GPU, and one per place for GPUs that nobody has run on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planners.learn.estimate import Estimate, estimate
from planners.learn.factors import ANY_GPU, Factor, Factors, collect
from planners.physics.calibration import OUTSIDE_LOG_SD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planners.learn.factors import Place

TRANSFER_LOG_SD = OUTSIDE_LOG_SD["GPU"]
"""How much factors of one place differ between GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One phase of one run."""

    run: str
    place: Place
    gpu: str
    planned_seconds: float
    """Per unit, without factors of own runs."""
    actual_seconds: float
    """Median over the units that count."""
    log_se: float
    """Standard error of ln(actual_seconds)."""
    prior_log_sd: float
    """Spread of the plan without own runs."""

    @property
    def log_ratio(self) -> float:
        """ln(actual / planned)."""
        return math.log(self.actual_seconds / self.planned_seconds)


def fit(observations: Sequence[Observation]) -> Factors:
    """The factors of all observations together."""
    places: dict[Place, dict[str, list[Observation]]] = {}
    for seen in observations:
        places.setdefault(seen.place, {}).setdefault(seen.gpu, []).append(seen)
    return collect(factor for place, by_gpu in places.items() for factor in _place(place, by_gpu))


def _place(place: Place, by_gpu: Mapping[str, Sequence[Observation]]) -> list[Factor]:
    """A factor per GPU, each with what the others suggest as its prior; and what all suggest for any other GPU."""
    spread = float(np.median([seen.prior_log_sd for some in by_gpu.values() for seen in some]))
    alone = {gpu: _estimate(some, 0.0, spread) for gpu, some in by_gpu.items()}
    made = []
    for gpu, some in by_gpu.items():
        others = [found for other, found in alone.items() if other != gpu]
        made.append(_factor(place, gpu, _estimate(some, *_suggested(others, spread)), some))
    if set(by_gpu) != {""}:
        middle, sd = _suggested(list(alone.values()), spread)
        scatter = float(np.mean([found.scatter for found in alone.values()]))
        everything = [seen for some in by_gpu.values() for seen in some]
        made.append(_factor(place, ANY_GPU, Estimate(log_factor=middle, log_sd=sd, scatter=scatter), everything))
    return made


def _suggested(others: Sequence[Estimate], spread: float) -> tuple[float, float]:
    """(middle, sd) for a GPU from the estimates of others: N(0, spread^2) times one normal for each, which is wider by
    TRANSFER_LOG_SD."""
    weights = np.array([1.0 / (found.log_sd**2 + TRANSFER_LOG_SD**2) for found in others])
    precision = weights.sum() + 1.0 / spread**2
    middle = float(weights @ np.array([found.log_factor for found in others]) / precision) if others else 0.0
    shared = 1.0 / precision
    return middle, math.sqrt(shared + (TRANSFER_LOG_SD**2 if others else 0.0))


def _estimate(some: Sequence[Observation], prior: float, prior_sd: float) -> Estimate:
    return estimate([s.log_ratio for s in some], [s.log_se for s in some], prior=prior, prior_sd=prior_sd)


def _factor(place: Place, gpu: str, found: Estimate, some: Sequence[Observation]) -> Factor:
    return Factor(
        place=place,
        gpu=gpu,
        log_factor=found.log_factor,
        log_sd=math.hypot(found.log_sd, found.scatter),
        ratios={seen.run: math.exp(seen.log_ratio) for seen in some},
    )
