"""Solves the problem: posterior mode, covariance, and predictions for cases that were left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import least_squares

from tools.fit.problem import FIT_SPREADS, MEANS, SPREADS, publisher_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from planners.validation.prepare import Prepared
    from tools.fit.problem import Array, Problem

STEP = 1e-3
MOVING = np.flatnonzero(FIT_SPREADS > 0.01)


def fit(problem: Problem, start: Array | None = None, *, evaluations: int = 25) -> Array:
    """ln(constants) at the mode of the posterior."""

    def full(z: Array) -> Array:
        x = MEANS.copy()
        x[MOVING] = z
        return x

    def residuals(z: Array) -> Array:
        prior = (z - MEANS[MOVING]) / FIT_SPREADS[MOVING]
        return np.concatenate([problem.residuals(full(z)[None])[0], prior])

    def jacobian(z: Array) -> Array:
        data = _slopes(problem, full(z), MOVING)
        return np.concatenate([data, np.diag(1 / FIT_SPREADS[MOVING])])

    first = (MEANS if start is None else start)[MOVING]
    found = least_squares(
        residuals,
        first,
        jac=jacobian,
        x_scale=FIT_SPREADS[MOVING],
        max_nfev=evaluations,
        ftol=1e-5,
        xtol=1e-5,
        gtol=1e-5,
    )
    return full(found.x)


def _slopes(problem: Problem, x: Array, columns: Array) -> Array:
    """Derivatives of the residuals (rows) by ln(constants) (columns)."""
    points = np.repeat(x[None], len(columns) + 1, axis=0)
    points[np.arange(len(columns)) + 1, columns] += STEP
    values = problem.residuals(points)
    return ((values[1:] - values[0]) / STEP).T


def covariance(problem: Problem, x: Array) -> Array:
    """Covariance of ln(constants): Gauss-Newton, priors of all constants included, held ones with their spread."""
    slopes = _slopes(problem, x, np.arange(len(x)))
    return np.linalg.inv(slopes.T @ slopes + np.diag(SPREADS**-2))


def left_out(
    problem: Problem, mode: Array, key: Callable[[Prepared], str], *, only: NDArray[np.bool_] | None = None
) -> Array:
    """ln predictions of each case by constants that never saw its group (its `key`).

    `only`: the cases that are grouped; the others stay in the fit, and their predictions are NaN.
    """
    chosen = np.full(len(problem.prepared), fill_value=True) if only is None else only
    groups = np.array([key(p) if use else "" for p, use in zip(problem.prepared, chosen, strict=True)])
    out = np.where(chosen, problem.logs(mode[None])[0][0], np.nan)
    for group in sorted(set(groups[chosen])):
        rows = chosen & (groups == group)
        if not np.any(problem.weights[rows] > 0):
            continue
        x = fit(problem.without(rows), mode, evaluations=8)
        out[rows] = problem.logs(x[None])[0][0][rows]
    return out


def families(family: str | None) -> str:
    """Key of leave-one-family-out."""
    return family or "unknown"


publishers = publisher_of
"""Key of leave-one-publisher-out."""
