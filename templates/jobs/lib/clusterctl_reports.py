"""What a job says to its run: steps, phases, metrics, the end.  Python's own library alone; imports nothing of ours.

A line of JSON each, appended to the file that CLUSTERCTL_REPORTS names:
{"at": "2026-01-31T12:00:00+00:00", "stage": "rlcef", "step": 3, "of": 100,
 "phases": {"generate": 41.0, "train": 12.5}, "metrics": {"reward": 0.4, "pass_at_1": 0.25}}
"""

import json
import os
import socket
import time
from datetime import datetime, timezone


def report(step, of, phases=None, metrics=None):
    """A step is done.  phases: seconds by name, as in plans (generate, sandbox, train, weight sync)."""
    path = os.environ.get("CLUSTERCTL_REPORTS")
    if not path:
        return
    row = {
        "at": datetime.now(timezone.utc).isoformat(),
        "stage": os.environ.get("CLUSTERCTL_STAGE", ""),
        "step": int(step),
        "of": int(of),
        "phases": {name: round(seconds, 6) for name, seconds in (phases or {}).items()},
        "metrics": {name: number for name, value in (metrics or {}).items() if (number := _number(value)) is not None},
    }
    with open(path, "ab+", buffering=0) as file:
        torn = file.tell() > 0 and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
        file.write(b"\n" * torn + json.dumps(row).encode() + b"\n")
        os.fsync(file.fileno())


def done(**result):
    """The stage's work is done: what it came to."""
    path = os.environ.get("CLUSTERCTL_RESULT")
    if path:
        result.setdefault("stage", os.environ.get("CLUSTERCTL_STAGE", ""))
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(result, file)
        os.replace(f"{path}.new", path)


def phase(name):
    """Tell the node's agent what this process does now, so that it knows why a GPU idles.  Never fails, never waits."""
    path = os.environ.get("CLUSTERCTL_PHASES")
    try:
        if path:
            run, role = os.environ.get("CLUSTERCTL_RUN", ""), os.environ.get("CLUSTERCTL_ROLE", "")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as agent:
                agent.setblocking(False)
                agent.sendto(f"{name.replace(' ', '_')} {run} {role}".encode(), path)
    except OSError:
        pass


class Phases:
    """Seconds of the phases of a step, one after the other."""

    def __init__(self):
        self._seconds, self._name, self._since = {}, "", time.perf_counter()

    def enter(self, name):
        """The current phase ends and `name` begins; empty = none."""
        now = time.perf_counter()
        if self._name:
            self._seconds[self._name] = self._seconds.get(self._name, 0.0) + now - self._since
        self._name, self._since = name, now
        if name:
            phase(name)

    def take(self):
        """Seconds by phase since the last call; the current phase goes on."""
        self.enter(self._name)
        seconds, self._seconds = self._seconds, {}
        return seconds


def _number(value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number - number == 0.0 else None  # neither infinite nor NaN
