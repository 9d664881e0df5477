"""Watches one running sandbox: its output and its clock, in another thread its memory, and what stopped it.

Reading how much memory processes have may take as long as they like: they hold the kernel's locks.  The clock must not.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from clusterctl.sandbox.cgroups import Cgroup
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
MAPPING_BYTES = 256
"""The kernel's own memory of a mapping (struct vm_area_struct), at most."""
LOCK_BYTES = 16 << 10
"""A lock of a file counts like this.  It has 200 bytes, which no cgroup counts; but listing locks stops all others."""
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
    cgroup: Cgroup | None
    limits: dict[int, int]
    """Descriptor to read → most bytes that are kept.  The last one is the report, which begins with a line."""
    read: dict[int, bytearray] = field(default_factory=dict)
    began_at: float | None = None
    stopped: Status | None = None
    peak_bytes: int = 0
    deadline: float = 0.0
    kills: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while it is stopped, and while it is noted to be gone."""
    gone: threading.Event = field(default_factory=threading.Event)

    def until_gone(self) -> None:
        """Read all its output, to the end: that is when its last process has gone."""
        self.read = {descriptor: bytearray() for descriptor in self.limits}
        try:
            self._read_to_the_end()
        finally:
            with self.lock:
                self.gone.set()

    def _read_to_the_end(self) -> None:
        report = self.read[list(self.limits)[-1]]
        poller = select.poll()
        for descriptor in self.read:
            poller.register(descriptor, select.POLLIN)
        num_open, is_watched = len(self.read), False
        self.deadline = self.asked_at + START_SECONDS
        while num_open and self.kills < 3:
            wake_at = self.deadline
            if self.began_at is not None and self.isolated and not is_watched:
                wake_at = min(wake_at, self.began_at + FIRST_SAMPLE_SECONDS)
            for descriptor, _ in poller.poll(max(0.0, wake_at - time.monotonic()) * 1000 + 1):
                if not self._take(descriptor):
                    poller.unregister(descriptor)
                    num_open -= 1
            now = time.monotonic()
            if self.began_at is None and b"\n" in report:
                self.began_at, self.deadline = now, now + self.seconds
            if now >= self.deadline:
                self._stop(Status.TIME_LIMIT if self.began_at else Status.SANDBOX_ERROR)
            elif now >= wake_at and not is_watched:
                threading.Thread(target=self._watch_memory, daemon=True).start()
                is_watched = True

    def _take(self, descriptor: int) -> bool:
        """Keep what fits of one read; false at the end."""
        chunk = os.read(descriptor, _CHUNK_BYTES)
        room = self.limits[descriptor] - len(self.read[descriptor])
        self.read[descriptor] += chunk[:room]
        if len(chunk) > room and self.stopped is None:
            self._stop(Status.OUTPUT_LIMIT)
        return bool(chunk)

    def _watch_memory(self) -> None:
        """Sample the memory until the sandbox is gone; stop it when it is too much."""
        pause = FIRST_SAMPLE_SECONDS
        while True:
            began, first = time.monotonic(), self._first()
            used = 0 if first is None else unlimited_bytes(f"/proc/{first}/root", self.memory_bytes)
            if first is not None and self.cgroup is None:
                used += memory_bytes(f"/proc/{first}/root", self.memory_bytes)
                self.peak_bytes = max(self.peak_bytes, used)
            if used > self.memory_bytes or (self.cgroup is not None and self.cgroup.has_killed()):
                self._stop(Status.MEMORY_LIMIT)
            pause = max(min(2 * pause, SAMPLE_SECONDS), time.monotonic() - began)
            if self.gone.wait(pause) or self.stopped:
                return

    def _stop(self, why: Status) -> None:
        """Kill the sandbox's first process, and so all of them; when that did not help, the launcher."""
        with self.lock:
            if self.gone.is_set() or (self.stopped and why is Status.MEMORY_LIMIT):
                return
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


def unlimited_bytes(root: str, enough: int) -> int:
    """Memory of the sandbox whose root is `root` that no cgroup counts, or not all: sockets and locks of files."""
    return _socket_bytes(f"{root}/proc/1/net") + _lines(f"{root}/proc/locks", enough // LOCK_BYTES) * LOCK_BYTES


def memory_bytes(root: str, enough: int) -> int:
    """All other memory of a sandbox: its processes, and the files it wrote (they live in memory).

    Pages that processes share count once; counting ends when it is more than `enough` bytes.  Error: shared memory that
    nobody maps any more, and pipes (the kernel's own limit is 64 MiB per user), are not seen, and of the kernel's own
    memory only page tables and mappings.  What goes meanwhile counts 0.
    """
    total = 0
    with contextlib.suppress(OSError):
        for folder in ("/tmp", "/dev/shm"):  # noqa: S108 - the sandbox's own
            disk = os.statvfs(root + folder)
            total += (disk.f_blocks - disk.f_bfree) * disk.f_frsize + (disk.f_files - disk.f_ffree) * INODE_BYTES
        for name in filter(str.isdigit, os.listdir(f"{root}/proc")):  # noqa: PTH208 - often: paths would be slow
            if total > enough:
                break
            total += _lines(f"{root}/proc/{name}/maps", enough // MAPPING_BYTES) * MAPPING_BYTES
            for file, field_name in (("smaps_rollup", b"Pss:"), ("status", b"VmPTE:")):  # pages, and the tables of them
                with contextlib.suppress(OSError), open(f"{root}/proc/{name}/{file}", "rb") as lines:  # noqa: PTH123
                    total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(field_name))
    return total


def _lines(file: str, enough: int) -> int:
    """Lines of `file`, or the first more than `enough` of them."""
    count = 0
    with contextlib.suppress(OSError), open(file, "rb", buffering=0) as content:  # noqa: PTH123
        while count <= enough and (chunk := content.read(_CHUNK_BYTES)):
            count += chunk.count(b"\n")
    return count


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
