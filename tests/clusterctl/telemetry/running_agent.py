"""A real agent in a process of its own, on the stand-in for NVML, and a process that holds GPUs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from standin import Script, library

from clusterctl.store import open_store
from clusterctl.telemetry.settings import AgentSettings


class RunningAgent:
    """`home` is its data folder: store, socket and lock lie there."""

    def __init__(self, home: Path, *, script: Script | None = None, **settings: object) -> None:
        self.home, self.store, self.log = home, home / "telemetry", home / f"agent-{time.monotonic_ns()}.log"
        home.mkdir(parents=True, exist_ok=True)
        given = {
            "store": str(self.store),
            "node": "n1",
            "listen": "127.0.0.1:0",
            "interval_seconds": 0.1,
            "write_seconds": 1.0,
        }
        environment = os.environ | {"CLUSTERCTL_HOME": str(home)}
        if script is not None:
            environment |= {"NVML_SCRIPT": str(script.file), "LD_LIBRARY_PATH": str(library())}
        with self.log.open("wb") as log:
            command = AgentSettings(**(given | settings)).command()  # type: ignore[arg-type]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def said(self) -> str:
        return self.log.read_text("utf-8")

    def url(self) -> str:
        until(lambda: "metrics on " in self.said())
        return re.search(r"metrics on (\S+)", self.said())[1]  # type: ignore[index]

    def page(self) -> str:
        with urllib.request.urlopen(self.url(), timeout=60) as answer:
            return answer.read().decode()

    def read(self, table: str) -> pl.DataFrame:
        with open_store(str(self.store)) as store:
            frame = store.read(
                table, start=datetime.now(tz=UTC) - timedelta(hours=1), end=datetime.now(tz=UTC) + timedelta(minutes=1)
            )
            assert store.problems() == ()
        return frame.sort("at")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=120)


def until(done: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


@contextlib.contextmanager
def working(run: str, role: str, home: Path, *, says: str | None = None) -> Iterator[int]:
    """The pid of a process of a run."""
    code = "import sys, time; from clusterctl.telemetry import phase\nwhile True: [phase(p) for p in sys.argv[1:]]; time.sleep(0.2)"
    environment = os.environ | {
        "CLUSTERCTL_RUN": run,
        "CLUSTERCTL_ROLE": role,
        "CLUSTERCTL_PHASES": str(home / "phases.sock"),
    }
    with subprocess.Popen([sys.executable, "-c", code, *([says] if says else [])], env=environment) as process:
        try:
            yield process.pid
        finally:
            process.kill()
