"""Band widths from residuals of publishers who were left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from planners.physics.calibration import KIND_CLASSES, SCATTER_LOG_SD, Z80

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tools.fit.problem import Array, Problem

LEVEL = 0.80
SHRINK_FAMILIES = 3.0
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


def scores(problem: Problem, left_out: Array, variance: Array) -> dict[str, float]:
    """By kind: half width over sqrt(scatter^2 + variance) (80 % of the left-out |ln ratio| lie within it).

    Families weigh the same.  With few families the quantile is itself unsure: times t(0.9, families - 1) / z80, and
    shrunk to the value of all kinds with n / (n + 3).
    """
    errors = np.abs(left_out - problem.published) / np.sqrt(SCATTER_LOG_SD**2 + variance)
    rows = speaks(problem)
    kinds = np.array([class_of(p.case.kind) for p in problem.prepared])
    families = np.array([p.case.family or "" for p in problem.prepared])
    pooled = _quantile(errors[rows], families[rows])
    found = {}
    for kind in SCORED:
        chosen = rows & (kinds == kind)
        count = len(set(families[chosen]))
        weight = count / (count + SHRINK_FAMILIES)
        unsure = float(student.ppf(0.9, count - 1)) / Z80
        found[kind] = (weight * _quantile(errors[chosen], families[chosen]) + (1 - weight) * pooled) * unsure
    return found | {"other": max(found.values())}


def _quantile(values: Array, families: Array) -> float:
    """Quantile in which every family weighs the same."""
    weights = np.array([1.0 / np.sum(families == family) for family in families])
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(np.interp(LEVEL, reached, values[order]))
