"""`clusterctl sandbox run` and `serve` as a person types them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from clusterctl.sandbox.isolation import find_isolation

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def warned() -> str:
    """What is said first where the sandbox is not the best."""
    found = find_isolation()
    return f"warning: {found.name}: {found.weaker}\n" if found.weaker else ""


@pytest.mark.parametrize(
    ("name", "code", "exit_code", "stdout", "stderr"),
    [
        ("a.py", "print(6 * 7)", 0, "42\n", ""),
        ("a", "import sys; print('no', file=sys.stderr); sys.exit(3)", 3, "", "no\n"),
        ("a.sh", "echo $((6 * 7)); exit 4", 4, "42\n", ""),
        ("a.cpp", '#include <cstdio>\nint main() { puts("42"); }', 0, "42\n", ""),
        ("broken.cpp", "int main() {", 1, "", "sandbox: compile failed\n"),
        ("endless.py", "while True: pass", 124, "", "sandbox: time limit\n"),
        ("greedy.py", "x = bytearray(64 << 30)", 137, "", "sandbox: memory limit\n"),
        ("loud.py", "while True: print('x' * 99999)", 153, "x", "sandbox: output limit\n"),
        ("killed.py", "import os; os.kill(os.getpid(), 11)", 139, "", ""),
    ],
)
def test_run_says_and_exits_as_the_program(
    in_process: Run, tmp_path: Path, name: str, code: str, exit_code: int, stdout: str, stderr: str
) -> None:
    (tmp_path / name).write_text(code, encoding="utf-8")
    done = in_process("sandbox", "run", name, "--time-limit", "1" if name == "endless.py" else "20")
    assert done.returncode == exit_code, done.stderr
    assert done.stdout[: len(stdout) or None] == stdout
    assert done.stderr.endswith(stderr)


def test_run_gives_input_and_prints_json(in_process: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print(input()[::-1])", encoding="utf-8")
    (tmp_path / "in").write_text("abc", encoding="utf-8")
    shown = json.loads(in_process("sandbox", "run", "a.py", "--stdin", "in", "--json").stdout)
    assert (shown["status"], shown["run"]["stdout"], shown["weaker"]) == ("finished", "cba\n", find_isolation().weaker)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "absent.py"), "absent.py: no such file"),
        (("run", ".", "--stdin", "in"), ".: is a folder, not a file"),
        (("run", "-", "--language", "pyhton"), "--language pyhton is unknown; did you mean python?"),
        (("run", "-", "--time-limit", "0"), "--time-limit"),
        (("run", "-", "--memory-mib", "1"), "--memory-mib"),
        (("serve", "--host", "example.org"), "example.org can be reached from outside"),
        (("serve", "--token-file", "absent"), "absent: the token can't be read: No such file"),
        (("bench", "--concurrency", "0"), "--concurrency"),
    ],
)
def test_mistakes_are_one_message(in_process: Run, warned: str, arguments: tuple[str, ...], said: str) -> None:
    done = in_process("sandbox", *arguments)
    assert done.returncode == 2
    assert done.stderr.removeprefix(warned).startswith("error: ")
    assert said in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_serve_prints_its_address_answers_and_stops(scripts: Path, warned: str, host: str) -> None:
    command = [scripts / "clusterctl", "sandbox", "serve", "--port", "0", "--host", host]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url.startswith("http://"), server.communicate()
        asked = {"code": "print(1)", "language": "python"}
        with httpx.Client(trust_env=False, timeout=30) as client:
            assert client.post(f"{url}/run_code", json=asked).json()["run_result"]["stdout"] == "1\n"
            assert client.get(f"{url}/health").json()["languages"]["python"]
        server.send_signal(signal.SIGTERM)
        assert server.communicate(timeout=120) == ("", f"{warned}stopped\n")
        assert server.returncode == 0


def test_serve_on_a_port_that_is_taken(in_process: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = in_process("sandbox", "serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "Address already in use" in done.stderr


def test_run_without_a_stdin(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print(1)", encoding="utf-8")
    line = f"{scripts}/clusterctl sandbox run a.py <&-"
    assert subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, check=True).stdout == b"1\n"
