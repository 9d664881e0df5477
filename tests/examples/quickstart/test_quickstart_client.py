"""The sandbox client: failures of the sandbox are tried again, and are never a verdict on a program."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator

import httpx
import pytest
from sandbox_here import run_code

from clusterctl.jobs.judge import Ending
from clusterctl.jobs.sandbox_client import SANDBOX_TRIES, SandboxClient, SandboxUnusable
from examples.quickstart.problems import PROBLEMS

RIGHT = "def solve(xs):\n    return sum(xs)\n"
WRONG = "def solve(xs):\n    return 0\n"
Handler = Callable[[httpx.Request], httpx.Response]


def honest(request: httpx.Request) -> httpx.Response:
    """What a sandbox server answers."""
    assert (request.method, request.url.path) == ("POST", "/run_code")
    question = json.loads(request.content)
    assert question["language"] == "python"
    result = {"status": "Finished", "return_code": 0, "stdout": run_code(question["code"]), "stderr": ""}
    return httpx.Response(200, json={"status": "Success", "message": "", "run_result": result})


def first(*answers: httpx.Response | Exception) -> Handler:
    """These answers one after the other, then honest ones."""
    left: Iterator[httpx.Response | Exception] = iter(answers)

    def handler(request: httpx.Request) -> httpx.Response:
        answer = next(left, None)
        if isinstance(answer, Exception):
            raise answer
        return answer or honest(request)

    return handler


def result(stdout: str, status: str = "Finished", overall: str = "Success") -> httpx.Response:
    run = {"status": status, "return_code": 0, "stdout": stdout, "stderr": ""}
    return httpx.Response(200, json={"status": overall, "message": "", "run_result": run})


def judged(handler: Handler, program: str = RIGHT, *, count: int = 1, patience_seconds: float = 20.0):
    return judged_all(handler, [program] * count, patience_seconds=patience_seconds)


def judged_all(handler: Handler, programs: list[str], *, patience_seconds: float = 20.0):
    async def work():
        transport = httpx.MockTransport(handler)
        async with SandboxClient(
            "http://sandbox/", patience_seconds=patience_seconds, transport=transport, concurrency=3
        ) as client:
            return await client.judge([PROBLEMS[0]] * len(programs), programs), client.retries

    return asyncio.run(work())


FAILURES = {
    "429": httpx.Response(429),
    "503": httpx.Response(503),
    "500": httpx.Response(500, text="Traceback"),
    "refused": httpx.ConnectError("connection refused"),
    "cut off": httpx.RemoteProtocolError("server disconnected"),
    "too slow": httpx.ReadTimeout(""),
    "sandbox error": httpx.Response(200, json={"status": "SandboxError", "message": "no room", "run_result": None}),
    "no result": httpx.Response(200, json={"status": "Failed", "message": "", "run_result": None}),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_of_the_sandbox_is_tried_again_and_is_no_verdict(name: str) -> None:
    for program, share in ((RIGHT, 1.0), (WRONG, 0.0)):
        (verdict,), retries = judged(first(FAILURES[name]), program)
        assert (verdict.visible.passed_share, verdict.visible.status, retries) == (share, Ending.RAN, 1)


@pytest.mark.parametrize("name", FAILURES)
def test_a_sandbox_that_keeps_failing_ends_in_one_message_and_no_verdict(name: str) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        failure = FAILURES[name]
        if isinstance(failure, Exception):
            raise failure
        return failure

    message = r"the sandbox at http://sandbox (failed for 0\.2 s|left out all of 1 programs): \S"
    with pytest.raises(SandboxUnusable, match=message):
        judged(handler, patience_seconds=0.2)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={}),
    ],
)
def test_something_else_than_a_sandbox_server_is_said_at_once(answer: httpx.Response) -> None:
    with pytest.raises(SandboxUnusable, match="does not answer as a sandbox server does"):
        judged(lambda _: answer)


def test_a_run_without_a_word_is_repeated_once() -> None:
    (verdict,), _ = judged(first(result("", overall="Failed")))
    assert verdict.visible.passed_share == 1.0
    (verdict,), _ = judged(lambda _: result("", overall="Failed"))
    assert verdict.visible.status is Ending.ERROR
    (verdict,), _ = judged(lambda _: result("", "TimeLimitExceeded", "Failed"))
    assert verdict.visible.status is Ending.TIME_LIMIT


def test_a_program_too_large_for_the_server_is_left_out_and_the_run_goes_on() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(413) if b"return 0" in request.content else honest(request)

    verdicts, retries = judged_all(handler, [RIGHT, WRONG])
    assert [verdict and verdict.passes_hidden for verdict in verdicts] == [True, None]
    assert retries == 0


def test_a_program_whose_sandbox_keeps_failing_is_left_out_and_the_others_are_judged() -> None:
    """Never a reward of 0, and the server is not taken for dead."""

    def handler(request: httpx.Request) -> httpx.Response:
        return FAILURES["sandbox error"] if b"return 0" in request.content else honest(request)

    verdicts, retries = judged_all(handler, [RIGHT, WRONG, RIGHT])
    assert [verdict and verdict.passes_hidden for verdict in verdicts] == [True, None, True]
    assert retries == SANDBOX_TRIES - 1


def test_a_program_that_the_server_never_answers_is_left_out_while_it_answers_others() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if b"return 0" in request.content:
            raise httpx.ReadTimeout("")
        return honest(request)

    verdicts, _ = judged_all(handler, [WRONG, *[RIGHT] * 3], patience_seconds=0.5)
    assert [verdict and verdict.passes_hidden for verdict in verdicts] == [None, True, True, True]


def test_the_token_goes_into_the_header_and_into_no_message() -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization"))
        return httpx.Response(404)

    async def work(url: str, token: str | None) -> None:
        async with SandboxClient(url, token=token, transport=httpx.MockTransport(handler)) as client:
            await client.judge(PROBLEMS[:1], [RIGHT])

    for url, token in (("http://sandbox", "secret-1"), ("http://any:secret-1@sandbox", None)):
        with pytest.raises(SandboxUnusable) as caught:
            asyncio.run(work(url, token))
        assert "secret-1" not in str(caught.value)
    assert seen == ["Bearer secret-1", "Basic " + base64.b64encode(b"any:secret-1").decode()]


def test_no_more_runs_at_once_than_said() -> None:
    running = most = 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return honest(request)

    verdicts, _ = judged(handler, count=20)
    assert len(verdicts) == 20
    assert most == 3


def test_verdicts_come_in_the_order_of_the_programs() -> None:
    async def work():
        async with SandboxClient("http://sandbox", transport=httpx.MockTransport(honest)) as client:
            return await client.judge([PROBLEMS[0]] * 6, [RIGHT, WRONG] * 3)

    assert [verdict.visible.passed_share for verdict in asyncio.run(work())] == [1.0, 0.0] * 3


def test_a_sandbox_that_fails_right_programs_is_unusable() -> None:
    async def check(handler: Handler) -> None:
        async with SandboxClient("http://sandbox", transport=httpx.MockTransport(handler)) as client:
            await client.check()

    asyncio.run(check(honest))
    with pytest.raises(SandboxUnusable, match="fails a program that is right"):
        asyncio.run(check(lambda _: result("python: not found", overall="Failed")))
