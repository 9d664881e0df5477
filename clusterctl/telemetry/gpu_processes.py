"""Whose process it is that holds a GPU: run and role from its environment, else its Slurm job or Kubernetes pod."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PROC = Path("/proc")
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
MAX_KNOWN = 1024
"""Processes that are remembered; more are forgotten all at once, and looked up again."""
TAGS = (b"CLUSTERCTL_RUN", b"CLUSTERCTL_ROLE", b"SLURM_JOB_ID", b"HOSTNAME")
"""All that is looked at of a process' environment."""
_SLURM = re.compile(r"/job_(\d+)(?:/|$)")
_POD = re.compile(r"kubepods[^\n]*?pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuHolder:
    """A process, and for whom it works."""

    pid: int
    start_ticks: int
    name: str
    run: str | None
    """Ours; else `slurm/JOB` or `pod/UID`; None for a process that says nothing, or that we may not look into."""
    role: str | None
    pod: str | None
    """Name of its Kubernetes pod: the host name that the pod's processes see, unless it uses the node's network."""

    def age_seconds(self) -> float:
        """Since it was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.start_ticks / CLOCK_TICKS


class Holders:
    """Remembers processes while they live: who holds a GPU is asked every second."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._known: dict[int, GpuHolder] = {}

    def of(self, processes: Iterable[tuple[int, int]]) -> GpuHolder | None:
        """Of those that compute on a GPU (pid, MiB): the one that says its run, then the one with most memory."""
        found = [(holder, mib) for pid, mib in processes if (holder := self.look(pid)) is not None]
        return max(found, key=lambda one: (one[0].run is not None, one[1]), default=(None, 0))[0]

    def look(self, pid: int) -> GpuHolder | None:
        """The process; None when it is gone.  One of another PID namespace can't be found: it counts as gone."""
        folder = self._proc / str(pid)
        try:
            name, _, rest = (folder / "stat").read_text("utf-8", "replace").rpartition(")")
            ticks = int(rest.split()[19])
        except (OSError, ValueError, IndexError):
            self._known.pop(pid, None)
            return None
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        known = self._known.get(pid)
        if known is None or known.start_ticks != ticks:
            known = self._known[pid] = _holder(folder, pid, ticks, name.partition("(")[2])
        return known


def _holder(folder: Path, pid: int, ticks: int, name: str) -> GpuHolder:
    tags = _tags(folder)
    try:
        cgroup = (folder / "cgroup").read_text("utf-8", "replace")
    except OSError:
        cgroup = ""
    pod, job = _POD.search(cgroup), _SLURM.search(cgroup)
    run = tags.get("CLUSTERCTL_RUN")
    if not run:
        slurm = tags.get("SLURM_JOB_ID") or (job[1] if job else None)
        run = f"slurm/{slurm}" if slurm else f"pod/{pod[1].replace('_', '-')}" if pod else None
    return GpuHolder(
        pid=pid,
        start_ticks=ticks,
        name=name,
        run=run,
        role=tags.get("CLUSTERCTL_ROLE"),
        pod=tags.get("HOSTNAME") if pod else None,
    )


def _tags(folder: Path) -> dict[str, str]:
    try:
        pairs = (item.partition(b"=") for item in (folder / "environ").read_bytes().split(b"\0"))
    except OSError:
        return {}
    return {name.decode(): value.decode("utf-8", "replace") for name, _, value in pairs if name in TAGS and value}
