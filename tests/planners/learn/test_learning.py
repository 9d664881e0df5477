"""Plans that learn from simulated runs whose truth is known."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from simulated_runs import Site
from tiny_world import API_ROLLOUT, NOW, SFT, changed, spec, world
from tiny_world import RLCEF as ANY_RLCEF

from planners.learn.fit import fit
from planners.learn.observe import observe
from planners.physics.calibration import Z80
from planners.plan.build import build_plan
from planners.plan.value import Plan
from planners.workload.factors import ANY_GPU, NO_FACTORS, Factors

RLCEF = changed(ANY_RLCEF, train={"sharding": "fsdp"})
"""Of one sharding: a factor is of one, and a plan may choose another."""
H100 = {"gpus": ["H100"], "targets": ["aws"]}
SEEDS = range(20)


UNSURE = dict.fromkeys(("rl_step", "pretrain", "sft", "generate", "other"), 2.4)
"""Scores of bands that leave something to learn, whatever the fit of the day says."""


def planned(factors: Factors = NO_FACTORS, stage: Any = RLCEF, **fields: Any) -> Plan:
    tiny = world()
    unsure = dataclasses.replace(tiny.calibration, scores=UNSURE)
    inputs = dataclasses.replace(tiny, factors=factors, calibration=unsure)
    return build_plan(spec(stage, **({"fleet": H100} | fields)), inputs, now=NOW)


@pytest.fixture(scope="module")
def base() -> Plan:
    return planned()


@pytest.mark.parametrize("wrong", [None, 2], ids=["all fine", "one run gone wrong"])
def test_after_five_runs_the_median_error_of_a_plan_at_least_halves_and_its_band_narrows(
    base: Plan, wrong: int | None
) -> None:
    before, after, held, widths = [], [], [], []
    for seed in SEEDS:
        site = Site(base, seed)
        learned = planned(fit(site.observations(5, wrong=wrong))).stages[0].seconds_per_unit
        true, actual = site.true_unit_seconds(), site.unit_seconds()
        before.append(abs(math.log(base.stages[0].seconds_per_unit.p50 / true)))
        after.append(abs(math.log(learned.p50 / true)))
        held.append(learned.p10 <= actual <= learned.p90)
        widths.append(math.log(learned.p90 / learned.p10))
    raw = base.stages[0].seconds_per_unit
    assert np.median(after) <= np.median(before) / 2
    assert np.mean(held) >= 0.7, held
    assert np.median(widths) < 0.8 * math.log(raw.p90 / raw.p10)


@pytest.mark.parametrize(("runs", "wrong"), [(1, None), (3, None), (5, None), (5, 2), (8, 2)])
def test_the_80_percent_range_of_a_factor_holds_the_next_run_in_70_to_95_of_100(
    base: Plan, runs: int, wrong: int | None
) -> None:
    held, missed, plain = [], [], []
    for seed in range(60):
        site = Site(base, 1000 + seed)
        for found in fit(site.observations(runs, wrong=wrong)).rows:
            place = found.place
            if place.phase == "sandbox" or found.gpu != "H100":
                continue
            actual = site.off[place.phase] + site.rng.normal(0, 0.10) + site.rng.normal(0, 0.07)
            held.append(abs(actual - found.log_factor) <= Z80 * found.log_sd)
            missed.append(abs(site.off[place.phase] - found.log_factor))
            plain.append(abs(site.off[place.phase]))
    assert 0.70 <= np.mean(held) <= (0.95 if wrong is None else 0.99)
    assert np.median(missed) <= np.median(plain) / 2


def test_a_run_of_a_calibrated_plan_counts_against_the_raw_plan(base: Plan) -> None:
    """The same seconds give the same factors, whatever factors the plan had."""
    site = Site(base, 7)
    first = fit(site.observations(3))
    calibrated = planned(first)
    assert calibrated.stages[0].phases[0].seconds != pytest.approx(base.stages[0].phases[0].seconds, rel=0.02)
    seconds = site.run()
    plain = {seen.place: seen for seen in observe("r", base, seconds)[0]}
    for seen in observe("r", calibrated, seconds)[0]:
        assert seen.log_ratio == pytest.approx(plain[seen.place].log_ratio, abs=1e-9)
        assert seen.prior_log_sd == pytest.approx(plain[seen.place].prior_log_sd)


def test_a_plan_says_by_which_runs_it_is_calibrated(base: Plan) -> None:
    factors = fit(Site(base, 3).observations(3))
    made = planned(factors)
    assert made.calibration == f"{base.calibration}+{factors.identity}"
    assert made.stages[0].calibrated.own_runs == 3
    row = next(row for row in made.assumptions if row.name == "rlcef.train")
    assert "your runs r0, r1, r2" in row.source
    assert factors.identity in row.source
    own = made.terms["phase.rlcef.train.own"]
    assert own.value == pytest.approx(made.stages[0].phases[4].own.factor)  # type: ignore[union-attr]
    assert made.stages[0].phases[4].name == "train"


def test_a_run_elsewhere_says_less_and_of_another_model_nothing(base: Plan) -> None:
    site = Site(base, 5)
    site.off = dict.fromkeys(site.off, 0.6)
    factors = fit(site.observations(5))
    place = next(row.place for row in factors.rows if row.place.phase == "train")
    here, there = factors.by_gpu(place)["H100"], factors.by_gpu(place)[ANY_GPU]
    assert 0.2 < there.log_factor < here.log_factor - 0.05, "not measured is not free of what was measured"
    assert there.log_sd > here.log_sd + 0.1
    h200 = planned(factors, fleet={"gpus": ["H200"], "targets": ["aws"]})
    assert all(phase.own.other_gpus for phase in h200.stages[0].phases if phase.own and phase.name != "sandbox")
    assert "on other GPUs" in next(row.source for row in h200.assumptions if row.name == "rlcef.train")
    sandbox_only = [row.name for row in planned(factors, changed(RLCEF, model="Qwen/Qwen2.5-32B-Instruct")).assumptions]
    assert "rlcef.sandbox" in sandbox_only
    assert "rlcef.train" not in sandbox_only
    assert planned(factors, SFT) == planned(stage=SFT)


def test_seconds_that_the_spec_corrects_are_not_corrected_twice(base: Plan) -> None:
    factors = fit(Site(base, 5).observations(2))
    corrected = planned(
        factors, changed(RLCEF, sandbox={"cpus": 1, "memory_gib": 1, "seconds": {"mean": 4, "p95": 12}})
    )
    row = next(row for row in corrected.assumptions if row.name == "rlcef.sandbox")
    assert row.value == "as planned: learned with 3 s a run, not 4 s a run"


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        ({}, "not measured: no step completed it"),
        ({("rlcef", "train"): [0.0, math.nan, -1.0]}, "not measured: no step completed it"),
        ({("rlcef", "checkpoint"): [3.0]}, "the plan has no such phase"),
    ],
)
def test_what_teaches_nothing_says_why(base: Plan, seconds: Any, reason: str) -> None:
    seen, unused = observe("r", base, seconds)
    assert not seen
    assert reason in {row.reason for row in unused}


def test_an_interrupted_run_counts_for_the_phases_that_it_completed(base: Plan) -> None:
    seen, unused = observe("r", base, {("rlcef", "generate"): [90.0, 60.0, 62.0]})
    assert [row.place.phase for row in seen] == ["generate"]
    assert seen[0].actual_seconds == pytest.approx(math.sqrt(60 * 62)), "without the first, which warms up"
    assert {row.phase for row in unused} == {f"rlcef.{p.name}" for p in base.stages[0].phases if p.name != "generate"}


def test_an_api_teaches_nothing() -> None:
    made = planned(stage=API_ROLLOUT)
    seen, unused = observe("r", made, {("rollout", phase.name): [100.0] for phase in made.stages[0].phases})
    assert "API calls" not in {row.place.phase for row in seen}
    assert [row.reason for row in unused if row.phase == "rollout.API calls"] == [
        "its speed is that of a provider, or it was planned before plans could learn"
    ]


def test_a_slow_machine_is_planned_slower_in_the_search_too(base: Plan) -> None:
    """Learned slowness moves the choice, not only the number of the chosen."""
    site = Site(base, 5)
    site.off = dict.fromkeys(site.off, 1.2)
    both = {"gpus": ["H100", "H200"], "targets": ["aws"]}
    factors = fit(site.observations(8))
    gpus = [row.gpu for row in planned(factors, fleet=both).alternatives[:1]]
    assert gpus == ["H200"]
    assert [row.gpu for row in planned(fleet=both).alternatives[:1]] == ["H100"]
