"""One RL step: schedules, phases, rows."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workloads import PRIOR, changed, rl_workload

from planners.physics.codes import ASYNC, COLOCATED, DISAGGREGATED
from planners.physics.constants import PRIORS, Constants
from planners.physics.generate import generate
from planners.physics.overhead import run_waste
from planners.physics.step import predict, sync_seconds
from planners.physics.workload_rows import distinct_rows, stack, take_rows


def test_colocated_phases_add_up() -> None:
    step = predict(PRIOR, replace(rl_workload(), environment_seconds=7.0))
    total = step.generate.makespan_seconds + 7.0 + step.controller_seconds + step.trainer_seconds + step.sync_seconds
    assert float(step.step_seconds) == pytest.approx(float(total))


def test_two_pools_add_up_in_lockstep_and_overlap_a_step_apart() -> None:
    w = changed(rl_workload(), "layout", train_gpus=8.0, rollout_gpus=8.0, dp=8.0)
    step = predict(PRIOR, changed(w, "rollout", schedule=DISAGGREGATED))
    total = step.generate.makespan_seconds + step.controller_seconds + step.trainer_seconds + step.sync_seconds
    assert float(step.step_seconds) == pytest.approx(float(total))
    step = predict(PRIOR, changed(w, "rollout", schedule=ASYNC))
    longest = max(float(step.generate.makespan_seconds), float(step.trainer_seconds))
    assert (
        longest < float(step.step_seconds) < step.generate.makespan_seconds + step.trainer_seconds + step.sync_seconds
    )


def test_staleness_hides_the_tail() -> None:
    w = changed(rl_workload(), "layout", train_gpus=12.0, rollout_gpus=4.0, dp=12.0)
    steps = [
        float(predict(PRIOR, changed(w, "rollout", schedule=ASYNC, staleness_steps=k)).step_seconds)
        for k in (0.0, 1.0, 4.0)
    ]
    assert steps == sorted(steps, reverse=True)


@given(factor=st.floats(1.1, 4))
def test_discarded_samples_cost_generation_but_no_training(factor: float) -> None:
    plain = predict(PRIOR, rl_workload())
    wasteful = predict(PRIOR, changed(rl_workload(), "rollout", generated_per_used=factor))
    assert wasteful.generate.makespan_seconds > plain.generate.makespan_seconds
    assert wasteful.train_seconds == plain.train_seconds


def test_a_critic_adds_its_passes() -> None:
    step = predict(PRIOR, changed(rl_workload(), "train", critic=1.0))
    assert step.critic_train_seconds == step.train_seconds
    assert step.value_seconds == step.log_prob_seconds
    assert float(predict(PRIOR, rl_workload()).critic_train_seconds) == 0


def test_padding_costs_tokens() -> None:
    packed, padded = (predict(PRIOR, changed(rl_workload(), "train", packed=p)).trained_tokens for p in (1.0, 0.0))
    assert float(packed) == pytest.approx(1024 * 1200)
    assert padded > packed


def test_sync_grows_with_the_model_not_with_nodes() -> None:
    w = changed(rl_workload(), "rollout", schedule=DISAGGREGATED)
    more = changed(w, "layout", gpus=1024.0)
    assert sync_seconds(PRIOR, w) == sync_seconds(PRIOR, more)
    assert sync_seconds(PRIOR, replace(w, model=rl_workload("Qwen/Qwen2.5-32B").model)) > sync_seconds(PRIOR, w)
    assert sync_seconds(PRIOR, changed(w, "rollout", schedule=COLOCATED)) > sync_seconds(PRIOR, w)


def test_columns_give_the_same_as_scalars_row_by_row() -> None:
    rows = [
        changed(changed(rl_workload(), "layout", rollout_gpus_per_replica=r), "rollout", samples=n)
        for r in (1.0, 2.0, 8.0)
        for n in (32.0, 900.0, 9000.0)
    ] + [rl_workload("Qwen/Qwen3-30B-A3B"), rl_workload(gpu="MI300X"), rl_workload(gpu="L40S")]
    together = np.asarray(predict(PRIOR, stack(rows)).step_seconds)
    alone = [float(predict(PRIOR, w).step_seconds) for w in rows]
    assert together == pytest.approx(alone, rel=1e-9)


def test_repeated_rows_are_computed_once_and_spread() -> None:
    columns = stack([rl_workload(), rl_workload("Qwen/Qwen3-30B-A3B")])
    repeated = take_rows(columns, np.array([0, 1] * 50))
    found = distinct_rows([repeated.model.params_total, repeated.rollout.samples])
    assert found is not None
    assert len(found[0]) == 2
    step = predict(PRIOR, repeated)
    assert np.asarray(step.generate.makespan_seconds) == pytest.approx(
        np.asarray(generate(PRIOR, repeated).makespan_seconds)
    )
    assert distinct_rows([1.0, 2.0]) is None


def test_constants_can_be_columns() -> None:
    spread = Constants(**{p.name: p.value * np.array([1.0, 1.1]) for p in PRIORS})
    seconds = np.asarray(predict(spread, rl_workload()).step_seconds)
    assert seconds.shape == (2,)
    assert seconds[0] == pytest.approx(float(predict(PRIOR, rl_workload()).step_seconds))


def test_constants_carry_what_a_reader_needs() -> None:
    assert len(PRIORS) == len(fields(Constants))
    assert all(p.value > 0 and 0 < p.log_sd < 1 and p.unit and p.meaning and p.source for p in PRIORS)


@given(hours=st.floats(1, 1e7))
def test_whole_runs_waste_more_the_longer_they_are(hours: float) -> None:
    assert 1 < float(run_waste(PRIOR, hours)) < float(run_waste(PRIOR, 10 * hours)) < 1.6
