"""Shared by the quickstart's tests: a stub server, and a stub sandbox in this process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_here import SandboxHere

from clusterctl.jobs import judge as judge_module

STUB = Path(__file__).with_name("sandbox_stub.py")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> SandboxHere:
    monkeypatch.setattr(judge_module, "CPU_SECONDS_LIMIT", 0.02)
    return SandboxHere()


@pytest.fixture(scope="module")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A stub server in a process of its own."""
    port = tmp_path_factory.mktemp("stub") / "port"
    server = subprocess.Popen([sys.executable, STUB, port])
    try:
        deadline = time.monotonic() + 120
        while not (port.exists() and port.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port.read_text()}"
    finally:
        server.terminate()
        server.wait()
