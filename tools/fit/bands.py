"""Band widths from residuals of publishers who were left out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planners.physics.calibration import KIND_CLASSES, SCATTER_LOG_SD, Z80, CalibrationCase
from tools.fit.document import reduced_cases
from tools.fit.solve import publishers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planners.physics.calibration import Calibration
    from tools.fit.problem import Array, Problem

LEVEL = 0.80
SHRINK_PUBLISHERS = 3.0
SCORED = ("rl_step", "pretrain", "sft", "generate")


def class_of(kind: str) -> str:
    """The kind whose band width a kind shares."""
    return KIND_CLASSES.get(kind, kind)


def speaks(problem: Problem) -> NDArray[np.bool_]:
    """Cases that tell how wide bands must be: full ones, and partial RL steps whose response length is known."""
    rows = []
    for p, weight in zip(problem.prepared, problem.weights, strict=True):
        known = p.case.kind == "rl_step" and weight > 0 and "response length" not in p.missing
        rows.append(class_of(p.case.kind) in SCORED and (p.case.quality == "full" or known))
    return np.array(rows)


def outside_variance(problem: Problem, calibration: Calibration) -> Array:
    """Variance that a case's combinations add (`Match`), as if its publisher had published nothing."""
    by = np.array([publishers(p.case.family) for p in problem.prepared])
    others = {name: replace(calibration, cases=tuple(reduced_cases(problem.without(by == name)))) for name in set(by)}
    return np.array(
        [
            others[name].matching(CalibrationCase.of(p.case.kind, p.workload)).log_variance
            for p, name in zip(problem.prepared, by, strict=True)
        ]
    )


def scores(problem: Problem, left_out: Array, variance: Array) -> dict[str, float]:
    """By kind: half width over sqrt(scatter^2 + variance) that holds 80 % of the left-out |ln ratio|.

    variance: of the constants and of combinations without a case; what inputs that are not stated explain is taken off
    the errors first.  Families weigh the same, and their quantile is that of weighted conformal prediction
    (arXiv:1904.06019), 0.8 (n + 1) / n with Kish's effective number n of weighted figures; shrunk to that of all kinds
    with p / (p + 3) for p publishers.
    """
    missing = np.array([p.missing_variance for p in problem.prepared])
    unexplained = np.maximum((left_out - problem.published) ** 2 - Z80**2 * missing, 0.0)
    errors = np.sqrt(unexplained / (SCATTER_LOG_SD**2 + variance))
    rows = speaks(problem)
    kinds = np.array([class_of(p.case.kind) for p in problem.prepared])
    families = np.array([p.case.family or "" for p in problem.prepared])
    found = {}
    for kind in SCORED:
        chosen = rows & (kinds == kind)
        sizes = np.unique(families[chosen], return_counts=True)[1]
        level = LEVEL * (1.0 + np.sum(1.0 / sizes) / len(sizes) ** 2)
        sources = len({publishers(family) for family in families[chosen]})
        weight = sources / (sources + SHRINK_PUBLISHERS)
        alone = _quantile(errors[chosen], families[chosen], level)
        found[kind] = weight * alone + (1.0 - weight) * _quantile(errors[rows], families[rows], level)
    return found | {"other": max(found.values())}


def _quantile(values: Array, families: Array, level: float) -> float:
    """Quantile in which every family weighs the same."""
    weights = np.array([1.0 / np.sum(families == family) for family in families])
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(np.interp(level, reached, values[order]))
