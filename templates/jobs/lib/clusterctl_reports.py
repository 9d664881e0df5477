"""What a job says to its run: steps, phases, metrics, the end.  Python's own library alone, any Python from 3.9 on.

A line of JSON each, appended to the file that CLUSTERCTL_REPORTS names:

    {"at": "2026-01-31T12:00:00+00:00", "stage": "rlcef", "step": 3, "of": 100,
     "phases": {"generate": 41.0, "train": 12.5}, "metrics": {"reward": 0.4, "pass_at_1": 0.25}}
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any


def report(
    step: int, of: int, phases: Mapping[str, float] | None = None, metrics: Mapping[str, Any] | None = None
) -> None:
    """A step is done.  phases: seconds by name, as in plans (generate, sandbox, log-prob, train, weight sync).

    metrics: reward, pass_at_1, response_tokens and others; what is no finite number is left out.  Does nothing where
    CLUSTERCTL_REPORTS is not set.  Raises OSError where the line can't be written.
    """
    path = os.environ.get("CLUSTERCTL_REPORTS")
    if not path:
        return
    numbers = {name: _number(value) for name, value in (metrics or {}).items()}
    row = {
        "at": datetime.now(timezone.utc).isoformat(),
        "stage": os.environ.get("CLUSTERCTL_STAGE", ""),
        "step": int(step),
        "of": int(of),
        "phases": {name: round(float(seconds), 6) for name, seconds in (phases or {}).items()},
        "metrics": {name: number for name, number in numbers.items() if number is not None},
    }
    with Path(path).open("ab+", buffering=0) as file:
        torn = file.tell() > 0 and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
        file.write(b"\n" * torn + json.dumps(row).encode() + b"\n")
        os.fsync(file.fileno())


def done(**result: Any) -> None:
    """The stage's work is done, and what it came to: into the file that CLUSTERCTL_RESULT names."""
    path = os.environ.get("CLUSTERCTL_RESULT")
    if path:
        row = {"stage": os.environ.get("CLUSTERCTL_STAGE", ""), **result}
        written = Path(f"{path}.new")
        written.write_text(json.dumps(row) + "\n", encoding="utf-8")
        written.replace(path)


def whole_rows(file: Path, row_of: Callable[[bytes, int], Any] | None = None) -> list[Any]:
    """The JSON lines that an earlier start has written, up to the first that is not whole; the file is cut there.

    row_of: the row of a line and its number; it raises ValueError, KeyError or TypeError for one that is not whole.
    """
    rows: list[Any] = []
    if not file.exists():
        return rows
    whole = 0
    for line in file.read_bytes().splitlines(keepends=True):
        try:
            row = row_of(line, len(rows)) if row_of is not None else json.loads(line)
        except (ValueError, KeyError, TypeError):
            break
        if not line.endswith(b"\n"):
            break
        rows.append(row)
        whole += len(line)
    os.truncate(file, whole)
    return rows


def phase(name: str) -> None:
    """Tell the node's agent what this process does now, so that it knows why a GPU idles.  Never fails, never waits."""
    path = os.environ.get("CLUSTERCTL_PHASES")
    if path:
        words = [name.replace(" ", "_"), os.environ.get("CLUSTERCTL_RUN", ""), os.environ.get("CLUSTERCTL_ROLE", "")]
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as agent:
            agent.setblocking(False)
            agent.sendto(" ".join(words).encode(), path)


class Phases:
    """Seconds of the phases of a step, one after the other; each is told to the node's agent."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._name, self._since = "", time.perf_counter()

    def enter(self, name: str) -> None:
        """The current phase ends and `name` begins; empty = none."""
        now = time.perf_counter()
        if self._name:
            self._seconds[self._name] = self._seconds.get(self._name, 0.0) + now - self._since
        self._name, self._since = name, now
        if name:
            phase(name)

    def take(self) -> dict[str, float]:
        """Seconds by phase since the last call; the current phase goes on."""
        self.enter(self._name)
        seconds, self._seconds = self._seconds, {}
        return seconds


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
