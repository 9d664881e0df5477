"""Starts a role's command under a lock that lives exactly as long as the command: `python -m
clusterctl.targets.holder LOCK COMMAND…`

The lock is taken, the file descriptor is kept over exec, and the kernel frees it when the process is gone, however
it went.
"""

from __future__ import annotations

import fcntl
import os
import sys

HELD = 75
"""Exit code when another process holds the lock: the role is live already."""


def main() -> int:
    """Takes the lock and becomes the command.  Returns only when it can't."""
    lock, *command = sys.argv[1:]
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("this role runs already; not starting a second one", file=sys.stderr)  # noqa: T201 - the role's own log
        return HELD
    os.set_inheritable(descriptor, True)
    os.execvp(command[0], command)  # noqa: S606 - no shell, arguments as a list
    return None


if __name__ == "__main__":
    sys.exit(main())
