"""The phases that jobs report: datagrams `NAME [RUN [ROLE]]` to a socket of this node."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from planners.telemetry.idle import phase_name

if TYPE_CHECKING:
    from clusterctl.telemetry.gpu_processes import GpuProcesses

MAX_SOCKET_PATH = 100
"""Linux takes 107 bytes (`sun_path`)."""
MAX_DATAGRAM = 512
MAX_KNOWN = 4096
"""Roles whose phase is kept: the oldest are forgotten, whoever sends what."""
_CREDENTIALS = struct.Struct("3i")
"""`struct ucred`: pid, uid, gid of the sender, told by the kernel."""


def socket_path(home: Path) -> Path:
    """Where the agent of this user listens: in `home`, or under a short name if that is too long for a socket."""
    path = home / "phases.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"clusterctl-phases-{digest}.sock"


class Phases:
    """Listens in a thread of its own."""

    def __init__(self, processes: GpuProcesses) -> None:
        self._processes = processes
        self._phases: dict[tuple[str, str | None], tuple[str, float]] = {}
        self._lock = threading.Lock()

    def listen(self, path: Path) -> None:
        """Raises OSError where nothing can be bound.  A socket that is left over is replaced."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ours.bind(str(path))
        path.chmod(0o666)  # jobs of every user may say their phase; it changes the reason of idleness, never money
        threading.Thread(target=self._receive, args=(ours,), daemon=True, name="phases").start()

    def record(self, line: str, pid: int, at: float) -> None:
        """Keep one datagram; at: seconds since boot.  Without a run in it, the sender's process tells the run."""
        words = line.split()
        if not words or not (name := phase_name(words[0])):
            return
        run, role = words[1] if len(words) > 1 else None, words[2] if len(words) > 2 else None
        if run is None:
            sender = self._processes.look_up(pid)
            if sender is None or sender.run is None:
                return
            run, role = sender.run, sender.role
        with self._lock:
            self._phases.pop((run, role), None)
            self._phases[run, role] = (name, at)
            while len(self._phases) > MAX_KNOWN:
                del self._phases[next(iter(self._phases))]

    def of(self, run: str, role: str | None, since: float) -> tuple[str | None, dict[str, str]]:
        """(phase of the role, if reported after `since`; phase of each other role of the run, latest first)."""
        with self._lock:
            reported = [(key[1], *told) for key, told in self._phases.items() if key[0] == run]
        own = next((name for who, name, at in reported if who == role and at >= since), None)
        return own, {str(who): name for who, name, _ in reversed(reported) if who != role}

    def _receive(self, ours: socket.socket) -> None:
        while True:
            line, extra, _, _ = ours.recvmsg(MAX_DATAGRAM, socket.CMSG_SPACE(_CREDENTIALS.size))
            pids = [_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0] for _, _, data in extra]
            self.record(
                line.decode("utf-8", "replace"), pids[0] if pids else 0, time.clock_gettime(time.CLOCK_BOOTTIME)
            )
