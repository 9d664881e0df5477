"""Sandboxes whose owner was killed in the first millisecond of their start, before they were bound to its life.

All others die with their owner at once; these would stay, blocked.  The end of a run, the next server, or `clusterctl
sweep` ends them.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from functools import cache
from pathlib import Path

MARK_PREFIX = "clusterctl-sandbox-of"
_MARK = re.compile(rf"{MARK_PREFIX}-([0-9]{{1,10}})-([0-9]*)")


@cache
def owner_mark(pid: int) -> str:
    """What the launchers of process `pid` are called in the process list: its id and when it started."""
    return f"{MARK_PREFIX}-{pid}-{_started(Path(f'/proc/{pid}'))}"


def orphans() -> list[int]:
    """Launchers of sandboxes whose owner is no more, oldest first."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has gone, or is another user's
            if is_orphaned((process / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")):
                found.append(int(process.name))
    return sorted(found)


def is_orphaned(mark: str) -> bool:
    """Whether `mark` is one of `owner_mark`, of a process that is no more.  Any program can call itself anything."""
    found = _MARK.fullmatch(mark)
    return found is not None and found[2] != _started(Path("/proc", found[1]))


def end_orphans() -> int:
    """Kill those that are ours to kill; returns how many there were."""
    found = orphans()
    for process in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
    return len(found)


def _started(process: Path) -> str:
    """When it started, in clock ticks since boot; empty when it is no more, or dead and only waited for."""
    try:
        said = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if said[0] in "ZX" else said[19]
