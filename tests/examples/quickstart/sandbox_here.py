"""Stands in for the sandbox client and its server: harnesses run one after the other in one helper process."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from examples.quickstart.judge import Verdict, task_for
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


def judge_here(problem: Problem, program: str) -> Verdict:
    """Run the harness in the helper."""
    task = task_for(problem, program)
    return task.verdict(run_code(task.code))


class SandboxHere:
    """Stands in for the client; runs each program once."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Verdict] = {}

    async def judge(self, problems: Sequence[Problem], programs: Sequence[str]) -> list[Verdict]:
        for problem, program in zip(problems, programs, strict=True):
            if (problem.name, program) not in self.known:
                self.known[problem.name, program] = judge_here(problem, program)
        return [self.known[problem.name, program] for problem, program in zip(problems, programs, strict=True)]
