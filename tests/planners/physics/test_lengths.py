"""Response lengths: the table inverts the mean, the spread comes back from mean and p95."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.physics import lengths

NORMAL = NormalDist()


@given(st.floats(-6, 6))
def test_normal_cdf_agrees_with_the_standard_library(x: float) -> None:
    assert float(lengths.normal_cdf(x)) == pytest.approx(NORMAL.cdf(x), abs=2e-7)


@given(st.floats(0.5, 0.999999))
def test_normal_quantile_agrees_with_the_standard_library(p: float) -> None:
    assert float(lengths.normal_quantile(p)) == pytest.approx(NORMAL.inv_cdf(p), abs=6e-4)


@given(ratio=st.floats(0.01, 0.95), log_sd=st.floats(0.1, 1.9))
def test_location_gives_back_the_mean(ratio: float, log_sd: float) -> None:
    u = lengths.location(ratio, log_sd)
    assert float(lengths.clipped_mean(u, log_sd)) == pytest.approx(ratio, rel=0.02)


@given(mean=st.floats(10, 1e4), log_sd=st.floats(0.15, 1.5))
def test_the_spread_comes_back_from_mean_and_p95(mean: float, log_sd: float) -> None:
    p95 = mean * np.exp(lengths.P95_QUANTILE * log_sd - log_sd**2 / 2)
    assert lengths.log_sd_from_p95(mean, float(p95)) == pytest.approx(log_sd, rel=1e-6)


def test_equal_mean_and_p95_is_nearly_no_spread() -> None:
    assert lengths.log_sd_from_p95(1000, 1000) == pytest.approx(0.1)


def test_the_longest_of_more_samples_is_longer() -> None:
    u = lengths.location(0.1, 0.6)
    tops = [float(lengths.longest_of(n, u, 0.6)) for n in (1, 10, 100, 10_000)]
    assert tops == sorted(tops)
    assert tops[-1] <= 1


def test_survival_falls_from_one() -> None:
    shares = lengths.survival(np.linspace(1e-6, 1, 50), lengths.location(0.3, 0.8), 0.8)
    assert shares[0] == pytest.approx(1)
    assert np.all(np.diff(shares) <= 0)
