"""Holds one role: takes its lock, runs its command, ends it at the run's deadline, and sees to a supervisor.

`python -S clusterctl/targets/holder.py LOCK LEASE -- SUPERVISOR … -- COMMAND …`, started by path: it imports nothing of
ours and stays small, for there is one beside each role.

The lock is an abstract socket: the kernel frees it when holder and command are gone, however they went, and no file can
be damaged.  The command dies with its holder.  The deadline and the moment of the supervisor's last beat are in the
lease (seconds of the machine's uptime), which the supervisor renews; one that can't be read changes nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import time

HELD = 75
"""Exit code when another process holds the lock: the role is live already."""
NAME = b"clusterctl-role"
"""What the kernel calls this process while it holds its role (15 letters)."""
POLL_SECONDS = 0.5
GRACE_SECONDS = 30.0
"""From TERM, at the deadline, to KILL: as when a supervisor ends a role."""
UNWATCHED_SECONDS = 60.0
"""Without a beat of the supervisor: it is dead or hangs, and another is started, which looks first."""
SET_NAME, SET_PARENT_DEATH_SIGNAL = 15, 1


def take_lock(name: str) -> socket.socket | None:
    """The lock, which lives as long as a process has it; None where another holds it."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind("\0" + name)
    except OSError:
        return None
    return lock


class Lease:
    """What the supervisor last wrote: until when the role may live, and when it was last watched."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.expires: float | None = None
        self.watched = uptime()

    def read(self) -> None:
        """Read it anew."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                row = json.loads(os.read(file, 4096))
            finally:
                os.close(file)
            expires, watched = row["expires_uptime_seconds"], float(row["watched_uptime_seconds"])
            self.expires = None if expires is None else float(expires)
            self.watched = max(self.watched, min(watched, uptime()))


def uptime() -> float:
    """Seconds since boot, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def start(command: list[str], lock: socket.socket) -> int:
    """The command as our child, in our session; it keeps the lock and dies with us."""
    libc, me = ctypes.CDLL(None), os.getpid()
    child = os.fork()
    if child == 0:
        try:
            libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() != me:  # the holder died in between
                os._exit(1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.set_inheritable(lock.fileno(), True)
            os.execvp(command[0], command)  # noqa: S606 - no shell, arguments as a list
        except OSError as error:
            os.write(2, f"error: {command[0]} can't be started: {error.strerror}\n".encode())
        os._exit(127)
    return child


def hold(child: int, lease: Lease, supervisor: list[str], secrets: dict[str, str]) -> int:
    """Watches the command until it has ended; its exit code."""
    asked_at: float | None = None
    helper = 0
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        lease.read()
        now = uptime()
        if asked_at is None and lease.expires is not None and now >= lease.expires:
            os.write(2, b"the run's limit is reached and no supervisor has ended this role: it is ended here\n")
            asked_at = now
            os.killpg(0, signal.SIGTERM)
        elif asked_at is not None and now >= asked_at + GRACE_SECONDS:
            os.kill(child, signal.SIGKILL)
        if helper and os.waitpid(helper, os.WNOHANG)[0]:
            helper = 0
        if not helper and supervisor and now - lease.watched > UNWATCHED_SECONDS:
            lease.watched = now
            helper = _spawn(supervisor, secrets)
        time.sleep(POLL_SECONDS)


def _spawn(command: list[str], secrets: dict[str, str]) -> int:
    """The supervisor, in a session of its own: it outlives us."""
    child = os.fork()
    if child == 0:
        os.setsid()
        environment = os.environ | secrets | {"CLUSTERCTL_ROLE": "supervisor"}
        environment.pop("CLUSTERCTL_RESOURCE", None)
        with contextlib.suppress(OSError):
            os.execvpe(command[0], command, environment)  # noqa: S606 - no shell, arguments as a list
        os._exit(127)
    return child


def read_secrets() -> dict[str, str]:
    """What a supervisor needs to reach the ledger, from standard input: it may be a password, so no role has it, nor
    this process in its environment."""
    content = b""
    while piece := os.read(0, 65536):
        content += piece
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    return {str(name): str(value) for name, value in json.loads(content or b"{}").items()}


def main() -> int:
    """Takes the lock and holds the role."""
    secrets = read_secrets()
    name, lease_path, *rest = sys.argv[1:]
    supervisor, command = rest[1 : rest.index("--", 1)], rest[rest.index("--", 1) + 1 :]
    lock = take_lock(name)
    if lock is None:
        os.write(2, b"this role runs already; not starting a second one\n")
        return HELD
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the whole session gets it: the command ends, and we with it
    child = start(command, lock)
    ctypes.CDLL(None).prctl(SET_NAME, NAME)
    return hold(child, Lease(lease_path), supervisor, secrets)


if __name__ == "__main__":
    sys.exit(main())
