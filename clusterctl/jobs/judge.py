"""Judging: the test harness that runs in the sandbox, the verdict that it prints, and the reward.

One sandbox call runs all tests of a program.  The visible tests come first and their verdict is out before the first
hidden test starts, so that nothing a hidden test does can change it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum

from examples.quickstart.problems import Problem


class Status(StrEnum):
    """How a set of tests ended."""

    RAN = "ran"
    ERROR = "error"
    TIME_LIMIT = "time_limit"
    NOT_COMPILED = "not_compiled"


PENALTY = {Status.RAN: 0.0, Status.ERROR: 0.1, Status.TIME_LIMIT: 0.2, Status.NOT_COMPILED: 0.1}
CPU_SECONDS_LIMIT = 0.2
"""For the visible tests, and again for the hidden ones; of CPU time, so that a busy machine fails no program."""

_HARNESS = """
import _signal, sys
source, sets, limit, key = {inputs!r}
class OutOfTime(BaseException): pass
def stop(*_): raise OutOfTime
def judge(cases):
    passed, status = 0, "ran"
    try:
        _signal.setitimer(_signal.ITIMER_VIRTUAL, limit)
        space = {{}}
        exec(compile(source, "answer.py", "exec"), space)
        for arguments, expected in cases:
            try: passed += repr(space["solve"](*eval(arguments))) == expected
            except Exception: status = "error"
    except SyntaxError: status = "not_compiled"
    except OutOfTime: status = "time_limit"
    except Exception: status = "error"
    _signal.setitimer(_signal.ITIMER_VIRTUAL, 0)
    print(key, passed, status, flush=True)
    if status in ("time_limit", "not_compiled"): sys.exit()
_signal.signal(_signal.SIGVTALRM, stop)
for cases in sets: judge(cases)
"""
"""Imports what the interpreter has built in: `signal` and `json` would double the time that a start takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one set of tests said."""

    passed_share: float
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the visible tests and the hidden tests said."""

    visible: Outcome
    hidden: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One call of the sandbox: what to run, and how to read what it prints."""

    code: str
    key: str
    """Starts every line of the verdict; a program that prints can't guess it."""
    tests: tuple[int, int]
    """Number of visible and of hidden tests."""

    def lines(self, stdout: str) -> list[list[str]]:
        """What the harness said of each set of tests: how many passed, and the status."""
        return [line.split()[1:] for line in stdout.splitlines() if line.startswith(self.key)]

    def verdict(self, stdout: str, *, out_of_time: bool = False) -> Verdict:
        """Read the harness's output; a set of tests that it says nothing about failed as a whole.

        out_of_time: the sandbox ended it at its own time limit.
        """
        silent = Outcome(passed_share=0.0, status=Status.TIME_LIMIT if out_of_time else Status.ERROR)
        said = [
            Outcome(passed_share=int(passed) / count, status=Status(status))
            for (passed, status), count in zip(self.lines(stdout), self.tests, strict=False)
        ]
        visible, hidden = [*said, silent, silent][:2]
        return Verdict(visible=visible, hidden=hidden)


def task_for(problem: Problem, source: str) -> Task:
    """The sandbox call that judges one program."""
    key = secrets.token_hex(8)
    sets = [[(repr(call), repr(answer)) for call, answer in cases] for cases in (problem.visible, problem.hidden)]
    inputs = (source, sets, CPU_SECONDS_LIMIT, key)
    return Task(code=_HARNESS.format(inputs=inputs), key=key, tests=(len(problem.visible), len(problem.hidden)))


def reward(visible: Outcome) -> float:
    """Share of the visible tests passed, less a penalty for not compiling, raising or running out of time."""
    return visible.passed_share - PENALTY[visible.status]
