"""Judges programs by a sandbox server that speaks SandboxFusion's `POST /run_code`.

A failure of the server is never a verdict on a program: it is tried again, then the sample is left out.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from clusterctl.access import without_token
from clusterctl.errors import ClusterctlError
from clusterctl.jobs.judge import Case, JudgedProblem, Judgement, Outcome, code_for, outcome_of

RUN_SECONDS_LIMIT = 10.0
"""Backstop of the sandbox, of wall time; the harness's own limit, of CPU time, is far below."""
CPU_SECONDS_BACKSTOP = 1.0
"""Also for a program that disarms the harness's own limit, or computes in other processes; starting Python included."""
QUEUE_SECONDS = 60.0
MEMORY_LIMIT_MB = 512
SANDBOX_TRIES = 5
"""A program whose sandbox fails so often is left out: it may be what makes it fail."""


class SandboxUnusable(ClusterctlError):  # noqa: N818 - says what is wrong
    """No sandbox server answers as it should, for longer than the patience."""


class _TryAgain(Exception):  # noqa: N818 - no error: an answer that says nothing about the program
    pass


class _SandboxFailed(_TryAgain):
    """The server is there, and the sandbox of this program failed."""


class _LeftOut(Exception):  # noqa: N818 - no error: a sample without a verdict
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probe:
    visible: tuple[Case, ...] = (((1,), 1),)
    hidden: tuple[Case, ...] = (((2,), 2),)


class SandboxClient:
    """Judges programs, a bounded number at once.  Use as `async with`."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        patience_seconds: float = 60.0,
        concurrency: int | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.retries = 0
        self._url, self._shown = url.rstrip("/"), without_token(url.rstrip("/"))
        self._patience_seconds, self._answered_at, self._reason = patience_seconds, 0.0, ""
        self._at_once = asyncio.Semaphore(concurrency or 2 * (os.cpu_count() or 2))
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"} if token else None,
            timeout=httpx.Timeout(RUN_SECONDS_LIMIT + QUEUE_SECONDS, connect=5.0),
            trust_env=False,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self._http.aclose()

    async def judge(self, problems: Sequence[JudgedProblem], programs: Sequence[str]) -> list[Judgement | None]:
        """Verdicts, in order; None for a sample that is left out.

        Raises SandboxUnusable when the server doesn't answer for longer than the patience, or all are left out.
        """
        verdicts = await asyncio.gather(*(self._one(*pair) for pair in zip(problems, programs, strict=True)))
        if verdicts and not any(verdicts):
            raise self._unusable(f"left out all of {len(verdicts)} programs")
        return verdicts

    async def check(self) -> None:
        """Judge a right answer.  Raises SandboxUnusable where it doesn't pass: then no verdict can be believed."""
        (verdict,) = await self.judge([_Probe()], ["def solve(x):\n    return x\n"])
        if verdict is None or not verdict.passes_hidden:
            status = verdict.visible.status if verdict else "no verdict"
            raise SandboxUnusable(
                f"the sandbox at {self._shown} fails a program that is right: {status}",
                hint="does it run Python?  `clusterctl sandbox serve` starts one that does",
            )

    async def _one(self, problem: JudgedProblem, program: str) -> Judgement | None:
        async with self._at_once:
            try:
                visible = await self._tested(program, problem.visible)
                passed = visible.passed_share == 1.0
                return Judgement(
                    visible=visible, hidden=await self._tested(program, problem.hidden) if passed else None
                )
            except _LeftOut:
                return None

    async def _tested(self, program: str, cases: Sequence[Case]) -> Outcome:
        code = code_for(program, cases)
        stdout, out_of_time = await self._run(code)
        if not stdout:  # killed before its first word: if that was the program, it happens again
            stdout, out_of_time = await self._run(code)
        return outcome_of(stdout, cases, out_of_time=out_of_time)

    async def _run(self, code: str) -> tuple[str, bool]:
        """What the code printed, and whether the sandbox ended it at its time limit.  Raises SandboxUnusable, and
        _LeftOut where the server has answered others meanwhile."""
        began = time.monotonic()
        tries = AsyncRetrying(
            retry=retry_if_exception_type((httpx.TransportError, _TryAgain)),
            before_sleep=self._count,
            reraise=True,
            wait=wait_random_exponential(0.1, max=2.0),
            stop=self._is_enough,
        )
        try:
            answer: tuple[str, bool] = await tries(self._post, code)
        except (httpx.TransportError, _TryAgain) as error:
            self._reason = without_token(str(error)) or type(error).__name__
            if isinstance(error, _SandboxFailed) or self._answered_at > began:
                raise _LeftOut from error
            raise self._unusable(f"failed for {self._patience_seconds:g} s") from error
        self._answered_at = time.monotonic()
        return answer

    async def _post(self, code: str) -> tuple[str, bool]:
        question = {
            "code": code,
            "language": "python",
            "run_timeout": RUN_SECONDS_LIMIT,
            "memory_limit_MB": MEMORY_LIMIT_MB,
        }
        answer = await self._http.post(f"{self._url}/run_code", json=question)
        if answer.status_code == 413:
            self._reason = "a program too large for the server"
            raise _LeftOut
        if answer.status_code == 429 or answer.status_code >= 500:
            raise _TryAgain(f"HTTP status {answer.status_code}")
        try:
            body: dict[str, Any] = answer.raise_for_status().json()
            run = body["run_result"]
            if body["status"] == "SandboxError" or run is None:
                raise _SandboxFailed(f"sandbox error: {body.get('message', '')}")
            if (run.get("cpu_time") or 0.0) > CPU_SECONDS_BACKSTOP:  # what it printed may be from after its time
                return "", True
            return str(run["stdout"] or ""), run["status"] == "TimeLimitExceeded"
        except (httpx.HTTPStatusError, ValueError, KeyError, TypeError) as error:
            what = f"{type(error).__name__}: {without_token(str(error))}"
            raise SandboxUnusable(
                f"{self._shown} does not answer as a sandbox server does ({what})",
                hint="the URL must be that of a server with SandboxFusion's POST /run_code",
            ) from error

    def _unusable(self, what: str) -> SandboxUnusable:
        return SandboxUnusable(
            f"the sandbox at {self._shown} {what}: {self._reason}",
            hint="start one with `clusterctl sandbox serve`; the run goes on where it was when it is started again",
        )

    def _is_enough(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        by_program = isinstance(error, _SandboxFailed) and state.attempt_number >= SANDBOX_TRIES
        return by_program or (state.seconds_since_start or 0.0) >= self._patience_seconds

    def _count(self, _: object) -> None:
        self.retries += 1
