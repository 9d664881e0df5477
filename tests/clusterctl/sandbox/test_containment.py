"""Attacks on the sandbox, each contained: by bubblewrap, or by the next best mechanism of the machine."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from clusterctl.sandbox.isolation import Isolation, find_isolation
from clusterctl.sandbox.run import run_program
from clusterctl.sandbox.verdict import Policy, Request, Status, Verdict


@pytest.fixture(scope="module")
def isolation() -> Isolation:
    return find_isolation()


def judged(
    code: str, isolation: Isolation, *, language: str = "python", seconds: float = 5.0, **policy: int
) -> Verdict:
    return run_program(Request(language=language, code=code, run_seconds=seconds), Policy(**policy), isolation)


def printed(verdict: Verdict) -> str:
    assert verdict.run is not None, verdict
    return verdict.run.stdout.decode(errors="replace")


def test_a_program_runs(isolation: Isolation) -> None:
    verdict = judged("print(sum(range(10)))", isolation)
    assert (verdict.status, printed(verdict)) == (Status.FINISHED, "45\n")


def test_its_exit_code_and_errors_are_its_own(isolation: Isolation) -> None:
    verdict = judged("import sys; print('x', file=sys.stderr); sys.exit(3)", isolation)
    assert verdict.run is not None
    assert (verdict.status, verdict.run.exit_code, verdict.run.stderr) == (Status.FINISHED, 3, b"x\n")


def test_bash_runs(isolation: Isolation) -> None:
    assert printed(judged("echo $((6 * 7))", isolation, language="bash")) == "42\n"


def test_an_unknown_language_is_no_program_error(isolation: Isolation) -> None:
    assert judged("", isolation, language="cobol").status is Status.SANDBOX_ERROR


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(60)"])
def test_time_is_limited(code: str, isolation: Isolation) -> None:
    began = time.monotonic()
    assert judged(code, isolation, seconds=1.0).status is Status.TIME_LIMIT
    assert time.monotonic() - began < 10


def test_memory_is_limited(isolation: Isolation) -> None:
    verdict = judged("x = bytearray(2 << 30); print(len(x))", isolation, memory_mib=128)
    assert "2147483648" not in printed(verdict)
    assert verdict.status is Status.MEMORY_LIMIT


def test_output_is_limited(isolation: Isolation) -> None:
    verdict = judged("while True: print('x' * 1000)", isolation, output_mib=1)
    assert verdict.status is Status.OUTPUT_LIMIT
    assert len(printed(verdict)) <= 1 << 20


def test_a_fork_bomb_ends_with_its_sandbox(isolation: Isolation) -> None:
    code = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
    began = time.monotonic()
    verdict = judged(code, isolation, seconds=1.0, max_processes=32)
    assert verdict.status in (Status.TIME_LIMIT, Status.MEMORY_LIMIT, Status.FINISHED)
    assert time.monotonic() - began < 20
    assert printed(judged("print('still here')", isolation)) == "still here\n"


def test_a_daemon_is_not_left_behind(isolation: Isolation) -> None:
    mark = f"daemon-{os.getpid()}"
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        f"        os.execvp('sleep', ['{mark}', '300'])\n    os._exit(0)\n"
        "time.sleep(0.2); print('gone')\n"
    )
    judged(code, isolation)
    time.sleep(0.3)
    names = [path.read_bytes() for path in _commands()]
    assert not [name for name in names if mark.encode() in name]


def _commands() -> list[Path]:
    found = []
    for entry in Path("/proc").iterdir():
        file = entry / "cmdline"
        try:
            file.read_bytes()
        except OSError:
            continue
        found.append(file)
    return found


def test_the_hosts_files_are_not_there(isolation: Isolation, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("pl4nted", encoding="utf-8")
    code = f"import os\nfor p in ({str(secret)!r}, '/etc/shadow'):\n    print(os.path.exists(p) and os.access(p, os.R_OK))\n"
    verdict = judged(code, isolation)
    assert "pl4nted" not in printed(judged(f"print(open({str(secret)!r}).read())", isolation))
    assert printed(verdict).split() == ["False", "False"]


def test_the_hosts_environment_is_not_there(isolation: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "pl4nted")
    assert "pl4nted" not in printed(judged("import os; print(dict(os.environ))", isolation))
    code = "print(open('/proc/1/environ', 'rb').read())"
    assert "pl4nted" not in printed(judged(code, isolation))


def test_there_is_no_network(isolation: Isolation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        reached: list[bool] = []

        def accept() -> None:
            server.settimeout(3)
            try:
                server.accept()[0].close()
                reached.append(True)
            except OSError:
                pass

        listener = threading.Thread(target=accept)
        listener.start()
        code = f"import socket\ntry:\n    socket.create_connection(('127.0.0.1', {port}), 1)\n    print('in')\nexcept OSError:\n    print('out')\n"
        assert printed(judged(code, isolation)) == "out\n"
        listener.join()
    assert reached == []


def test_the_system_cannot_be_written(isolation: Isolation) -> None:
    code = "import os\nfor p in ('/usr/x', '/bin/x', '/x'):\n    try:\n        open(p, 'w'); print('wrote', p)\n    except OSError:\n        pass\n"
    assert printed(judged(code, isolation)) == ""


def test_the_disk_is_limited(isolation: Isolation) -> None:
    code = "f = open('big', 'wb')\nfor _ in range(400):\n    f.write(b'x' * (1 << 20))\nprint('wrote it all')\n"
    assert "wrote it all" not in printed(judged(code, isolation, disk_mib=16))


def test_the_parent_cannot_be_killed(isolation: Isolation) -> None:
    code = f"import os, signal\nfor pid in ({os.getpid()}, {os.getppid()}):\n    try:\n        os.kill(pid, signal.SIGKILL)\n    except OSError:\n        pass\nprint('tried')\n"
    assert printed(judged(code, isolation)) == "tried\n"
