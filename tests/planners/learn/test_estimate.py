"""The estimate of one factor: shrinks to what is believed, tightens with runs, isn't spoilt by an outlier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.learn.fit import estimate

logs = st.floats(-1.5, 1.5)


@given(logs, st.floats(0.1, 1.2))
def test_without_runs_the_prior_stays(prior: float, sd: float) -> None:
    found = estimate([], [], prior=prior, prior_sd=sd)
    assert found.log_factor == pytest.approx(prior, abs=0.01 * sd)


@given(st.lists(logs, min_size=1, max_size=8), logs)
def test_a_factor_lies_between_the_prior_and_the_runs(seen: list[float], prior: float) -> None:
    found = estimate(seen, [0.0] * len(seen), prior=prior, prior_sd=0.4)
    assert min(*seen, prior) - 0.02 <= found.log_factor <= max(*seen, prior) + 0.02


@given(st.lists(logs, min_size=1, max_size=6), st.floats(-1, 1))
def test_moving_everything_moves_the_factor_alike(seen: list[float], shift: float) -> None:
    here = estimate(seen, [0.02] * len(seen), prior=0.0, prior_sd=0.4)
    there = estimate([y + shift for y in seen], [0.02] * len(seen), prior=shift, prior_sd=0.4)
    assert there.log_factor == pytest.approx(here.log_factor + shift, abs=1e-6)
    assert (there.log_sd, there.scatter) == pytest.approx((here.log_sd, here.scatter), abs=1e-6)


def test_more_runs_that_agree_make_it_surer() -> None:
    widths = [estimate([0.5] * n, [0.0] * n, prior=0.0, prior_sd=0.4) for n in (1, 2, 5, 20)]
    assert [w.log_sd for w in widths] == sorted((w.log_sd for w in widths), reverse=True)
    assert [w.scatter for w in widths] == sorted((w.scatter for w in widths), reverse=True)
    assert widths[-1].log_factor == pytest.approx(0.5, abs=0.01)
    assert 0.3 < widths[0].log_factor < 0.5, "one run is believed in part"


def test_one_outlier_moves_the_factor_by_less_than_the_scatter_that_is_normal() -> None:
    fine = [0.28, 0.31, 0.30, 0.33]
    with_it = estimate([*fine, 0.3 + np.log(5)], [0.0] * 5, prior=0.0, prior_sd=0.4)
    without = estimate(fine, [0.0] * 4, prior=0.0, prior_sd=0.4)
    assert abs(with_it.log_factor - without.log_factor) < 0.05
    mean = np.mean([*fine, 0.3 + np.log(5)])
    assert mean - 0.3 > 0.3, "a mean would be off by a third"


def test_a_run_with_few_steps_counts_less() -> None:
    even = estimate([0.6, 0.0], [0.0, 0.0], prior=0.0, prior_sd=0.5).log_factor
    assert estimate([0.6, 0.0], [0.0, 0.5], prior=0.0, prior_sd=0.5).log_factor > even + 0.05
