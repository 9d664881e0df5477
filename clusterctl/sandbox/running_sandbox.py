"""Watches one running sandbox: its output, its clock, its memory, and what stopped it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from clusterctl.sandbox.verdict import Status

START_SECONDS = 30.0
"""A sandbox that has not begun by then is an error of ours, not of the program."""
GRACE_SECONDS = 5.0
"""A sandbox that was killed has this long to disappear; then its launcher is killed, then it is given up."""
FIRST_SAMPLE_SECONDS, SAMPLE_SECONDS = 0.02, 0.1
INODE_BYTES = 4096
"""An empty file counts like one of a page: it costs up to 1.1 KiB of the kernel's memory."""
SOCKET_BYTES = 256 << 10
"""A socket counts like its full buffer: 208 KiB by default (net.core.wmem_default), and one message more."""
_CHUNK_BYTES = 1 << 16


@dataclass(slots=True, kw_only=True)
class RunningSandbox:
    """What is known of a running sandbox; `until_gone` fills it."""

    pid: int
    """The launcher; the sandbox's first process is its child."""
    isolated: bool
    asked_at: float
    seconds: float
    memory_bytes: int
    limits: dict[int, int]
    """Descriptor to read → most bytes that are kept.  The last one is the report, which begins with a line."""
    read: dict[int, bytearray] = field(default_factory=dict)
    began_at: float | None = None
    stopped: Status | None = None
    peak_bytes: int = 0
    deadline: float = 0.0
    kills: int = 0

    def until_gone(self) -> None:
        """Read all its output, to the end: that is when its last process has gone."""
        self.read = {descriptor: bytearray() for descriptor in self.limits}
        report = self.read[list(self.limits)[-1]]
        poller = select.poll()
        for descriptor in self.read:
            poller.register(descriptor, select.POLLIN)
        num_open, pause = len(self.read), FIRST_SAMPLE_SECONDS
        self.deadline = sample_at = self.asked_at + START_SECONDS
        while num_open and self.kills < 3:
            wake_at = self.deadline if self.stopped else min(self.deadline, sample_at)
            for descriptor, _ in poller.poll(max(0.0, wake_at - time.monotonic()) * 1000 + 1):
                if not self._take(descriptor):
                    poller.unregister(descriptor)
                    num_open -= 1
            now = time.monotonic()
            if self.began_at is None and b"\n" in report:
                self.began_at, self.deadline, sample_at = now, now + self.seconds, now + pause
            if now >= self.deadline:
                self._stop(Status.TIME_LIMIT if self.began_at else Status.SANDBOX_ERROR)
            elif now >= sample_at and self.isolated and not self.stopped:
                self._weigh()
                pause = min(2 * pause, SAMPLE_SECONDS)
                sample_at = now + pause

    def _take(self, descriptor: int) -> bool:
        """Keep what fits of one read; false at the end."""
        chunk = os.read(descriptor, _CHUNK_BYTES)
        room = self.limits[descriptor] - len(self.read[descriptor])
        self.read[descriptor] += chunk[:room]
        if len(chunk) > room and self.stopped is None:
            self._stop(Status.OUTPUT_LIMIT)
        return bool(chunk)

    def _weigh(self) -> None:
        """Sample the memory; stop the sandbox when it is too much."""
        first = self._first()
        used = 0 if first is None else memory_bytes(f"/proc/{first}/root")
        self.peak_bytes = max(self.peak_bytes, used)
        if used > self.memory_bytes:
            self._stop(Status.MEMORY_LIMIT)

    def _stop(self, why: Status) -> None:
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
            return next(map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()), None)
        except OSError:
            return None


def memory_bytes(root: str) -> int:
    """Memory of the sandbox whose root is `root`: all its processes, and the files it wrote (they live in memory).

    Pages that processes share count once; sockets count as if they were full.  Error: shared memory that nobody maps
    any more, and pipes (the kernel's own limit is 64 MiB per user), are not seen.  What goes meanwhile counts 0.
    """
    total = _socket_bytes(f"{root}/proc/1/net")
    with contextlib.suppress(OSError):
        for name in filter(str.isdigit, os.listdir(f"{root}/proc")):  # noqa: PTH208 - often: paths would be slow
            for file, field in (("smaps_rollup", b"Pss:"), ("status", b"VmPTE:")):  # pages, and the tables of them
                with contextlib.suppress(OSError), open(f"{root}/proc/{name}/{file}", "rb") as lines:  # noqa: PTH123
                    total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
        for folder in ("/tmp", "/dev/shm"):  # noqa: S108 - the sandbox's own
            disk = os.statvfs(root + folder)
            total += (disk.f_blocks - disk.f_bfree) * disk.f_frsize + (disk.f_files - disk.f_ffree) * INODE_BYTES
    return total


def _socket_bytes(net: str) -> int:
    """What the sockets of one network may hold: TCP's buffers grow, so what waits in them; of others the most."""
    total = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        used, tcp = (int(line.split()[2]) for line in Path(f"{net}/sockstat").read_text().splitlines()[:2])
        total = used * SOCKET_BYTES
        for table in ("tcp", "tcp6") if tcp else ():
            for line in Path(f"{net}/{table}").read_text().splitlines()[1:]:
                total += sum(int(waiting, 16) for waiting in line.split()[4].split(":"))
    return total
