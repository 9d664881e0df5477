"""Locks on a stack: those of processes that have died here go; those of others stay."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from pulumi import automation

ENGINE = "pulumi"
"""Name of the engine's process."""
DEAD = ("Z", "X")
"""States of a process that has ended and for which nobody has waited: in a container there may be nobody to do it."""
LOCK = re.compile(r"created by (?P<user>\S+)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)")
"""As the engine says it of a state in files, which has no lock of its own."""


def end_stale_locks(stack: automation.Stack, text: str) -> bool:
    """Removes the locks that the engine has named, if all of them are of processes that have died on this machine."""
    locks = list(LOCK.finditer(text))
    if not locks or not all(_has_died(lock) for lock in locks):
        return False
    stack.cancel()
    return True


def _has_died(lock: re.Match[str]) -> bool:
    """Whether the engine that took a lock has ended; another program may have its number by now."""
    if lock["host"] != socket.gethostname():
        return False
    try:
        said = Path(f"/proc/{lock['pid']}/stat").read_text("utf-8")  # `123 (pulumi) S 1 …`
        return f"({ENGINE})" not in said or said.rpartition(") ")[2][:1] in DEAD
    except OSError:
        pass  # it has ended, or this system has no /proc
    try:
        os.kill(int(lock["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
