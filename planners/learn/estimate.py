"""How far a plan is off, from a few runs that may contain an outlier.

Model, in logarithms: run r saw y_r = b + e_r.  b, what these runs take over the plan, has a Student-t prior around what
other runs suggest (usually 0) with the plan's own spread; e_r is Student-t noise whose scale is not known either.
Both tails are heavy, so neither one outlier nor a plan that is off by a factor is believed or dismissed too early
(Lange, Little & Taylor 1989, "Robust statistical modeling using the t distribution").
Two unknowns only, so the posterior is summed on a grid: exact, without iteration or random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planners.physics.calibration import SCATTER_LOG_SD, Z80

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planners.physics.columns import Array

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
