"""Stands in for the sandbox client and its server: harnesses run one after the other in one helper process."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from clusterctl.jobs.judge import Case, Judgement, Outcome, code_for, outcome_of
from examples.quickstart.problems import Problem


@cache
def _worker() -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-I", Path(__file__).with_name("sandbox_worker.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(worker.communicate)
    return worker


def run_code(code: str) -> str:
    """What the code prints."""
    worker = _worker()
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write(json.dumps(code) + "\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def judge_here(problem: Problem, program: str) -> Judgement:
    """Run the tests in the helper, as the client does in the sandbox."""

    def tested(cases: Sequence[Case]) -> Outcome:
        return outcome_of(run_code(code_for(program, cases)), cases)

    visible = tested(problem.visible)
    return Judgement(visible=visible, hidden=tested(problem.hidden) if visible.passed_share == 1.0 else None)


class SandboxHere:
    """Stands in for the client; runs each program once."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Judgement] = {}

    async def judge(self, problems: Sequence[Problem], programs: Sequence[str]) -> list[Judgement]:
        for problem, program in zip(problems, programs, strict=True):
            if (problem.name, program) not in self.known:
                self.known[problem.name, program] = judge_here(problem, program)
        return [self.known[problem.name, program] for problem, program in zip(problems, programs, strict=True)]
