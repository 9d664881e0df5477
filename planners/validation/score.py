"""Bands and scores: how predictions compare with what was published."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from planners.physics.calibration import Calibration, CalibrationCase
from planners.validation.case import Case, CaseEntry, read_case
from planners.validation.predict import predict_cases
from planners.validation.prepare import FindGpu, FindModel, Prepared, prepare

MOST_WIDTH = 20.0
"""ln half width of a band beyond which a prediction says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One case: what was published and what we say."""

    id: str
    kind: str
    quality: str | None
    predicted: float | None = None
    published: float | None
    p10: float | None = None
    p90: float | None = None
    unit: str | None
    reason: str | None
    """Why there is no prediction, or what was assumed for it."""

    @property
    def ratio(self) -> float | None:
        """Predicted over published."""
        if self.predicted is None or not self.published:
            return None
        return self.predicted / self.published

    @property
    def inside(self) -> bool | None:
        """Does the published value lie in the 80 % band?"""
        if self.p10 is None or self.p90 is None or not self.published:
            return None
        return self.p10 <= self.published <= self.p90


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Errors of the predicted cases of one kind and quality."""

    kind: str
    quality: str | None
    n: int
    median_abs_error: float
    p90_abs_error: float
    median_ratio: float
    band80_coverage: float


def answer_cases(
    raw_cases: Sequence[object], calibration: Calibration, find_model: FindModel, find_gpu: FindGpu
) -> list[Answer]:
    """An answer for every entry of a cases file, in its order."""
    cases = [read_case(raw, position) for position, raw in enumerate(raw_cases)]
    prepared = [prepare(c, find_model, find_gpu) if isinstance(c, Case) else c for c in cases]
    ready = [p for p in prepared if isinstance(p, Prepared)]
    with np.errstate(all="ignore"):
        values, reasons = predict_cases(calibration.constants, ready)
        variances = calibration.log_variance(lambda c: predict_cases(c, ready)[0]) if ready else values
    answers = iter(
        _answer(p, float(value), reason, float(variance), calibration)
        for p, value, reason, variance in zip(ready, values, reasons, variances, strict=True)
    )
    return [next(answers) if isinstance(p, Prepared) else _answer_to(p, p.reason) for p in prepared]


def _answer(p: Prepared, value: float, reason: str | None, variance: float, calibration: Calibration) -> Answer:
    width = math.inf
    if math.isfinite(value) and value > 0:
        match = calibration.matching(CalibrationCase.of(p.case.kind, p.workload))
        width = float(calibration.half_width(p.case.kind, variance + match.log_variance, p.missing_variance))
    if width >= MOST_WIDTH:
        return _answer_to(p.case, reason or "the inputs lead to no finite prediction")
    band = {"p10": float(value * np.exp(-width)), "p90": float(value * np.exp(width))}
    return _answer_to(p.case, reason, predicted=value, **band)


def _answer_to(entry: CaseEntry, reason: str | None, **prediction: float) -> Answer:
    published = entry.published
    return Answer(
        id=entry.id,
        kind=entry.kind,
        quality=entry.quality,
        published=published.value,
        unit=published.unit,
        reason=reason,
        **prediction,
    )


def summarise(answers: Iterable[Answer]) -> list[Score]:
    """One score per kind and quality that has predictions with a published value, sorted."""
    groups: dict[tuple[str, str | None], list[Answer]] = {}
    for answer in answers:
        if answer.ratio is not None:
            groups.setdefault((answer.kind, answer.quality), []).append(answer)
    return [
        _score(kind, quality, group)
        for (kind, quality), group in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    ]


def _score(kind: str, quality: str | None, group: list[Answer]) -> Score:
    ratios = np.array([answer.ratio for answer in group], dtype=np.float64)
    errors = np.abs(ratios - 1)
    return Score(
        kind=kind,
        quality=quality,
        n=len(group),
        median_abs_error=float(np.median(errors)),
        p90_abs_error=float(np.quantile(errors, 0.9)),
        median_ratio=float(np.median(ratios)),
        band80_coverage=float(np.mean([bool(answer.inside) for answer in group])),
    )
