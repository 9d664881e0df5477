"""SkyPilot's real server as the client starts it: alone in its home, gone with whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from clusterctl.targets.sky_client import SkyPilot
from clusterctl.targets.sky_processes import PYTHON_VARIABLE

PYTHON = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    / "clusterctl-engines"
    / "remote"
    / "bin"
    / "python"
)


def servers(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def gone(home: Path, seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while servers(home) and time.monotonic() < until:
        time.sleep(0.2)
    return not servers(home)


def test_an_error_of_skypilot_comes_back_as_ours_and_the_server_ends_with_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, str(PYTHON))
    home = tmp_path / "sky"
    sky = SkyPilot(home, "0123abcd", lambda: "Host nowhere\n  HostName 127.0.0.1\n  Port 1\n  User nobody\n")
    sky.ask("job", "exec", name="no-such-cluster", task={"run": "true"})
    until = time.monotonic() + 240
    while (request := sky.state("job")) is not None and request.open and time.monotonic() < until:
        time.sleep(0.5)
    assert request is not None
    assert request.error is not None
    assert request.error.message == "the machines are not there any more: Cluster 'no-such-cluster' does not exist."
    assert (home / ".sky" / "catalogs" / "v8" / "common" / "accelerators.csv").exists()
    sky.close()
    assert gone(home)


def test_a_client_that_is_killed_leaves_no_server(tmp_path: Path) -> None:
    home = tmp_path / "sky"
    code = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from clusterctl.targets.sky_client import SkyPilot
        SkyPilot(Path(sys.argv[1]), "0123abcd").ask("job", "exec", name="no-such-cluster", task={"run": "true"})
        time.sleep(600)
    """)
    environment = {**os.environ, PYTHON_VARIABLE: str(PYTHON)}
    client = subprocess.Popen([sys.executable, "-c", code, str(home)], env=environment)
    until = time.monotonic() + 120
    while len(servers(home)) < 3 and time.monotonic() < until:  # worker, server, an executor
        time.sleep(0.2)
    assert len(servers(home)) >= 3
    client.send_signal(signal.SIGKILL)
    client.wait()
    assert gone(home)


def test_what_a_worker_leaves_that_is_killed_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, str(PYTHON))
    home = tmp_path / "sky"
    sky = SkyPilot(home, "0123abcd")
    sky.ask("job", "exec", name="no-such-cluster", task={"run": "true"})
    until = time.monotonic() + 120
    while not any("executor" in " ".join(each.cmdline()) for each in servers(home)) and time.monotonic() < until:
        time.sleep(0.2)
    assert len(servers(home)) >= 3
    assert sky._worker is not None
    sky._worker.kill()
    assert gone(home, 30.0)
    sky.close()
