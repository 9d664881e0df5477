"""Programs with their tests in a real sandbox: what passes, and what only seems to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "sandbox"))

import clusterctl_rewards
from clusterctl_execution import called_tests, ran, run, wait_for_sandboxes, whole_program
from sandbox_serving import serving

ADD = "def add(a, b):\n    return a + b\n"
TESTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]


@pytest.fixture(autouse=True, scope="module")
def _sandboxes() -> Iterator[None]:
    with serving(workers=4) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLUSTERCTL_SANDBOXES", url)
        yield


@pytest.mark.parametrize(
    ("program", "passed", "status"),
    [
        (ADD, 2, "ran"),
        (ADD.replace("a + b", "a + b if a > 0 else 9"), 1, "ran"),
        (ADD.replace("a + b", "1 / 0"), 0, "ran"),
        ("def broken(", 0, "not_compiled"),
        ("raise ValueError", 0, "error"),
        ("import sys\nsys.exit(0)", 0, "error"),
        ("import os\nprint('1' * 33)\nos._exit(0)", 0, "error"),
        (ADD + "\nprint(open('word').read())", 0, "error"),
        ("", 0, "ran"),
    ],
)
def test_verdicts(program: str, passed: int, status: str) -> None:
    result = run(program, TESTS)
    assert result is not None
    assert (result.passed, result.tests, result.status) == (passed, 2, status)
    assert result.all_passed == (passed == 2)


def test_the_reward_of_a_command_of_ones_own_is_the_same_verdict() -> None:
    answers = [
        f"```python\n{ADD}```",
        "```python\nimport sys\nsys.exit(0)\n```",
        ADD + "import os\nos._exit(0)\n",
        "    return a + b",
    ]
    asked = ["def add(a, b):\n"] * 4
    assert clusterctl_rewards.passes(asked, answers, ["\n".join(TESTS)] * 4, ["add"] * 4) == [1.0, 0.0, 0.0, 1.0]
    assert clusterctl_rewards.passes(asked, answers, [TESTS] * 4, ["add"] * 4) == [1.0, 0.0, 0.0, 1.0]


def test_time_is_limited() -> None:
    result = run("while True: pass", TESTS, seconds=0.5)
    assert result is not None
    assert (result.passed, result.status) == (0, "time_limit")


def test_what_the_tests_said_is_shown_without_the_word() -> None:
    result = run("print('hello')\n" + ADD, ["assert add(1, 2) == 4, 'three'"])
    assert result is not None
    assert result.stdout.strip() == "hello"
    assert result.stderr.strip() == "AssertionError: three"


def test_no_tests_pass_nothing() -> None:
    result = run(ADD, [])
    assert result is not None
    assert not result.all_passed


def test_it_waits_until_a_right_program_passes() -> None:
    wait_for_sandboxes()


def test_more_verdicts_than_tests_count_once() -> None:
    result = ran({"status": "Finished", "stdout": "w1\nw1\nw1\n"}, "w", 2)
    assert (result.passed, result.status) == (2, "error")


PROMPT = 'def add(a, b):\n    """Sum."""\n'
CHECK = "def check(candidate):\n    assert candidate(1, 2) == 3\n"


@pytest.mark.parametrize("code", ["    return a + b\n", ADD, "import os\n\n" + ADD])
def test_an_answer_may_continue_the_problem_or_repeat_it(code: str) -> None:
    result = run(whole_program(PROMPT, code, "add"), called_tests([CHECK], "add"))
    assert result is not None
    assert result.all_passed


def test_an_answer_without_code_passes_nothing() -> None:
    result = run(whole_program(PROMPT, "\n", "add"), called_tests([CHECK], "add"))
    assert result is not None
    assert not result.all_passed
