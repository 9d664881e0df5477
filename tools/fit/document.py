"""The calibration as a JSON document that the package carries."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from planners.physics.calibration import SCHEMA
from planners.physics.columns import ENGINES, GENERATIONS, SHARDING_NAMES, TRANSFORMERS, TRTLLM, VLLM
from planners.physics.constants import PRIORS

if TYPE_CHECKING:
    from pathlib import Path

    from planners.validation.prepare import Prepared
    from tools.fit.problem import Array, Problem

ENGINE_NAMES = {VLLM: "vllm", TRTLLM: "trtllm", TRANSFORMERS: "transformers"}
assert set(ENGINE_NAMES) == set(ENGINES.values())
GENERATION_NAMES = {code: name for name, code in GENERATIONS.items()}


def calibration_document(problem: Problem, mode: Array, spread: Array, scores: dict[str, float]) -> dict[str, Any]:
    """Constants, covariance factor, band scores and the reduced cases; `identity` hashes all of them."""
    factor = np.linalg.cholesky(spread)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "identity": "",
        "constants": {p.name: _short(np.exp(value), 5) for p, value in zip(PRIORS, mode, strict=True)},
        "scores": {kind: _short(score, 4) for kind, score in scores.items()},
        "cholesky": [[_short(v, 3) for v in row[: i + 1]] for i, row in enumerate(factor)],
        "cases": [_reduced(p) for p, weight in zip(problem.prepared, problem.weights, strict=True) if weight > 0],
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return document | {"identity": digest[:12]}


def write_json(path: Path, document: dict[str, Any]) -> None:
    """One top-level entry per line: small, and a change is readable as a difference."""
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in document.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def _short(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _reduced(p: Prepared) -> dict[str, Any]:
    """What decides whether the case speaks for a plan."""
    w, kind = p.workload, p.case.kind
    trains, generates = kind != "generate", kind in ("rl_step", "rl_run", "generate")
    return {
        "kind": "rl_step" if kind == "rl_run" else kind,
        "params": _short(float(w.model.params_total), 4),
        "moe": float(w.model.experts) > 0,
        "generation": GENERATION_NAMES[float(w.gpu.generation)],
        "gpus": float(w.layout.gpus),
        "engine": ENGINE_NAMES[float(w.rollout.engine)] if generates else None,
        "sharding": SHARDING_NAMES[int(w.layout.sharding)] if trains else None,
    }
