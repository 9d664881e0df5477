"""Processes of ours on this machine, found by the tags in their environment: a note on disk can be lost, a process
can't hide."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clusterctl.errors import ClusterctlError

RUN_TAG = "CLUSTERCTL_RUN"
ROLE_TAG = "CLUSTERCTL_ROLE"
RESOURCE_TAG = "CLUSTERCTL_RESOURCE"
STORE_TAG = "CLUSTERCTL_STORE"
"""Folder of the ledger that the run is recorded in: two stores on one machine don't see each other's runs."""

POLL_SECONDS = 0.02
KILLED_SECONDS = 10.0
"""For a killed process to go: it may hang in the kernel, waiting for a disk."""
PROC = Path("/proc")
NOWHERE = Path(os.devnull)
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A live process that carries our tags."""

    pid: int
    session: int
    start_ticks: int
    name: str
    """What the kernel calls it."""
    tags: dict[str, str]
    started_at: datetime

    @property
    def address(self) -> str:
        """pid:start time, which no later process can share."""
        return f"{self.pid}:{self.start_ticks}"

    @property
    def leads(self) -> bool:
        """Whether this is the process that we started, not one that it started."""
        return self.pid == self.session


_started: list[subprocess.Popen[bytes]] = []
"""Our own children: they must be reaped, or they stay as zombies while we live."""


def spawn(command: Sequence[str], *, folder: Path, environment: dict[str, str], log: Path, told: bytes = b"") -> str:
    """Starts a command in a session of its own, its output in `log`; returns its address.  It outlives this process.

    told: what it reads from standard input, which nobody else can read.
    Raises ClusterctlError where the disk is full or there may be no further process.
    """
    try:
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603 - arguments as a list, no shell
                list(command),
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE if told else subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                close_fds=True,
            )
        if child.stdin is not None:
            with contextlib.suppress(BrokenPipeError), child.stdin as pipe:  # it is dead already
                pipe.write(told)
    except OSError as error:
        raise ClusterctlError(f"{log.stem} can't be started: {error.strerror} ({error.filename or log})") from error
    _started.append(child)
    return address_of(child.pid)


def _reap() -> None:
    """Forgets the children that have ended."""
    _started[:] = [child for child in _started if child.poll() is None]


def tagged(store: Path) -> Iterator[Process]:
    """All live processes that carry the tags of this store.  Processes of other users are not seen.

    Raises OSError where processes can't be listed: an empty answer would mean that nothing lives.
    """
    _reap()
    boot = _boot_time()
    wanted = f"{STORE_TAG}={store}".encode()
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            environment = (entry / "environ").read_bytes().split(b"\0")
            if wanted not in environment:
                continue
            state, session, ticks = _stat(entry)
            if state in "ZX":
                continue
            yield Process(
                pid=int(entry.name),
                session=session,
                start_ticks=ticks,
                name=(entry / "comm").read_text("utf-8", "replace").strip(),
                tags=_tags(environment),
                started_at=datetime.fromtimestamp(boot + ticks / CLOCK_TICKS, tz=UTC),
            )


def _tags(environment: list[bytes]) -> dict[str, str]:
    pairs = (item.decode("utf-8", "replace").partition("=") for item in environment)
    return {name: value for name, _, value in pairs if name in (RUN_TAG, ROLE_TAG, RESOURCE_TAG, STORE_TAG)}


def _stat(entry: Path) -> tuple[str, int, int]:
    """(state, session, start time in ticks) of /proc/PID/stat; the name in brackets may hold anything."""
    after = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return after[0], int(after[3]), int(after[19])


def _boot_time() -> float:
    for line in (PROC / "stat").read_text("ascii").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def alive(address: str) -> bool:
    """Whether the very process of this address lives."""
    _reap()
    pid, _, ticks = address.partition(":")
    try:
        state, _, now = _stat(PROC / pid)
    except (OSError, ValueError, IndexError):
        return False
    return state not in "ZX" and str(now) == ticks


def address_of(pid: int) -> str:
    """Address of a live process; empty where there is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return f"{pid}:{_stat(PROC / str(pid))[2]}"
    return ""


def started_at(address: str) -> datetime:
    """When the process of an address started."""
    return datetime.fromtimestamp(_boot_time() + int(address.partition(":")[2] or 0) / CLOCK_TICKS, tz=UTC)


def log_or_nothing(log: Path) -> Path:
    """The log if it can be written, else the null device: what must run runs without a log, too."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and not log.is_file():
            return NOWHERE
        with log.open("ab"):
            return log
    except OSError:
        return NOWHERE


def ask(address: str) -> None:
    """TERM to the session that the process leads."""
    if alive(address):
        for number in (signal.SIGTERM, signal.SIGCONT):  # one that was stopped gets to save its work, too
            _signal_group(int(address.partition(":")[0]), number)


def end(address: str, *, grace_seconds: float) -> None:
    """Ends the session that the process leads: TERM, then KILL after the grace; returns when it is gone."""
    pid = int(address.partition(":")[0])
    if grace_seconds > 0 and alive(address):
        _signal_group(pid, signal.SIGTERM)
    if not _gone(address, grace_seconds):
        _signal_group(pid, signal.SIGKILL)
        _gone(address, KILLED_SECONDS)


def _gone(address: str, seconds: float) -> bool:
    """Whether the process has gone, after at most so long."""
    deadline = time.monotonic() + seconds
    while alive(address):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def kill(process: Process) -> None:
    """Ends one process at once; gone is success."""
    if alive(process.address):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _signal_group(pid: int, number: signal.Signals) -> None:
    """To the process and, where it leads a group, to all of that."""
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
