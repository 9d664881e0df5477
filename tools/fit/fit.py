"""Fits the estimator's constants: `python tools/fit/fit.py`.

Reads tools/fit/cases/; writes clusterctl/catalog/data/calibration.json, docs/ACCURACY.md and its plots.
Deterministic; under three minutes on one core.  Needs scipy and matplotlib.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from planners.physics.calibration import Calibration
from tools.fit.bands import outside_variance, scores
from tools.fit.document import calibration_document, write_json
from tools.fit.plots import plot_predictions
from tools.fit.problem import Problem, load_prepared
from tools.fit.report import Results, accuracy_page, is_serving
from tools.fit.solve import covariance, families, fit, left_out, publishers

if TYPE_CHECKING:
    from tools.fit.problem import Array

ROOT = Path(__file__).resolve().parents[2]
CASES = tuple(ROOT / "tools" / "fit" / "cases" / name for name in ("cases.yaml", "serving.yaml"))
CALIBRATION = ROOT / "clusterctl" / "catalog" / "data" / "calibration.json"
PAGE = ROOT / "docs" / "ACCURACY.md"
PLOTS = ROOT / "docs" / "accuracy"


def left_out_serving(problem: Problem, mode: Array) -> dict[str, Array]:
    """ln predictions of the serving points by constants that never saw their engine, and their GPU."""
    serving = np.array([is_serving(p) for p in problem.prepared])
    return {
        "engine": left_out(problem, mode, lambda p: str(p.case.rollout.engine), only=serving),
        "GPU": left_out(problem, mode, lambda p: str(p.case.cluster.gpu), only=serving),
    }


def main() -> None:
    """Fit, leave out families and publishers, measure the bands, write everything."""
    problem = Problem.of([case for path in CASES for case in load_prepared(path)])
    print(f"{len(problem.prepared)} cases, {int(np.sum(problem.weights > 0))} of them inform the constants")
    mode = fit(problem)
    spread = covariance(problem, mode)
    print("fitted; now leaving out each family, then each publisher")
    by_family = left_out(problem, mode, lambda p: families(p.case.family))
    by_publisher = left_out(problem, mode, lambda p: publishers(p.case.family))
    document = calibration_document(problem, mode, spread, {})
    variance = Calibration.from_json(document).log_variance(lambda c: np.exp(problem.logs_of(c)[0]))
    variance = variance + outside_variance(problem, Calibration.from_json(document))
    document = calibration_document(problem, mode, spread, scores(problem, by_publisher, variance))
    calibration = Calibration.from_json(document)
    results = Results(
        problem=problem,
        calibration=calibration,
        variance=variance,
        mode=mode,
        spread=spread,
        in_sample=problem.logs(mode[None])[0][0],
        by_family=by_family,
        by_publisher=by_publisher,
        serving_left_out=left_out_serving(problem, mode),
    )
    write_json(CALIBRATION, document)
    plot_predictions(results, PLOTS)
    PAGE.write_text(accuracy_page(results), "utf-8")
    print(f"wrote {CALIBRATION.relative_to(ROOT)}, {PAGE.relative_to(ROOT)}, {PLOTS.relative_to(ROOT)}/")


if __name__ == "__main__":
    main()
