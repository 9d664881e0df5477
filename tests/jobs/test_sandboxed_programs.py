"""Programs with their tests in a real sandbox: what passes, and what only seems to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "sandbox"))

from sandbox import Sandbox, ran
from sandbox_serving import serving

ADD = "def add(a, b):\n    return a + b\n"
TESTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serving(workers=4) as url:
        yield Sandbox(urls=[url], seconds=5.0, memory_mib=256)


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
def test_verdicts(sandbox: Sandbox, program: str, passed: int, status: str) -> None:
    result = sandbox.run(program, TESTS)
    assert result is not None
    assert (result.passed, result.tests, result.status) == (passed, 2, status)
    assert result.all_passed == (passed == 2)


def test_time_is_limited(sandbox: Sandbox) -> None:
    result = Sandbox(urls=sandbox.urls, seconds=0.5).run("while True: pass", TESTS)
    assert result is not None
    assert (result.passed, result.status) == (0, "time_limit")


def test_what_the_tests_said_is_shown_without_the_word(sandbox: Sandbox) -> None:
    result = sandbox.run("print('hello')\n" + ADD, ["assert add(1, 2) == 4, 'three'"])
    assert result is not None
    assert result.stdout.strip() == "hello"
    assert result.stderr.strip() == "AssertionError: three"


def test_no_tests_pass_nothing(sandbox: Sandbox) -> None:
    result = sandbox.run(ADD, [])
    assert result is not None
    assert not result.all_passed


def test_it_waits_until_a_right_program_passes(sandbox: Sandbox) -> None:
    sandbox.wait()


def test_more_verdicts_than_tests_count_once() -> None:
    result = ran({"status": "Finished", "stdout": "w1\nw1\nw1\n"}, "w", 2)
    assert (result.passed, result.status) == (2, "error")
