"""Judging: what runs in the sandbox, what its output is worth, and the reward.

The program's process gets the arguments of its calls and nothing else; what must come back stays here, where the output
is compared as text.  So nothing that a program prints can be a verdict: it can only give answers.  The hidden tests run
in a sandbox of their own, after the visible ones have passed; the reward knows nothing of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

Case = tuple[tuple[Any, ...], Any]
"""Arguments of one call, and what it must return; both are literals."""


class JudgedProblem(Protocol):
    """A problem: write `solve`."""

    @property
    def visible(self) -> Sequence[Case]:
        """They make the reward."""

    @property
    def hidden(self) -> Sequence[Case]:
        """They measure."""


class Ending(StrEnum):
    """How a set of tests ended."""

    RAN = "ran"
    ERROR = "error"
    TIME_LIMIT = "time_limit"
    NOT_COMPILED = "not_compiled"


PENALTY = {Ending.RAN: 0.0, Ending.ERROR: 0.1, Ending.TIME_LIMIT: 0.2, Ending.NOT_COMPILED: 0.1}
CPU_SECONDS_LIMIT = 0.2
"""For a set of tests; of CPU time, so that a busy machine fails no program."""

_HARNESS = """
import _signal, sys
source, calls, limit = {inputs!r}
class OutOfTime(BaseException): pass
def stop(*_): raise OutOfTime
say, sys.stdout = sys.stdout.write, open("/dev/null", "w")
_signal.signal(_signal.SIGVTALRM, stop)
try:
    _signal.setitimer(_signal.ITIMER_VIRTUAL, limit)
    space = {{}}
    exec(compile(source, "answer.py", "exec"), space)
    for arguments in calls:
        try: say("=" + repr(space["solve"](*eval(arguments))) + "\\n")
        except Exception: say("!\\n")
    status = "ran"
except SyntaxError: status = "not_compiled"
except OutOfTime: status = "time_limit"
except Exception: status = "error"
_signal.setitimer(_signal.ITIMER_VIRTUAL, 0)
say(status)
"""
"""Imports what the interpreter has built in: `signal` and `json` would double the time that a start takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one set of tests said."""

    passed_share: float
    status: Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the visible tests said, and the hidden ones: None where the visible ones did not all pass."""

    visible: Outcome
    hidden: Outcome | None

    @property
    def passes_visible(self) -> bool:
        """It earns the whole reward."""
        return self.visible.passed_share == 1.0

    @property
    def passes_hidden(self) -> bool:
        """It passes all tests of both kinds."""
        return self.hidden is not None and self.hidden.passed_share == 1.0


def code_for(program: str, cases: Sequence[Case]) -> str:
    """What the sandbox runs: the program and the arguments of its calls."""
    calls = [repr(arguments) for arguments, _ in cases]
    return _HARNESS.format(inputs=(program, calls, CPU_SECONDS_LIMIT))


def outcome_of(stdout: str, cases: Sequence[Case], *, out_of_time: bool = False) -> Outcome:
    """Compare what the calls returned, a line each, with what they must.  A call without a line has failed.

    out_of_time: the sandbox ended it at its own time limit.
    """
    *lines, status = stdout.split("\n")
    answers = lines[: len(cases)]
    passed = sum(line == f"={expected!r}" for line, (_, expected) in zip(answers, cases, strict=False))
    if out_of_time:
        ended = Ending.TIME_LIMIT
    elif status not in list(Ending) or "!" in answers:
        ended = Ending.ERROR
    else:
        ended = Ending(status)
    return Outcome(passed_share=passed / len(cases), status=ended)


def reward(verdict: Judgement | None) -> float | None:
    """From 0 to 1: share of the visible tests passed, less a penalty for not compiling, raising or running out of time.

    None without a verdict: the sandbox failed, so the sample is left out.  Raises ValueError for what is no number.
    """
    if verdict is None:
        return None
    value = verdict.visible.passed_share - PENALTY[verdict.visible.status]
    if not math.isfinite(value):
        raise ValueError(f"a reward of {value}")
    return min(max(value, 0.0), 1.0)
