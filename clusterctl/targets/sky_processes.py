"""The Python that has SkyPilot, and the processes that it starts: all of them work in the home of their server."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil

from clusterctl.errors import ClusterctlError

PYTHON_VARIABLE = "CLUSTERCTL_SKYPILOT_PYTHON"
"""A Python that has SkyPilot, where it is not installed beside clusterctl: it wants an older click than others do."""


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
