"""Fits the estimator's constants: `python tools/fit/fit.py`.

Reads tools/fit/cases/cases.yaml; writes clusterctl/catalog/data/calibration.json, docs/ACCURACY.md and its plots.
Deterministic; under three minutes on one core.  Needs scipy and matplotlib.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from planners.physics.calibration import Calibration
from tools.fit.bands import scores
from tools.fit.document import calibration_document, write_json
from tools.fit.plots import plot_predictions
from tools.fit.problem import Problem, load_prepared
from tools.fit.report import Results, accuracy_page
from tools.fit.solve import covariance, families, fit, left_out, publishers

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tools" / "fit" / "cases" / "cases.yaml"
CALIBRATION = ROOT / "clusterctl" / "catalog" / "data" / "calibration.json"
PAGE = ROOT / "docs" / "ACCURACY.md"
PLOTS = ROOT / "docs" / "accuracy"


def main() -> None:
    """Fit, leave out families and publishers, measure the bands, write everything."""
    problem = Problem.of(load_prepared(CASES))
    print(f"{len(problem.prepared)} cases, {int(np.sum(problem.weights > 0))} of them inform the constants")
    mode = fit(problem)
    spread = covariance(problem, mode)
    print("fitted; now leaving out each family, then each publisher")
    by_family = left_out(problem, mode, families)
    by_publisher = left_out(problem, mode, publishers)
    document = calibration_document(problem, mode, spread, {})
    variance = Calibration.from_json(document).log_variance(lambda c: np.exp(problem.logs_of(c)[0]))
    widths = scores(problem, [by_family, by_publisher], variance)
    document = calibration_document(problem, mode, spread, widths)
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
    )
    write_json(CALIBRATION, document)
    plot_predictions(results, PLOTS)
    PAGE.write_text(accuracy_page(results), "utf-8")
    print(f"wrote {CALIBRATION.relative_to(ROOT)}, {PAGE.relative_to(ROOT)}, {PLOTS.relative_to(ROOT)}/")


if __name__ == "__main__":
    main()
