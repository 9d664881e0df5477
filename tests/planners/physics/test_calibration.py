"""The shipped calibration: reads back, samples, widths and what it speaks for."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workloads import rl_workload

from clusterctl.catalog.lookup import load_calibration
from clusterctl.paths import facts_dir
from planners.physics.calibration import NARROWEST_LOG, Calibration, CalibrationCase
from planners.physics.codes import SHARDING_NAMES
from planners.physics.constants import PRIORS
from planners.physics.step import predict


def test_a_seed_gives_the_same_draws() -> None:
    calibration = load_calibration()
    first, again, other = (calibration.sample(50, seed).gemm_bf16_hopper for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.shape(first) == (50,)


def test_draws_have_the_posterior_spread() -> None:
    calibration = load_calibration()
    drawn = np.log(np.array([getattr(calibration.sample(4000, 7), p.name) for p in PRIORS]))
    expected = np.sqrt(np.diag(calibration.cholesky @ calibration.cholesky.T))
    assert drawn.std(axis=1) == pytest.approx(expected, rel=0.08)


def test_the_fit_never_knows_less_than_the_prior() -> None:
    spread = np.sqrt(np.diag(load_calibration().cholesky @ load_calibration().cholesky.T))
    assert all(sd <= p.log_sd * 1.01 for sd, p in zip(spread, PRIORS, strict=True))


def test_linearised_variance_agrees_with_draws() -> None:
    calibration, w = load_calibration(), rl_workload()
    linear = float(calibration.log_variance(lambda c: predict(c, w).step_seconds)[0])
    drawn = np.log(np.asarray(predict(calibration.sample(2000, 3), w).step_seconds)).var()
    assert linear == pytest.approx(drawn, rel=0.3)


@given(variance=st.floats(0, 1), missing=st.floats(0, 4))
def test_bands_widen_with_what_is_unknown_and_have_a_floor(variance: float, missing: float) -> None:
    calibration = load_calibration()
    for kind in ("rl_step", "rl_run", "pretrain", "sft", "generate", "evaluate"):
        width = float(calibration.half_width(kind, variance, missing))
        assert width >= NARROWEST_LOG
        assert width <= float(calibration.half_width(kind, variance + 0.1, missing))
        assert width < float(calibration.half_width(kind, variance, missing + 0.1))


def test_bands_of_each_kind_hold_the_scatter_and_unmeasured_kinds_have_the_widest() -> None:
    scores = load_calibration().scores
    measured = [scores[kind] for kind in ("rl_step", "pretrain", "sft", "generate")]
    assert min(measured) > 1.0
    assert scores["other"] == max(measured)


DENSE_ON_H100 = CalibrationCase(
    kind="pretrain", params=7e9, moe=False, generation="hopper", engine=None, sharding="fsdp"
)


def test_matching_counts_cases_and_names_the_combinations_that_nobody_published() -> None:
    calibration = load_calibration()
    known = calibration.matching(DENSE_ON_H100)
    assert known.outside == ()
    assert known.cases > 5
    run = replace(DENSE_ON_H100, kind="rl_step", generation="ada", engine="trtllm")
    foreign = calibration.matching(run)
    assert set(foreign.outside) == {"engine", "engine on this GPU generation", "sharding on this GPU generation"}
    assert foreign.cases == 0
    assert foreign.log_variance > known.log_variance == 0
    served = CalibrationCase(kind="generate", params=7e10, moe=False, generation="hopper", engine="vllm", sharding=None)
    assert calibration.matching(served).outside == ()
    assert calibration.matching(replace(served, generation="cdna3")).outside == ("engine on this GPU generation",)


def test_a_row_of_a_workload_has_the_names_of_its_codes() -> None:
    row = CalibrationCase.of("rl_run", rl_workload())
    assert (row.kind, row.moe, row.generation, row.engine) == ("rl_step", False, "hopper", "vllm")
    assert row.sharding in SHARDING_NAMES


def test_another_version_is_refused() -> None:
    document = json.loads((facts_dir() / "calibration.json").read_text("utf-8"))
    with pytest.raises(ValueError, match="schema"):
        Calibration.from_json(document | {"schema": 99})
    with pytest.raises(ValueError, match="constants"):
        Calibration.from_json(document | {"constants": {"speed": 1.0}})
