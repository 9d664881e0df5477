"""The fit of the constants reads the published cases that the shipped calibration came from."""

from __future__ import annotations

import json

import numpy as np

from tools.fit.document import calibration_document
from tools.fit.fit import CALIBRATION, CASES
from tools.fit.problem import MEANS, SPREADS, Problem, load_prepared


def test_the_shipped_calibration_lists_the_cases_that_inform_the_constants() -> None:
    problem = Problem.of(load_prepared(CASES))
    document = calibration_document(problem, MEANS, np.diag(SPREADS**2), {})
    shipped = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    assert document["cases"] == shipped["cases"]
    assert set(document["constants"]) == set(shipped["constants"])
