"""The calibration as a JSON document that the package carries."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planners.physics.calibration import SCHEMA, CalibrationCase
from planners.physics.constants import PRIORS

if TYPE_CHECKING:
    from pathlib import Path

    from tools.fit.problem import Array, Problem


def calibration_document(problem: Problem, mode: Array, spread: Array, scores: dict[str, float]) -> dict[str, Any]:
    """Constants, covariance factor, band scores and the reduced cases; `identity` hashes all of them."""
    factor = np.linalg.cholesky(spread)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "identity": "",
        "constants": {p.name: _short(np.exp(value), 5) for p, value in zip(PRIORS, mode, strict=True)},
        "scores": {kind: _short(score, 4) for kind, score in scores.items()},
        "cholesky": [[_short(v, 3) for v in row[: i + 1]] for i, row in enumerate(factor)],
        "cases": [asdict(replace(row, count=n)) for row, n in Counter(reduced_cases(problem)).items()],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return document | {"identity": digest[:12]}


def write_json(path: Path, document: dict[str, Any]) -> None:
    """One top-level entry per line: small, and a change is readable as a difference."""
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in document.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def _short(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def reduced_cases(problem: Problem) -> list[CalibrationCase]:
    """What decides which runs the cases that inform the constants speak for."""
    return [
        CalibrationCase.of(p.case.kind, p.workload, full=p.case.quality == "full")
        for p, weight in zip(problem.prepared, problem.weights, strict=True)
        if weight > 0
    ]
