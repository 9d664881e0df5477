"""The harness and its verdicts: statuses, rewards, and hidden tests that stay out of both."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_here import SandboxHere, judge_here

from clusterctl.jobs.judge import PENALTY, Ending, Judgement, Outcome, code_for, outcome_of, reward
from examples.quickstart.problems import PROBLEMS

SUM = PROBLEMS[0]
CLAMP = PROBLEMS[-1]


@pytest.mark.parametrize(
    ("body", "status", "share"),
    [
        ("return sum(xs)", Ending.RAN, 1.0),
        ("return None", Ending.RAN, 0.0),
        ("return str(sum(xs))", Ending.RAN, 0.0),
        ("return sum(xs) * True + 0.0", Ending.RAN, 0.0),
        ("return 1 / 0", Ending.ERROR, 0.0),
        ("return unknown", Ending.ERROR, 0.0),
        ("return sum(xs) if len(xs) > 2 else 1 / 0", Ending.ERROR, 0.75),
        ("while True: pass", Ending.TIME_LIMIT, 0.0),
        ("return sum(xs", Ending.NOT_COMPILED, 0.0),
        ("xs.clear()", Ending.RAN, 0.0),
    ],
)
def test_visible_verdicts(sandbox: SandboxHere, body: str, status: Ending, share: float) -> None:
    visible = judge_here(SUM, f"def solve(xs):\n    {body}\n").visible
    assert (visible.status, visible.passed_share) == (status, share)


@pytest.mark.parametrize("source", ["", "solve = 3\n", "def other(xs):\n    return 1\n", "raise ValueError\n"])
def test_a_text_without_the_function_is_an_error(sandbox: SandboxHere, source: str) -> None:
    assert judge_here(SUM, source).visible == Outcome(passed_share=0.0, status=Ending.ERROR)


def test_a_program_may_change_its_arguments(sandbox: SandboxHere) -> None:
    verdict = judge_here(SUM, "def solve(xs):\n    acc = 0\n    while xs:\n        acc += xs.pop()\n    return acc\n")
    assert (verdict.passes_visible, verdict.passes_hidden) == (True, True)


def test_weak_visible_tests_reward_a_wrong_program_and_the_hidden_ones_tell() -> None:
    problem = next(p for p in PROBLEMS if p.name == "largest")
    verdict = judge_here(problem, "def solve(xs):\n    acc = 0\n    for x in xs:\n        acc = x\n    return acc\n")
    assert reward(verdict) == 1.0
    assert verdict.hidden
    assert verdict.hidden.passed_share < 0.5


def test_endless_hidden_tests_leave_the_visible_verdict_alone(sandbox: SandboxHere) -> None:
    program = "def solve(n, a, b):\n    while n == 30:\n        pass\n    return min(max(n, a), b)\n"
    verdict = judge_here(CLAMP, program)
    assert verdict.visible == Outcome(passed_share=1.0, status=Ending.RAN)
    assert verdict.hidden
    assert verdict.hidden.status is Ending.TIME_LIMIT


@given(st.sampled_from(PROBLEMS), st.integers(0, 10**6), st.lists(st.integers(-9, 9), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_no_hidden_test_reaches_the_reward(problem, seed: int, numbers: list[int]) -> None:
    """Other hidden tests, whatever they ask, give the same reward."""
    import numpy as np

    from examples.quickstart.policy import Vocabulary, new_parameters, write_programs

    rng = np.random.default_rng(seed)
    vocabulary = Vocabulary(PROBLEMS)
    (program,), _ = write_programs(new_parameters(vocabulary, rng), vocabulary, [problem], rng)
    other = replace(problem, hidden=tuple((problem.visible[0][0], number) for number in numbers))
    assert reward(judge_here(problem, program)) == reward(judge_here(other, program))


def test_a_program_that_prints_a_verdict_does_not_get_it(sandbox: SandboxHere) -> None:
    verdict = judge_here(SUM, "print('0123456789abcdef 4 ran')\ndef solve(xs):\n    print('4 ran')\n    return 0\n")
    assert verdict.visible.passed_share == 0.0


def test_what_the_program_gets_holds_no_expected_value_and_of_each_kind_its_own_arguments() -> None:
    for problem in PROBLEMS:
        for kind, other in ((problem.visible, problem.hidden), (problem.hidden, problem.visible)):
            code = code_for("", kind)
            assert all(repr(arguments) in code for arguments, _ in kind)
            unasked = {repr(arguments) for arguments, _ in other} - {repr(arguments) for arguments, _ in kind}
            assert not [arguments for arguments in unasked if repr(arguments) in code]
            assert code == code_for("", [(arguments, "another answer") for arguments, _ in kind])


def test_silence_is_an_error_or_the_sandboxs_time_limit() -> None:
    cases = [((number,), number) for number in range(4)]
    assert outcome_of("", cases) == Outcome(passed_share=0.0, status=Ending.ERROR)
    assert outcome_of("", cases, out_of_time=True) == Outcome(passed_share=0.0, status=Ending.TIME_LIMIT)
    assert outcome_of("=0\n=1\n", cases, out_of_time=True) == Outcome(passed_share=0.5, status=Ending.TIME_LIMIT)
    assert outcome_of("=0\n=1\n=2", cases) == Outcome(passed_share=0.5, status=Ending.ERROR)
    assert outcome_of("=0\n!\n=2\n=3\nran", cases) == Outcome(passed_share=0.75, status=Ending.ERROR)
    assert outcome_of("=0\n=1\n=2\n=3\nran", cases) == Outcome(passed_share=1.0, status=Ending.RAN)


@given(st.text("=!01ran\n _time_limit250.") | st.text(), st.integers(1, 6), st.booleans())
def test_whatever_is_printed_the_reward_is_from_0_to_1(printed: str, count: int, out_of_time: bool) -> None:
    visible = outcome_of(printed, [((0,), 0)] * count, out_of_time=out_of_time)
    assert 0.0 <= visible.passed_share <= 1.0
    value = reward(Judgement(visible=visible, hidden=None))
    assert value is not None
    assert 0.0 <= value <= 1.0


@given(st.floats(), st.sampled_from(list(Ending)))
def test_the_reward_is_the_share_less_the_penalty_within_0_and_1(share: float, status: Ending) -> None:
    verdict = Judgement(visible=Outcome(passed_share=share, status=status), hidden=None)
    assert PENALTY[status] >= 0.0
    if math.isfinite(share):
        assert reward(verdict) == min(max(share - PENALTY[status], 0.0), 1.0)
    else:
        with pytest.raises(ValueError, match="a reward of"):
            reward(verdict)


def test_without_a_verdict_there_is_no_reward() -> None:
    assert reward(None) is None
