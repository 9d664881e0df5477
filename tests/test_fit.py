"""The fit of the constants reads the published cases that the shipped calibration came from."""

from __future__ import annotations

import json

import numpy as np

from clusterctl.catalog.lookup import load_calibration
from tools.fit.document import calibration_document
from tools.fit.fit import CALIBRATION, CASES, PAGE
from tools.fit.problem import MEANS, SPREADS, Problem, load_prepared
from tools.fit.rankings import load_rankings, rankings_table
from tools.fit.report import TEXT


def test_the_shipped_calibration_lists_the_cases_that_inform_the_constants() -> None:
    problem = Problem.of([case for path in CASES for case in load_prepared(path)])
    document = calibration_document(problem, MEANS, np.diag(SPREADS**2), {})
    shipped = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    assert document["cases"] == shipped["cases"]
    assert set(document["constants"]) == set(shipped["constants"])


def test_published_alternatives_are_mostly_ranked_as_measured_and_what_is_not_is_explained() -> None:
    rankings = load_rankings(load_calibration())
    assert len(rankings) >= 40
    assert len({ranking.by.partition(",")[0].partition(" v0")[0] for ranking in rankings}) >= 10, "publishers"
    agree, differ = np.sum([ranking.pairs for ranking in rankings], axis=0)
    assert agree >= 0.8 * differ
    assert [ranking.by for ranking in rankings if ranking.pairs[0] < ranking.pairs[1] and not ranking.why] == []


def test_the_page_shows_the_rankings_of_the_shipped_calibration() -> None:
    assert "$rankings" in TEXT.read_text("utf-8")
    assert rankings_table(load_calibration()) in PAGE.read_text("utf-8"), "run: python tools/fit/fit.py"
