"""SandboxFusion's own client against our server, as trainers use it."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import requests
import sandbox_fusion as fusion
from sandbox_fusion import CommandRunStatus, RunCodeRequest, RunStatus, SummaryMapping
from sandbox_serving import serving

from clusterctl.sandbox import program
from clusterctl.sandbox.languages import LANGUAGES, toolchain

PROGRAMS = {
    "python": "print(int(input()) * 2)",
    "cpp": "#include <iostream>\nint main() { int x; std::cin >> x; std::cout << x * 2 << std::endl; }",
    "bash": "read x; echo $((x * 2))",
    "nodejs": "console.log(2 * require('fs').readFileSync(0, 'utf8'))",
    "go": 'package main\nimport "fmt"\nfunc main() { var x int; fmt.Scan(&x); fmt.Println(x * 2) }',
    "rust": 'use std::io;\nfn main() { let mut x = String::new(); io::stdin().read_line(&mut x).unwrap(); println!("{}", x.trim().parse::<i32>().unwrap() * 2); }',
    "java": "import java.util.*;\npublic class Main { public static void main(String[] a) { System.out.println(new Scanner(System.in).nextInt() * 2); } }",
}
SUMMARY = SummaryMapping(
    CompileFailed="compile failed", CompileTimeout="compile timeout", RunFailed="run failed", RunTimeout="run timeout"
)


@pytest.fixture(scope="module", autouse=True)
def _endpoint() -> Iterator[None]:
    with serving() as url:
        fusion.set_endpoint(url + "/")
        yield


def asked(code: str, language: str = "python", **fields: object) -> RunCodeRequest:
    return RunCodeRequest(code=code, language=language, **fields)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_that_is_here(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_GO_PACKAGES", "fmt")  # the whole library takes half a minute
    absent = toolchain(language).absent
    if language not in ("python", "cpp", "bash") and absent:
        pytest.skip(absent)
    request = asked(PROGRAMS[language], language, stdin="21\n", compile_timeout=60, run_timeout=20)
    answer = fusion.run_code(request, max_attempts=1)
    assert (answer.status, answer.message) == (RunStatus.Success, "")
    assert answer.run_result.stdout == "42\n"
    assert answer.run_result.execution_time > 0
    assert answer.run_result.cpu_time > 0
    assert (answer.compile_result is not None) == bool(LANGUAGES[language].compile)


@pytest.mark.parametrize(
    ("request_", "summary"),
    [
        (asked("print(1)"), "Success"),
        (asked("raise SystemExit(2)"), "run failed"),
        (asked("import os; os.kill(os.getpid(), 9)"), "run failed"),
        (asked("while True: pass", run_timeout=0.5), "run timeout"),
        (asked("x = bytearray(64 << 30)"), "run failed"),
        (asked("while True: print('x' * 10**6)"), "run failed"),
        (asked("int main() {", "cpp"), "compile failed"),
        (asked("#include <regex>\nint main() {}", "cpp", compile_timeout=0.01), "compile timeout"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_verdicts_are_summarized_as_from_sandboxfusion(request_: RunCodeRequest, summary: str) -> None:
    answer = fusion.run_code(request_, max_attempts=1)
    assert fusion.summary_run_code_result(answer, SUMMARY) == summary
    assert (answer.status == RunStatus.Success) == (summary == "Success")


def test_files_go_in_and_out_in_base64() -> None:
    files = {"data/in.bin": base64.b64encode(bytes(range(256))).decode(), "left_out": None}
    code = "open('out.bin', 'wb').write(open('data/in.bin', 'rb').read()[::-1])"
    answer = fusion.run_code(asked(code, files=files, fetch_files=["out.bin", "absent"]), max_attempts=1)
    assert {name: base64.b64decode(text) for name, text in answer.files.items()} == {
        "out.bin": bytes(reversed(range(256)))
    }


def test_many_from_threads_and_from_a_loop() -> None:
    programs = [asked(f"print({number} ** 2)") for number in range(40)]
    answers = fusion.run_concurrent(fusion.run_code, args=[[one] for one in programs], concurrency=20)
    assert [answer.run_result.stdout for answer in answers] == [f"{number**2}\n" for number in range(40)]

    async def gathered() -> list[str]:
        return [one.run_result.stdout for one in await asyncio.gather(*map(fusion.run_code_async, programs[:10]))]

    assert asyncio.run(gathered()) == [f"{number**2}\n" for number in range(10)]


def test_hundreds_at_once_are_all_answered() -> None:
    all_are_answered(200)  # tests/engines/ asks a thousand


def all_are_answered(count: int) -> None:
    async def all_at_once() -> list[str]:
        asked_ = (fusion.run_code_async(asked(f"echo {number}", "bash"), url, 1) for number in range(count))
        return [one.run_result.stdout for one in await asyncio.gather(*asked_)]

    with serving(workers=4, queue=count) as url:
        assert asyncio.run(all_at_once()) == [f"{number}\n" for number in range(count)]
        health = httpx.get(f"{url}/metrics", trust_env=False).text
    assert f'clusterctl_sandbox_requests_total{{language="bash",result="finished"}} {count}' in health
    assert "clusterctl_sandbox_running 0" in health


@pytest.mark.parametrize("language", ["lean", "verilog"])
def test_what_this_machine_cannot_run_is_an_error_of_the_sandbox(language: str) -> None:
    with pytest.raises(Exception, match=rf"Sandbox responded with error: {language}: not one of python, cpp"):
        fusion.run_code(asked("", language), max_attempts=1)


def test_what_is_not_served_says_so() -> None:
    config, refused = fusion.TestConfig(), "code 501: .*only single programs, POST /run_code"
    with pytest.raises(Exception, match=refused):
        fusion.run_jupyter(fusion.RunJupyterRequest(cells=["1"]), max_attempts=1)
    with pytest.raises(Exception, match=refused):
        fusion.get_prompts(fusion.GetPromptsRequest(dataset="x", config=config))
    with pytest.raises(Exception, match=refused):
        fusion.get_prompt_by_id(fusion.GetPromptByIdRequest(dataset="x", config=config, id=1))
    submitted = fusion.SubmitRequest(dataset="x", id=1, completion="", config=config)
    with pytest.raises(Exception, match=refused):
        fusion.submit(submitted, max_attempts=1)
    assert not fusion.submit_safe(submitted, max_attempts=1).accepted


def test_the_client_sends_a_token_that_is_in_its_url() -> None:
    with serving(token="right") as url:
        for password, works in (("right", True), ("wrong", False)):
            endpoint = url.replace("http://", f"http://any:{password}@")
            if works:
                assert fusion.run_code(asked("print(1)"), endpoint, max_attempts=1).status == RunStatus.Success
                assert asyncio.run(fusion.run_code_async(asked("print(1)"), endpoint, 1)).status == RunStatus.Success
            else:
                with pytest.raises(Exception, match="code 401"):
                    fusion.run_code(asked("print(1)"), endpoint, max_attempts=1)


def test_it_comes_again_when_the_queue_was_full() -> None:
    with serving(workers=1, queue=0) as url:
        both = [[asked("import time; time.sleep(0.5)"), url] for _ in range(2)]
        began = time.monotonic()
        answers = fusion.run_concurrent(fusion.run_code, args=both)
    assert [answer.run_result.status for answer in answers] == [CommandRunStatus.Finished] * 2
    assert time.monotonic() - began > 1.0, "one after the other"


def test_a_client_that_gave_up_is_not_served() -> None:
    with serving(workers=1) as url, ThreadPoolExecutor(1) as pool:
        first = pool.submit(fusion.run_code, asked("import time; time.sleep(2)"), url, 1)
        while "running 1" not in httpx.get(f"{url}/metrics", trust_env=False).text:
            time.sleep(0.01)
        for _ in range(2):
            with pytest.raises(requests.exceptions.ReadTimeout):
                fusion.run_code(asked("import time; time.sleep(30)", run_timeout=60), url, 1, 0.2)
        assert first.result().status == RunStatus.Success
        began = time.monotonic()
        assert fusion.run_code(asked("print(1)"), url, 1).status == RunStatus.Success
        assert time.monotonic() - began < 10, "the abandoned were not run"
