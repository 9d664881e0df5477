"""Programs and their tests in the sandboxes of a run: how many tests pass, and why not more.

What fails in the sandbox itself is never a verdict on a program: it is tried again, then the sample has none.
The tests run in the program's process, as those of HumanEval do.  A word that the harness takes out of the program's
sight before it starts must come back at the end, so that a program that exits early has not passed.
"""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import clusterctl_sandboxes
from clusterctl_http import ServerAway

SANDBOX_TRIES = 3
"""A program whose sandbox fails so often has no verdict: it may be what makes it fail."""
READY_SECONDS = 600.0

_HARNESS = """
import os, sys
program, tests = {program!r}, {tests!r}
def run():
    with open("word") as file: word = file.read()
    os.unlink("word")
    say = sys.stdout.write
    try: code = compile(program, "program.py", "exec")
    except (SyntaxError, ValueError) as error:
        sys.stderr.write(str(error)[:2000])
        return say("\\n" + word + "X\\n")
    space = {{"__name__": "program"}}
    exec(code, space)
    for test in tests:
        passed = "0"
        try:
            exec(compile(test, "tests.py", "exec"), dict(space))
            passed = "1"
        except Exception as error:
            sys.stderr.write((type(error).__name__ + ": " + str(error))[:2000] + "\\n")
        say("\\n" + word + passed + "\\n")
run()
"""


@dataclass(frozen=True)
class Ran:
    """What became of a program and its tests."""

    passed: int
    tests: int
    status: str
    """ran, error, time_limit or not_compiled."""
    stdout: str
    stderr: str

    @property
    def share(self) -> float:
        """Of the tests that passed."""
        return self.passed / self.tests if self.tests else 0.0

    @property
    def all_passed(self) -> bool:
        """Every test passed, and there was one."""
        return 0 < self.tests == self.passed


def run(program: str, tests: Sequence[str], *, seconds: float = 10.0, memory_mib: int = 1024) -> Ran | None:
    """What the tests say of the program; None where no server answers in time or its sandbox fails again and again."""
    word = secrets.token_hex(16)
    for _ in range(SANDBOX_TRIES):
        answer = clusterctl_sandboxes.run_code(
            _HARNESS.format(program=program, tests=list(tests)),
            run_timeout=seconds,
            memory_limit_MB=memory_mib,
            files={"word": base64.b64encode(word.encode()).decode()},
        )
        if answer is None:
            return None
        if answer.get("status") != "SandboxError" and answer.get("run_result"):
            return ran(answer["run_result"], word, len(tests))
    return None


def whole_program(problem: str, code: str, entry_point: str = "") -> str:
    """The program of an answer: where it does not define `entry_point`, it continues the problem's own code."""
    if not entry_point or re.search(rf"^\s*(?:async\s+)?def\s+{re.escape(entry_point)}\b", code, re.MULTILINE):
        return code
    return problem if problem.endswith("\n") and not code.strip() else f"{problem.rstrip()}\n{code}"


def called_tests(tests: Sequence[str], entry_point: str = "") -> tuple[str, ...]:
    """Tests that call themselves: those of HumanEval define `check(candidate)` alone."""
    return tuple(f"{test}\ncheck({entry_point})\n" if entry_point and "def check(" in test else test for test in tests)


def wait_for_sandboxes(pause: Callable[[float], None] = time.sleep) -> None:
    """Until a program that is right passes.  Raises ServerAway where none does within the patience."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        result = run("def solve(x):\n    return x\n", ["assert solve(3) == 3"])
        if result is not None and result.all_passed:
            return
        pause(2.0)
    raise ServerAway("the sandbox fails a program that is right")


def ran(result: dict[str, Any], word: str, tests: int) -> Ran:
    """What a server's `run_result` says of `tests` tests, each of which answers with the word and 1 or 0."""
    stdout, stderr = str(result.get("stdout") or ""), str(result.get("stderr") or "")
    verdicts = [line[len(word) :] for line in stdout.split("\n") if line.startswith(word)]
    if result.get("status") == "TimeLimitExceeded":
        status = "time_limit"
    elif verdicts == ["X"]:
        status = "not_compiled"
    else:
        status = "ran" if len(verdicts) == tests else "error"
    passed = verdicts[:tests].count("1")
    shown = "\n".join(line for line in stdout.split("\n") if not line.startswith(word))
    return Ran(passed=passed, tests=tests, status=status, stdout=shown, stderr=stderr)
