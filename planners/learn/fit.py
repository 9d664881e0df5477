"""Fits factors (measured over planned seconds) to a few runs, of which some may be outliers.

Model, in logarithms: run r saw y_r = b + e_r.  b, what these runs take over the plan, has a Student-t prior around what
other runs suggest (usually 0) with the plan's own spread; e_r is Student-t noise whose scale is not known either.
Both tails are heavy, so neither one outlier nor a plan that is off by a factor is believed or dismissed too early
(Lange, Little & Taylor 1989, "Robust statistical modeling using the t distribution").
Two unknowns only, so the posterior is summed on a grid: exact, without iteration or random numbers.

`fit` gives one factor per place and GPU, and one per place for GPUs without a run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planners.physics.calibration import SCATTER_LOG_SD, Z80
from planners.physics.columns import Array
from planners.workload.factors import ANY_GPU, Factor, FactorKey, Factors, collect

NU = 3.0
"""Degrees of freedom.  Chosen with SCATTER_SPREAD on simulated runs (tests/planners/learn/): bands hold what they
promise for a scatter of 7 to 15 %, with and without an outlier."""
SCATTER_SPREAD = 0.5
"""Log standard deviation of the scatter itself: 0.05 to 0.19 around SCATTER_LOG_SD holds 80 %."""
T_OVER_NORMAL = 1.638 / Z80
"""90th percentile of Student's t with nu = 3 over that of the normal distribution."""
OFFSETS, SCATTERS = 801, 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the next run is expected to take, as ln(actual / planned)."""

    log_factor: float
    """Posterior median."""
    log_sd: float
    """Spread of `log_factor` itself: half its 80 % interval over 1.28."""
    scatter: float
    """Run-to-run scatter: log_sd of a run that is predicted is sqrt(log_sd^2 + scatter^2)."""


def estimate(logs: Sequence[float], log_ses: Sequence[float], *, prior: float, prior_sd: float) -> Estimate:
    """From ln(actual / planned) of some runs, each with the standard error of its own median.

    prior, prior_sd: what is believed of it before, `prior_sd` > 0.  No runs give the prior back.
    """
    y, se = np.asarray(logs, dtype=float), np.asarray(log_ses, dtype=float)
    ends = np.append(y, prior)
    b = np.linspace(ends.min() - 4 * prior_sd, ends.max() + 4 * prior_sd, OFFSETS)
    steps = np.linspace(-3.0, 3.0, SCATTERS)
    scatter = SCATTER_LOG_SD * np.exp(SCATTER_SPREAD * steps)
    scale = np.sqrt(scatter[:, None] ** 2 + se**2)
    misfit = (y - b[:, None, None]) / scale
    log_posterior = (_log_t(misfit) - np.log(scale)).sum(axis=-1)
    log_posterior += _log_t((b[:, None] - prior) / prior_sd) - steps**2 / 2
    weight = np.exp(log_posterior - log_posterior.max())
    low, middle, high = np.interp((0.1, 0.5, 0.9), _cumulative(weight.sum(axis=1)), b)
    likely = float(scatter @ weight.sum(axis=0) / weight.sum())
    return Estimate(log_factor=float(middle), log_sd=float(high - low) / (2 * Z80), scatter=T_OVER_NORMAL * likely)


def _log_t(z: Array) -> Array:
    """ln of Student's t density at z, but for its constant."""
    return np.asarray(-(NU + 1) / 2 * np.log1p(z**2 / NU))


def _cumulative(weight: Array) -> Array:
    """Share of the weight below each point of an even grid."""
    below = np.cumsum(weight) - weight / 2
    return np.asarray(below / weight.sum())


TRANSFER_LOG_SD = 0.25
"""How much factors of one place differ between GPUs.  Assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One phase of one run."""

    run: str
    place: FactorKey
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
    places: dict[FactorKey, dict[str, list[Observation]]] = {}
    for seen in observations:
        places.setdefault(seen.place, {}).setdefault(seen.gpu, []).append(seen)
    return collect(factor for place, by_gpu in places.items() for factor in _place(place, by_gpu))


def _place(place: FactorKey, by_gpu: Mapping[str, Sequence[Observation]]) -> list[Factor]:
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


def _factor(place: FactorKey, gpu: str, found: Estimate, some: Sequence[Observation]) -> Factor:
    return Factor(
        place=place,
        gpu=gpu,
        log_factor=found.log_factor,
        log_sd=math.hypot(found.log_sd, found.scatter),
        ratios={seen.run: math.exp(seen.log_ratio) for seen in some},
    )
