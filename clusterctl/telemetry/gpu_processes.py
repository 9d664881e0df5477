"""Whose process computes on a GPU: run and role from its environment, else its Slurm job or Kubernetes pod."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_KNOWN = 1024
"""Processes that are remembered; more are forgotten all at once, and looked up again."""
TAGS = ("CLUSTERCTL_RUN", "CLUSTERCTL_ROLE", "SLURM_JOB_ID", "HOSTNAME")
"""All that is looked at of a process' environment."""
_SLURM = re.compile(r"/job_(\d+)(?:/|$)")
_POD = re.compile(r"kubepods[^\n]*?pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process, and for whom it works."""

    process: psutil.Process
    started_seconds: float
    """Since the machine was booted."""
    run: str | None
    """Ours; else `slurm/JOB` or `pod/UID`; None for a process that says nothing, or that we may not look into."""
    role: str | None
    pod: str | None
    """Name of its Kubernetes pod: the host name that the pod's processes see, unless it uses the node's network."""

    def described(self) -> str:
        """`python3 of ann, process 4242`: its program's name and its user, and nothing of its arguments."""
        try:
            name, user = self.process.name(), self.process.username()
        except (psutil.Error, OSError, KeyError):
            return f"process {self.process.pid}"
        return f"{name[:64]} of {user[:64]}, process {self.process.pid}"

    def age_seconds(self) -> float:
        """Since it was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.started_seconds


class GpuProcesses:
    """Remembers processes while they live: who computes on a GPU is asked every second, 20 µs a process."""

    def __init__(self) -> None:
        self._known: dict[int, GpuProcess] = {}

    def owner(self, processes: Iterable[tuple[int, int]]) -> GpuProcess | None:
        """Of those that compute on a GPU (pid, MiB): the one that says its run, then the one with most memory."""
        found = [(process, mib) for pid, mib in processes if (process := self.look_up(pid)) is not None]
        return max(found, key=lambda one: (one[0].run is not None, one[1]), default=(None, 0))[0]

    def look_up(self, pid: int) -> GpuProcess | None:
        """The process; None when it is gone.  One of another PID namespace can't be found: it counts as gone."""
        known = self._known.pop(pid, None)
        try:
            if known is None or not known.process.is_running():
                known = _described(psutil.Process(pid))
        except (psutil.Error, OSError, ValueError):
            return None
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[pid] = known
        return known


def _described(process: psutil.Process) -> GpuProcess:
    tags = _tags(process)
    try:
        cgroup = Path(psutil.PROCFS_PATH, str(process.pid), "cgroup").read_text("utf-8", "replace")
    except OSError:
        cgroup = ""
    pod, job = _POD.search(cgroup), _SLURM.search(cgroup)
    run = tags.get("CLUSTERCTL_RUN")
    if not run:
        slurm = tags.get("SLURM_JOB_ID") or (job[1] if job else None)
        run = f"slurm/{slurm}" if slurm else f"pod/{pod[1].replace('_', '-')}" if pod else None
    age_seconds = time.time() - process.create_time()
    return GpuProcess(
        process=process,
        started_seconds=time.clock_gettime(time.CLOCK_BOOTTIME) - age_seconds,
        run=run,
        role=tags.get("CLUSTERCTL_ROLE"),
        pod=tags.get("HOSTNAME") if pod else None,
    )


def _tags(process: psutil.Process) -> dict[str, str]:
    """Those that it has, as valid Unicode, whatever its bytes are: they go into files and pages."""
    try:
        environment = process.environ()
    except (psutil.Error, OSError):
        return {}
    found = {name: environment[name] for name in TAGS if environment.get(name)}
    return {name: os.fsencode(text).decode("utf-8", "replace") for name, text in found.items()}
