"""The mathematics of GRPO, checked against definitions and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from examples.quickstart import grpo
from examples.quickstart.policy import Choices, Vocabulary, new_parameters, write_programs
from examples.quickstart.problems import PROBLEMS

VOCABULARY = Vocabulary(PROBLEMS)


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 8)), elements=st.floats(-1, 1)))
def test_advantages_sum_to_zero_in_every_group_and_keep_the_order(rewards: np.ndarray) -> None:
    advantage = grpo.advantages(rewards)
    assert np.allclose(advantage.sum(axis=1), 0.0)
    for row, values in zip(rewards, advantage, strict=True):
        assert np.all(np.diff(values[np.argsort(row, kind="stable")]) >= -1e-12)


def test_equal_rewards_teach_nothing_but_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo, "ENTROPY_WEIGHT", 0.0)
    parameters, choices = _sampled(3)
    advantage = grpo.advantages(np.full((7, 2), 0.4)).reshape(-1)[choices.sample]
    _, _, gradient = grpo.loss_and_gradient(parameters, choices, advantage)
    assert all(np.all(slope == 0.0) for slope in gradient.values())


def _sampled(seed: int) -> tuple[dict[str, np.ndarray], Choices]:
    """A policy some way from its start, and choices of a policy nearby, so that some ratios are clipped."""
    rng = np.random.default_rng(seed)
    parameters = new_parameters(VOCABULARY, rng)
    parameters["out"] = rng.normal(0.0, 0.3, parameters["out"].shape)
    _, choices = write_programs(parameters, VOCABULARY, PROBLEMS, rng)
    moved = {name: value + rng.normal(0.0, 0.05, value.shape) for name, value in parameters.items()}
    moved["features"][0] = 0.0
    return moved, choices


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_the_loss(seed: int) -> None:
    parameters, choices = _sampled(seed)
    rng = np.random.default_rng(100 + seed)
    advantage = rng.normal(size=len(choices.chosen))
    _, _, gradient = grpo.loss_and_gradient(parameters, choices, advantage)
    for name, slope in gradient.items():
        largest = np.argsort(np.abs(slope), axis=None)[-4:]
        for flat in [*largest, *rng.integers(slope.size, size=4)]:
            at = np.unravel_index(flat, slope.shape)
            if name == "features" and at[0] == 0:
                continue  # row 0 is no feature and stays zero
            sides = []
            for step in (1e-6, -1e-6):
                nudged = {key: value.copy() for key, value in parameters.items()}
                nudged[name][at] += step
                sides.append(grpo.loss_and_gradient(nudged, choices, advantage)[0])
            assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(slope[at], rel=1e-4, abs=1e-8)


def test_a_ratio_past_the_clip_in_the_rewarded_direction_pulls_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo, "ENTROPY_WEIGHT", 0.0)
    parameters, choices = _sampled(1)
    lucky = Choices(
        seen=choices.seen,
        fits=choices.fits,
        chosen=choices.chosen,
        sample=choices.sample,
        log_prob=choices.log_prob - 1.0,
    )
    _, _, gradient = grpo.loss_and_gradient(parameters, lucky, np.ones(len(choices.chosen)))
    assert all(np.all(slope == 0.0) for slope in gradient.values())


def test_learning_makes_what_was_rewarded_likelier() -> None:
    rng = np.random.default_rng(0)
    parameters = new_parameters(VOCABULARY, rng)
    _, choices = write_programs(parameters, VOCABULARY, [PROBLEMS[0]] * 8, rng)
    rewards = np.array([[1.0] + [0.0] * 7])
    before = choices.log_prob[choices.sample == 0].sum()
    grpo.learn(parameters, grpo.Adam(), choices, rewards)
    rows = np.flatnonzero(choices.sample == 0)
    from examples.quickstart.policy import forward

    _, log_probs = forward(parameters, choices.seen[rows], choices.fits[rows])
    assert log_probs[np.arange(len(rows)), choices.chosen[rows]].sum() > before + 0.1
