"""Programs and their tests in a sandbox server that speaks SandboxFusion's `POST /run_code`.

What fails in the sandbox itself is never a verdict on a program: it is tried again, then the sample has none.
The tests run in the program's process, as those of HumanEval do.  A word that the harness takes out of the program's
sight before it starts must come back at the end, so that a program that exits early has not passed.
"""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from http_json import ServerAway, post_json

SANDBOX_TRIES = 3
"""A program whose sandbox fails so often has no verdict: it may be what makes it fail."""
QUEUE_SECONDS = 120.0

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


@dataclass
class Sandbox:
    """Equal sandbox servers of a run."""

    urls: Sequence[str]
    seconds: float = 10.0
    memory_mib: int = 1024
    patience_seconds: float = 300.0
    token_variable: str = "CLUSTERCTL_SANDBOX_TOKEN"  # noqa: S105 - the name of a variable

    def run(self, program: str, tests: Sequence[str]) -> Ran | None:
        """What the tests say of the program; None where its sandbox failed again and again.

        Raises ServerAway when no server answers within the patience.
        """
        word = secrets.token_hex(16)
        question = {
            "code": _HARNESS.format(program=program, tests=list(tests)),
            "language": "python",
            "run_timeout": self.seconds,
            "memory_limit_MB": self.memory_mib,
            "files": {"word": base64.b64encode(word.encode()).decode()},
        }
        for _ in range(SANDBOX_TRIES):
            answer = self._ask(question)
            if answer.get("status") != "SandboxError" and answer.get("run_result"):
                return ran(answer["run_result"], word, len(tests))
        return None

    def script(self, code: str, language: str = "bash") -> str:
        """Output of a script of ours.  Raises ServerAway."""
        answer = self._ask({"code": code, "language": language, "run_timeout": self.seconds})
        return str((answer.get("run_result") or {}).get("stdout") or "")

    def wait(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Until a program that is right passes.  Raises ServerAway where it does not within the patience."""
        deadline = time.monotonic() + self.patience_seconds
        while time.monotonic() < deadline:
            result = self.run("def solve(x):\n    return x\n", ["assert solve(3) == 3"])
            if result is not None and result.all_passed:
                return
            pause(2.0)
        raise ServerAway("the sandbox fails a program that is right")

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        token = os.environ.get(self.token_variable)
        return post_json(
            self.urls,
            "/run_code",
            question,
            patience_seconds=self.patience_seconds,
            timeout_seconds=self.seconds + QUEUE_SECONDS,
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )


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
