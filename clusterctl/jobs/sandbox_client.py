"""Client of a sandbox server that speaks SandboxFusion's `POST /run_code`.

A failure of the server is never a verdict on a program: it is tried again, until the patience is used up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from clusterctl.access import without_token
from clusterctl.errors import ClusterctlError
from examples.quickstart.judge import Verdict, task_for
from examples.quickstart.problems import PROBLEMS, Problem

RUN_SECONDS_LIMIT = 10.0
"""Backstop of the sandbox, of wall time; the harness's own limit, of CPU time, is far below."""
QUEUE_SECONDS = 60.0
MEMORY_LIMIT_MB = 512


class SandboxUnusable(ClusterctlError):  # noqa: N818 - says what is wrong
    """No sandbox server answers as it should, for longer than the patience."""


class _TryAgain(Exception):  # noqa: N818 - no error: an answer that says nothing about the program
    pass


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
        self._patience_seconds = patience_seconds
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

    async def judge(self, problems: Sequence[Problem], programs: Sequence[str]) -> list[Verdict]:
        """Verdicts, in order.  Raises SandboxUnusable."""
        return await asyncio.gather(*(self._one(*pair) for pair in zip(problems, programs, strict=True)))

    async def check(self) -> None:
        """Judge a right answer.  Raises SandboxUnusable where it doesn't pass: then no verdict can be believed."""
        (verdict,) = await self.judge(PROBLEMS[:1], [PROBLEMS[0].answer])
        if verdict.visible.passed_share < 1.0 or verdict.hidden.passed_share < 1.0:
            raise SandboxUnusable(
                f"the sandbox at {self._shown} fails a program that is right: {verdict.visible.status}",
                hint="does it run Python?  `clusterctl sandbox serve` starts one that does",
            )

    async def _one(self, problem: Problem, program: str) -> Verdict:
        task = task_for(problem, program)
        async with self._at_once:
            stdout, out_of_time = await self._run(task.code)
            if not task.lines(stdout):  # killed before its first word: if that was the program, it happens again
                stdout, out_of_time = await self._run(task.code)
        return task.verdict(stdout, out_of_time=out_of_time)

    async def _run(self, code: str) -> tuple[str, bool]:
        """What the code printed, and whether the sandbox ended it at its time limit."""
        tries = AsyncRetrying(
            retry=retry_if_exception_type((httpx.TransportError, _TryAgain)),
            before_sleep=self._count,
            reraise=True,
            wait=wait_random_exponential(0.1, max=2.0),
            stop=stop_after_delay(self._patience_seconds),
        )
        try:
            return await tries(self._post, code)
        except (httpx.TransportError, _TryAgain) as error:
            reason = str(error) or type(error).__name__
            raise SandboxUnusable(
                f"the sandbox at {self._shown} failed for {self._patience_seconds:g} s: {reason}",
                hint="start one with `clusterctl sandbox serve`; the run goes on where it was when it is started again",
            ) from error

    async def _post(self, code: str) -> tuple[str, bool]:
        question = {
            "code": code,
            "language": "python",
            "run_timeout": RUN_SECONDS_LIMIT,
            "memory_limit_MB": MEMORY_LIMIT_MB,
        }
        answer = await self._http.post(f"{self._url}/run_code", json=question)
        if answer.status_code == 429 or answer.status_code >= 500:
            raise _TryAgain(f"HTTP status {answer.status_code}")
        try:
            body: dict[str, Any] = answer.raise_for_status().json()
            run = body["run_result"]
            if body["status"] == "SandboxError" or run is None:
                raise _TryAgain(f"sandbox error: {body.get('message', '')}")
            return str(run["stdout"] or ""), run["status"] == "TimeLimitExceeded"
        except (httpx.HTTPStatusError, ValueError, KeyError, TypeError) as error:
            what = f"{type(error).__name__}: {without_token(str(error))}"
            raise SandboxUnusable(
                f"{self._shown} does not answer as a sandbox server does ({what})",
                hint="the URL must be that of a server with SandboxFusion's POST /run_code",
            ) from error

    def _count(self, _: object) -> None:
        self.retries += 1
