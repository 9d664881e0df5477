"""The Python that has SkyPilot, and the processes that it starts: all of them work in the home of their server."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import psutil

from clusterctl.errors import ClusterctlError
from clusterctl.targets.sky_worker import GUARD_LOCK

PYTHON_VARIABLE = "CLUSTERCTL_SKYPILOT_PYTHON"
"""A Python that has SkyPilot, where it is not installed beside clusterctl: it wants an older click than others do."""

GUARD_SECONDS = 15.0
"""At most; a guard needs one, and more on a very busy machine."""


def skypilot_python() -> str:
    """A Python that can import SkyPilot.  Raises ClusterctlError where there is none."""
    if stated := os.environ.get(PYTHON_VARIABLE):
        if not Path(stated).exists():
            raise ClusterctlError(f"{PYTHON_VARIABLE} names {stated}, which is not there")
        return stated
    if find_spec("sky") is None:
        raise ClusterctlError("Slurm and Kubernetes need SkyPilot", hint="pip install 'clusterctl[remote]'")
    return sys.executable


def end_family(home: Path) -> None:
    """Kill whatever works in a server's home.  When worker or server is killed, what the server has started stays, and
    goes on with what it was asked for; it can't be told by its environment, over which it writes its name."""
    folder = home.resolve()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(folder):
                process.kill()


def await_guard(home: Path) -> None:
    """Wait until the guard of the last worker has done its work, half a second, or it would end the next worker too."""
    until = time.monotonic() + GUARD_SECONDS
    with (home / GUARD_LOCK).open("ab") as lock:
        while time.monotonic() < until:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.05)
