"""Bands, what would narrow them, and what moves the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_world import API_ROLLOUT, EVALUATE, RLCEF, ROLLOUT, SFT, SYNTHESIZE, changed, plan, whole_plan

from planners.plan.uncertainty import added, band
from planners.plan.value import Band, Plan

STAGES = [RLCEF, SFT, EVALUATE, ROLLOUT, API_ROLLOUT, SYNTHESIZE]
KINDS = [stage["kind"] + (" by API" if "api" in stage else "") for stage in STAGES]


def ordered(shown: Band) -> bool:
    return 0 <= shown.p10 <= shown.p50 <= shown.p90


SHARDED = changed(SFT, train={"sharding": "fsdp"})
"""As published runs of such models were."""


def spread(shown: Band) -> float:
    return shown.p90 / shown.p10


# ---- bands


@pytest.mark.parametrize("stage", STAGES, ids=KINDS)
def test_bands_are_ordered_and_never_narrower_than_software_drift(stage: dict[str, Any]) -> None:
    made = plan(stage)
    bands = [made.hours, made.usd, *(row.hours for row in made.alternatives), *(row.usd for row in made.alternatives)]
    for each in made.stages:
        bands += [each.hours, each.seconds_per_unit, *([each.usd] if each.usd else [])]
        assert spread(each.hours) == pytest.approx(spread(each.seconds_per_unit))
    assert all(ordered(shown) for shown in bands)
    assert made.hours.p90 >= 1.149 * made.hours.p50


@given(st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(0, 3)), min_size=1, max_size=5))
def test_stages_err_together(parts: list[tuple[float, float]]) -> None:
    total = added([band(middle, half) for middle, half in parts])
    assert ordered(total)
    assert total.p50 == pytest.approx(sum(middle for middle, _ in parts))
    assert spread(total) <= max(spread(band(middle, half)) for middle, half in parts) * (1 + 1e-9)
    for middle, half in parts:
        assert np.log(band(middle, half).p90 / middle) == pytest.approx(half, abs=1e-9)
        assert np.log(middle / band(middle, half).p10) == pytest.approx(half, abs=1e-9)


def test_spot_dollars_are_less_sure_than_spot_hours() -> None:
    spot, kept = plan(fleet={"capacity": ["spot"]}), plan()
    assert spread(spot.usd) > spread(spot.hours)
    assert spread(kept.usd) <= spread(kept.hours) * (1 + 1e-9)


def test_each_alternative_is_as_sure_as_its_own_gpu() -> None:
    cheap = {"rates": [{"cloud": "aws", "instance_type": "g6e.2xlarge", "usd_per_hour": 0.05}]}
    both = plan(SHARDED, fleet={"gpus": ["H100", "L40S"], "targets": ["aws"]}, prices=cheap)
    alone = {gpu: plan(SHARDED, fleet={"gpus": [gpu], "targets": ["aws"]}) for gpu in ("H100", "L40S")}
    assert alone["L40S"].stages[0].calibrated.outside, "nobody published a run on L40S"
    assert spread(alone["L40S"].hours) > 1.5 * spread(alone["H100"].hours)
    assert {row.gpu for row in both.alternatives} == {"H100", "L40S"}
    for row in both.alternatives:
        assert (spread(row.hours) > 1.4 * spread(alone["H100"].hours)) == (row.gpu == "L40S")


# ---- what would narrow it


def with_length(tokens: object, **fields: Any) -> Plan:
    fleet = {"nodes": 2, "gpus": ["H100"], "targets": ["aws"]}
    return whole_plan(changed(RLCEF, response_tokens=tokens, **fields), fleet=fleet)


def test_an_unknown_length_widens_the_band_and_giving_it_narrows_as_promised() -> None:
    unknown = with_length(None)
    assert [row.input for row in unknown.stages[0].narrow] == ["rlcef.response_tokens"]
    promised = unknown.stages[0].narrow[0]
    assert promised.width_now == pytest.approx(spread(unknown.stages[0].hours))
    assert promised.width_then < promised.width_now / 2
    tokens = unknown.stages[0].demand["generate tokens"] / (100 * 64 * 8)
    known = with_length({"mean": round(tokens)})
    assert known.stages[0].narrow == ()
    assert spread(known.stages[0].hours) == pytest.approx(promised.width_then, rel=0.15)
    assert known.hours.p50 == pytest.approx(unknown.hours.p50, rel=0.1)


def test_assumed_seconds_of_a_sandbox_widen_the_band_and_giving_them_narrows_as_promised() -> None:
    assumed = plan(changed(EVALUATE, samples=20, sandbox={"concurrency": 8}), fleet={"nodes": 1, "gpus": ["H100"]})
    promised = {row.input: row for row in assumed.stages[0].narrow}["evaluate.sandbox.seconds"]
    stated = changed(EVALUATE, samples=20, sandbox={"concurrency": 8, "seconds": {"mean": 3, "p95": 10}})
    known = plan(stated, fleet={"nodes": 1, "gpus": ["H100"]})
    assert known.stages[0].narrow == ()
    assert spread(known.stages[0].hours) == pytest.approx(promised.width_then, rel=0.02)
    assert promised.width_then < promised.width_now == pytest.approx(spread(assumed.stages[0].hours))


def test_what_the_user_did_not_give_is_listed_with_its_source() -> None:
    unknown = with_length(None, sandbox=None)
    names = {row.name for row in unknown.assumptions}
    assert {"rlcef.response_tokens", "rlcef.sandbox.seconds", "rlcef.sandbox.cpus"} <= names
    assert all(row.source and row.value for row in unknown.assumptions)
    assert "rlcef.response_tokens" not in {row.name for row in with_length(1000).assumptions}


# ---- calibrated by


def test_covered_and_uncovered_stages_say_so() -> None:
    dense = plan(SHARDED, fleet={"gpus": ["H100"]}).stages[0].calibrated
    assert dense.cases > 0
    far = plan(SHARDED, fleet={"gpus": ["L40S"]}).stages[0].calibrated
    assert far.cases < dense.cases or far.outside
    assert plan(API_ROLLOUT).stages[0].calibrated.cases == 0


# ---- sensitivity


@pytest.mark.parametrize("stage", STAGES, ids=KINDS)
def test_inputs_are_sorted_by_swing_and_all_move_the_result(stage: dict[str, Any]) -> None:
    made = whole_plan(stage, SFT | {"name": "later"})
    swings = [abs(row.usd_high - row.usd_low) for row in made.sensitivity]
    assert swings == sorted(swings, reverse=True)
    assert 1 <= len(made.sensitivity) <= 6
    assert len({row.input for row in made.sensitivity}) == len(made.sensitivity)
    for row in made.sensitivity:
        assert row.usd_high != row.usd_low or row.hours_high != row.hours_low
        assert min(row.usd_low, row.usd_high) <= made.usd.p50 * (1 + 1e-9)
        assert max(row.usd_low, row.usd_high) >= made.usd.p50 * (1 - 1e-9)
        assert min(row.hours_low, row.hours_high) <= made.hours.p50 * (1 + 1e-9)
        assert max(row.hours_low, row.hours_high) >= made.hours.p50 * (1 - 1e-9)


@pytest.mark.parametrize("stage", [RLCEF, ROLLOUT, SYNTHESIZE], ids=lambda stage: stage["kind"])
def test_the_response_length_moves_whatever_generates(stage: dict[str, Any]) -> None:
    made = whole_plan(stage)
    mover = {row.input: row for row in made.sensitivity}[f"{made.stages[0].name}.response_tokens.mean"]
    assert mover.usd_low < made.usd.p50 < mover.usd_high
    unknown = whole_plan(changed(RLCEF, response_tokens=None))
    assert unknown.sensitivity[0].input == "rlcef.response_tokens.mean"


def test_a_mover_is_what_the_changed_spec_would_cost() -> None:
    base = with_length({"mean": 1000, "p95": 3000})
    mover = {row.input: row for row in base.sensitivity}["rlcef.response_tokens.mean"]
    assert (mover.low, mover.high) == ("800", "1,250")
    longer = with_length({"mean": 1250, "p95": 3750})
    if longer.stages[0].layout == base.stages[0].layout and longer.pools[-1].nodes == base.pools[-1].nodes:
        assert mover.hours_high == pytest.approx(longer.hours.p50, rel=0.05)
    assert mover.hours_high > base.hours.p50


def test_tokens_move_what_an_api_costs() -> None:
    made = whole_plan(API_ROLLOUT)
    mover = {row.input: row for row in made.sensitivity}["rollout.API tokens"]
    tokens = sum(line.usd or 0.0 for line in made.lines if line.unit == "million tokens")
    assert mover.usd_high - mover.usd_low >= (1.25 - 0.8) * tokens * 0.999


def test_the_spot_price_moves_the_gpus_alone() -> None:
    made = whole_plan(changed(RLCEF, steps=500), fleet={"capacity": ["spot"]})
    mover = {row.input: row for row in made.sensitivity}["spot price (rlcef)"]
    gpus = sum(pool.usd or 0.0 for pool in made.pools if pool.gpu)
    assert mover.usd_high - made.usd.p50 == pytest.approx(0.47 * gpus)
    assert mover.hours_low == mover.hours_high == pytest.approx(made.hours.p50)
