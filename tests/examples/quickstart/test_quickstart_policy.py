"""The policy: probabilities are probabilities, and it sees what it should."""

from __future__ import annotations

import numpy as np

from examples.quickstart.grammar import PRODUCTIONS, Derivation
from examples.quickstart.policy import WORDS, Vocabulary, forward, new_parameters, write_programs
from examples.quickstart.problems import PROBLEMS

VOCABULARY = Vocabulary(PROBLEMS)


def _sample(seed: int, count: int = 20):
    rng = np.random.default_rng(seed)
    parameters = new_parameters(VOCABULARY, rng)
    return parameters, *write_programs(parameters, VOCABULARY, PROBLEMS * count, rng)


def test_log_probabilities_are_those_that_forward_gives_and_sum_to_one() -> None:
    parameters, _, choices = _sample(0)
    _, log_probs = forward(parameters, choices.seen, choices.fits)
    assert np.allclose(np.exp(log_probs).sum(axis=1), 1.0)
    assert np.array_equal(log_probs[np.arange(len(choices.chosen)), choices.chosen], choices.log_prob)
    assert np.all(np.isneginf(log_probs[~choices.fits]))


def test_at_first_every_fitting_production_is_equally_likely() -> None:
    _, _, choices = _sample(1)
    assert np.allclose(np.exp(choices.log_prob), 1.0 / choices.fits.sum(axis=1))


def test_many_programs_of_an_untrained_policy_are_wrong_in_every_way(sandbox) -> None:
    import asyncio

    _, programs, _ = _sample(2)
    verdicts = asyncio.run(sandbox.judge(PROBLEMS * 20, programs))
    share = {s: sum(v.visible.status == s for v in verdicts) / len(verdicts) for s in ("not_compiled", "error")}
    assert 0.2 < share["not_compiled"] < 0.6
    assert share["error"] > 0.05
    assert sum(v.visible.status == "time_limit" for v in verdicts) >= 3
    assert sum(v.passes_hidden for v in verdicts) / len(verdicts) < 0.05


def test_the_same_seed_writes_the_same_programs_and_another_others() -> None:
    assert _sample(3)[1] == _sample(3)[1]
    assert _sample(3)[1] != _sample(4)[1]


def test_features_tell_problems_and_places_apart() -> None:
    seen = set()
    for problem in PROBLEMS:
        assert len(problem.words) <= WORDS
        draft = Derivation(problem.arguments)
        seen.add(tuple(VOCABULARY.features(problem, draft)))
        draft.choose(0)
        seen.add(tuple(VOCABULARY.features(problem, draft)))
    assert len(seen) == 2 * len(PROBLEMS)
    assert max(max(row) for row in seen) < VOCABULARY.size


def test_the_policy_has_about_as_many_parameters_as_its_plan_says() -> None:
    parameters = new_parameters(VOCABULARY, np.random.default_rng(0))
    assert 15_000 < sum(part.size for part in parameters.values()) < 30_000
    assert parameters["out"].shape[1] == len(PRODUCTIONS)
