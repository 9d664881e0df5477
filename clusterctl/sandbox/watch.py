"""Watches one running sandbox: its output, its clock, its memory, and what stopped it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass, field

from clusterctl.sandbox.verdict import Status

START_SECONDS = 30.0
"""A sandbox that has not begun by then is an error of ours, not of the program."""
GRACE_SECONDS = 5.0
"""A sandbox that was killed has this long to disappear before its launcher is killed too."""
FIRST_SAMPLE_SECONDS, SAMPLE_SECONDS = 0.01, 0.05
INODE_BYTES = 1024
"""Kernel memory that a file costs even when it is empty (known error: 0.7 to 1.1 KiB by kernel version)."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CHUNK_BYTES = 1 << 16


@dataclass(slots=True, kw_only=True)
class Watch:
    """What is known of a running sandbox; `until_gone` fills it."""

    pid: int
    """The launcher; the sandbox's first process is its child."""
    isolated: bool
    asked_at: float
    seconds: float
    """Wall time that the program may take."""
    memory_bytes: int
    limits: dict[int, int]
    """Descriptor to read → most bytes that are kept.  The last one is the report."""
    stdin_fd: int
    stdin: memoryview
    read: dict[int, bytearray] = field(default_factory=dict)
    began_at: float | None = None
    stopped: Status | None = None
    peak_bytes: int = 0
    deadline: float = 0.0
    kills: int = 0

    def until_gone(self) -> None:
        """Talk to the sandbox until all its output is read, which is when its last process has gone."""
        self.read = {descriptor: bytearray() for descriptor in self.limits}
        report = list(self.limits)[-1]
        poller = select.poll()
        for descriptor in self.read:
            poller.register(descriptor, select.POLLIN)
        num_open, pause, self.deadline = len(self.read), FIRST_SAMPLE_SECONDS, self.asked_at + START_SECONDS
        sample_at = self.deadline
        while num_open and self.kills < 3:
            wake_at = self.deadline if self.stopped else min(self.deadline, sample_at)
            for descriptor, _ in poller.poll(max(0.0, wake_at - time.monotonic()) * 1000 + 1):
                if descriptor == self.stdin_fd:
                    self._feed(poller)
                elif not self._take(descriptor):
                    poller.unregister(descriptor)
                    num_open -= 1
            now = time.monotonic()
            if self.began_at is None and b"\n" in self.read[report]:
                self.read[report].clear()
                self.began_at, self.deadline, sample_at = now, now + self.seconds, now + pause
                poller.register(self.stdin_fd, select.POLLOUT)
            if now >= self.deadline:
                self.stop(Status.TIME_LIMIT if self.began_at else Status.SANDBOX_ERROR)
            elif now >= sample_at and not self.stopped:
                self._weigh()
                pause = min(2 * pause, SAMPLE_SECONDS)
                sample_at = now + pause

    def stop(self, why: Status) -> None:
        """Kill the sandbox's first process, and so all of them; when that did not help, the launcher."""
        self.stopped = self.stopped or why
        self.kills += 1
        self.deadline = time.monotonic() + GRACE_SECONDS
        first = self._first() if self.isolated and self.kills == 1 else None
        with contextlib.suppress(ProcessLookupError):
            if first is None:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                os.kill(first, signal.SIGKILL)

    def _first(self) -> int | None:
        """The sandbox's first process, or None before it is there and after it has gone."""
        try:
            with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:  # noqa: PTH123 - hot
                return next(map(int, file.read().split()), None)
        except OSError:
            return None

    def _take(self, descriptor: int) -> bool:
        """Keep what fits of one read; false at the end."""
        chunk = os.read(descriptor, _CHUNK_BYTES)
        room = self.limits[descriptor] - len(self.read[descriptor])
        self.read[descriptor] += chunk[:room]
        if len(chunk) > room and self.stopped is None:
            self.stop(Status.OUTPUT_LIMIT)
        return bool(chunk)

    def _feed(self, poller: select.poll) -> None:
        """Write a piece of stdin; at its end, or when nobody reads it, close it."""
        try:
            self.stdin = self.stdin[os.write(self.stdin_fd, self.stdin[:_CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.stdin = self.stdin[:0]
        if not self.stdin:
            poller.unregister(self.stdin_fd)
            os.close(self.stdin_fd)
            self.stdin_fd = -1

    def _weigh(self) -> None:
        """Sample the memory; stop the sandbox when it is too much."""
        first = self._first()
        if first is None or not self.isolated:
            return
        used = memory_bytes(f"/proc/{first}/root", exact=False)
        if used > self.memory_bytes:  # pages that processes share were counted once for each
            used = memory_bytes(f"/proc/{first}/root", exact=True)
        self.peak_bytes = max(self.peak_bytes, used)
        if used > self.memory_bytes:
            self.stop(Status.MEMORY_LIMIT)


def memory_bytes(root: str, *, exact: bool) -> int:
    """Memory of the sandbox whose root is `root`: all its processes, and the files it wrote (they live in memory).

    `exact` divides shared pages among those who share them, which is slow for big processes.  Error: memory that is
    shared and mapped by nobody, sockets' and pipes' buffers are not seen.  What went meanwhile counts 0.
    """
    total = 0
    with contextlib.suppress(OSError):
        for name in os.listdir(f"{root}/proc"):  # noqa: PTH208 - hot
            if name.isdigit():
                total += (_proportional_bytes if exact else _resident_bytes)(f"{root}/proc/{name}")
        for folder in ("/tmp", "/dev/shm"):  # noqa: S108 - the sandbox's own
            disk = os.statvfs(root + folder)
            total += (disk.f_blocks - disk.f_bfree) * disk.f_frsize + (disk.f_files - disk.f_ffree) * INODE_BYTES
    return total


def _resident_bytes(process: str) -> int:
    with contextlib.suppress(OSError), open(f"{process}/statm", encoding="ascii") as file:  # noqa: PTH123 - hot
        return int(file.read().split()[1]) * _PAGE_BYTES
    return 0


def _proportional_bytes(process: str) -> int:
    with contextlib.suppress(OSError), open(f"{process}/smaps_rollup", encoding="ascii") as file:  # noqa: PTH123 - hot
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    return 0
