"""Starts the dashboard under a lock that lives as long as it: `python -m clusterctl.dashboard.lock_holder LOCK …`

The lock is taken, the address of the process is written into it, the descriptor is kept over exec, and the kernel frees
it when the process is gone, however it went.
"""

from __future__ import annotations

import fcntl
import os
import sys

HELD = 75
"""Exit code when another process holds the lock: a dashboard is live already."""


def own_address() -> str:
    """pid:start time of this process, which exec does not change."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123 - starts before pathlib loads
        return f"{os.getpid()}:{stat.read().rpartition(')')[2].split()[19]}"


def main() -> int:
    """Takes the lock and becomes the command.  Returns only when it can't."""
    lock, *command = sys.argv[1:]
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("a dashboard runs already; not starting a second one", file=sys.stderr)  # noqa: T201 - its own log
        return HELD
    os.truncate(descriptor, 0)
    os.write(descriptor, own_address().encode("ascii"))
    os.set_inheritable(descriptor, True)
    os.execvp(command[0], command)  # noqa: S606 - no shell, arguments as a list
    return None


if __name__ == "__main__":
    sys.exit(main())
