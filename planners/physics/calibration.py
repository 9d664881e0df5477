"""The fitted constants with their uncertainty, the widths of bands, and the range of runs in which both hold.

`tools/fit/fit.py` writes it; `plan` and `validate` read it.  Constants are log-normal: ln(constant) is normal with
the posterior mean and covariance of the fit, priors included; constants that no case identifies keep their prior.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from planners.physics.codes import ENGINE_NAMES, GENERATIONS, SHARDING_NAMES
from planners.physics.columns import Array, Column, Workload, one
from planners.physics.constants import PRIORS, Constants

SCHEMA = 2
Z80 = 1.2815515655446004
"""Half an 80 % band of a normal distribution, in standard deviations."""
SCATTER_LOG_SD = 0.10
"""Residual scatter before the measured inflation: equal inputs, other software (10-30 % within a year)."""
NARROWEST_LOG = math.log(1.15)
"""No band is narrower than +-15 %: the drift of software on identical hardware within a year."""
KIND_CLASSES = {"rl_run": "rl_step"}
"""Kinds that share a band width."""
OUTSIDE_LOG_SD = {
    "engine": 0.15,
    "engine on this GPU generation": 0.10,
    "sharding with this model class": 0.12,
    "sharding on this GPU generation": 0.05,
    "model size": 0.10,
}
"""Log standard deviation that each combination adds which no full calibration case of the kind has.  Judgement: errors
of publishers who were left out grow by 0.13 without the engine, 0.11 without the size, not at all otherwise; but the
formulas were chosen while looking at them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCase:
    """What is compared of a published case and a run to decide whether they are alike."""

    kind: str
    params: float
    moe: bool
    generation: str
    """Of the GPU."""
    engine: str | None
    """None where nothing is generated."""
    sharding: str | None
    """None where nothing is trained."""
    full: bool = True
    """Whether every decisive input is published."""
    count: int = 1
    """Cases that are alike in all this."""

    @staticmethod
    def of(kind: str, w: Workload, *, full: bool = True) -> CalibrationCase:
        """The row of a workload; RL runs count as RL steps."""
        kind = KIND_CLASSES.get(kind, kind)
        engine, sharding = (int(one(column)) for column in (w.rollout.engine, w.layout.sharding))
        return CalibrationCase(
            kind=kind,
            params=float(f"{one(w.model.params_total):.4g}"),
            moe=one(w.model.experts) > 0,
            generation=list(GENERATIONS)[int(one(w.gpu.generation))],
            engine=ENGINE_NAMES[engine] if kind in ("rl_step", "generate") else None,
            sharding=SHARDING_NAMES[sharding] if kind != "generate" else None,
            full=full,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How well the calibration cases cover a run."""

    cases: int
    """Cases of this kind, model class, GPU generation, engine and sharding class, and a size within three times."""
    outside: tuple[str, ...]
    """What no full case of this kind has; keys of OUTSIDE_LOG_SD."""

    @property
    def log_variance(self) -> float:
        """Variance of ln(prediction) that the combinations without a case add."""
        return sum(OUTSIDE_LOG_SD[name] ** 2 for name in self.outside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The fitted constants and their uncertainty."""

    constants: Constants
    cholesky: Array
    """Lower factor of the covariance of ln(constants), in the order of PRIORS."""
    scores: Mapping[str, float]
    """By kind: the 80 % quantile of left-out |ln ratio| over its expected spread (`tools/fit/bands.py`)."""
    cases: tuple[CalibrationCase, ...]
    identity: str
    """Hash of the cases and the fit; plans store it."""

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Calibration:
        """Reads the JSON document.  Raises ValueError for another version or other constants."""
        if document.get("schema") != SCHEMA:
            raise ValueError(f"calibration of schema {document.get('schema')!r}, this program reads {SCHEMA}")
        names = tuple(prior.name for prior in PRIORS)
        if tuple(document["constants"]) != names:
            raise ValueError("the calibration's constants are not this program's; run tools/fit/fit.py")
        factor = np.zeros((len(names), len(names)))
        for row, values in enumerate(document["cholesky"]):
            factor[row, : len(values)] = values
        return Calibration(
            constants=Constants(**document["constants"]),
            cholesky=factor,
            scores=dict(document["scores"]),
            cases=tuple(CalibrationCase(**case) for case in document["cases"]),
            identity=str(document["identity"]),
        )

    def sample(self, n: int, seed: int) -> Constants:
        """`n` draws from the posterior as columns of shape (n,); the same seed gives the same draws."""
        normal = np.random.default_rng(seed).standard_normal((len(PRIORS), n))
        return self.moved(self.cholesky @ normal)

    def log_variance(self, predict: Callable[[Constants], Column], step: float = 0.1) -> Array:
        """Variance of ln(prediction) from the posterior, linearised.

        `predict` gets constants of shape (k, 1) and returns predictions of shape (k, ...).  Variance = sum over
        the columns of the factor of (change of ln prediction along it)^2.
        """
        moves = np.concatenate([np.zeros((len(PRIORS), 1)), self.cholesky * step], axis=1)
        logs = np.log(np.maximum(np.asarray(predict(self.moved(moves[:, :, None]))), 1e-30))
        return np.asarray((((logs[1:] - logs[:1]) / step) ** 2).sum(axis=0))

    def half_width(self, kind: str, variance: Column, missing_variance: Column = 0.0) -> Array:
        """Half an 80 % band in ln: P10 = P50 exp(-h), P90 = P50 exp(+h).

        h^2 = max(score sqrt(scatter^2 + variance), ln 1.15)^2 + z80^2 x missing, where `variance` is that of the
        constants (`log_variance`) and of combinations without a case (`Match`), and `missing_variance` that of inputs
        that were not stated.
        """
        score = self.scores.get(KIND_CLASSES.get(kind, kind), self.scores["other"])
        spread = score * np.sqrt(SCATTER_LOG_SD**2 + np.asarray(variance))
        floor = np.maximum(spread, NARROWEST_LOG) ** 2
        return np.asarray(np.sqrt(floor + Z80**2 * np.asarray(missing_variance)))

    def matching(self, run: CalibrationCase) -> Match:
        """How many calibration cases are like a run, and which of its combinations none of the full ones has."""
        of_kind = [case for case in self.cases if case.kind == run.kind]
        full = [case for case in of_kind if case.full]

        def some(*names: str) -> bool:
            return any(all(getattr(case, name) == getattr(run, name) for name in names) for case in full)

        sizes = [case.params for case in full if case.moe == run.moe]
        checks = {
            "engine": run.engine is None or some("engine"),
            "engine on this GPU generation": run.engine is None or some("engine", "generation"),
            "sharding with this model class": run.sharding is None or some("sharding", "moe"),
            "sharding on this GPU generation": run.sharding is None or some("sharding", "generation"),
            "model size": _within(sizes, run.params, 1.5) or not sizes,
        }
        alike = [
            case.count
            for case in of_kind
            if (case.moe, case.generation, case.engine, case.sharding)
            == (run.moe, run.generation, run.engine, run.sharding)
            and 1 / 3 <= case.params / run.params <= 3
        ]
        missing = tuple(name for name, fine in checks.items() if not fine)
        return Match(cases=sum(alike), outside=missing if full else ())

    def moved(self, moves: Array) -> Constants:
        """Constants x exp(moves); `moves` has one row per constant."""
        moved = zip(PRIORS, np.exp(moves), strict=True)
        return Constants(**{prior.name: getattr(self.constants, prior.name) * factor for prior, factor in moved})


def _within(values: Iterable[float], value: float, slack: float) -> bool:
    """Does `value` lie between the smallest and the largest, `slack` times beyond at the most?"""
    known = list(values)
    return bool(known) and min(known) / slack <= value <= max(known) * slack
