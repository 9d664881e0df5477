"""A cgroup for each sandbox: the kernel then counts all its memory, its own included, and never lets it have more, and
no more processes than it may start.

In version 1 memory and processes are counted in two hierarchies, so that a sandbox has a folder in each.
Source: Linux, Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst and cgroup-v1/pids.rst.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clusterctl.sandbox.orphaned_sandboxes import MARK_PREFIX, is_orphaned, owner_mark

_SPARE_PROCESSES = 8  # the sandbox's own shell and what it starts
_REMOVALS, _REMOVAL_SECONDS = 50, 0.002
_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The files of one version of cgroups."""

    memory: str
    swap: str  # absent where the kernel counts no swap
    events: str
    peak: str


VERSION_1 = Version(
    memory="memory.limit_in_bytes",
    swap="memory.memsw.limit_in_bytes",
    events="memory.oom_control",
    peak="memory.max_usage_in_bytes",
)
VERSION_2 = Version(memory="memory.max", swap="memory.swap.max", events="memory.events", peak="memory.peak")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A cgroup in which those of sandboxes can be made."""

    folders: tuple[str, ...]
    """That of memory; then that of processes, where it is another one that we may divide."""
    version: Version
    home: str  # the one that we are in

    @contextmanager
    def child(self, *, memory_bytes: int, processes: int) -> Iterator[Cgroup]:
        """A new cgroup with these limits; what is in it at the end is killed.  Raises OSError when it can't be made."""
        name = f"{owner_mark(os.getpid())}-{next(_numbers)}"
        folders = tuple(f"{folder}/{name}" for folder in self.folders)
        try:
            for folder in folders:
                os.mkdir(folder)  # noqa: PTH102 - often: paths would be slow
            write(f"{folders[0]}/{self.version.memory}", memory_bytes)
            with suppress(FileNotFoundError):  # version 1 counts both together
                write(f"{folders[0]}/{self.version.swap}", memory_bytes if self.version is VERSION_1 else 0)
            with suppress(FileNotFoundError):  # not ours to divide: RLIMIT_NPROC has to do
                write(f"{folders[-1]}/pids.max", processes + _SPARE_PROCESSES)
            yield Cgroup(folders=folders, version=self.version)
        finally:
            for folder in folders:
                _remove(folder)

    def left(self, *, mark: str = MARK_PREFIX) -> list[Path]:
        """Those in it whose owner is called like `mark`."""
        return [path for folder in self.folders for path in Path(folder).glob(f"{mark}-*")]

    def remove_orphans(self) -> None:
        """Those whose owner is no more, with what runs in them."""
        for abandoned in self.left():
            if is_orphaned(abandoned.name.rpartition("-")[0]):
                _remove(str(abandoned))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cgroup:
    """The cgroup of one sandbox, while it lives."""

    folders: tuple[str, ...]
    version: Version

    def procs(self) -> Iterator[int]:
        """Descriptors: a process that writes 0 into each of them joins.  The caller closes them."""
        for folder in self.folders:
            yield os.open(f"{folder}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    def has_killed(self) -> bool:
        """Whether the kernel has killed a process of it for lack of memory."""
        lines = read(f"{self.folders[0]}/{self.version.events}").splitlines()
        return any(line.startswith(b"oom_kill ") and line != b"oom_kill 0" for line in lines)

    def peak_bytes(self) -> int:
        """The most memory it has had, with files that it read; 0 where the kernel does not say (before 5.19)."""
        return int(read(f"{self.folders[0]}/{self.version.peak}") or b"0")


def _remove(folder: str) -> None:
    """With what is left in it; what can't be killed stays for the next process that runs sandboxes here."""
    for _ in range(_REMOVALS):
        with suppress(OSError):
            os.rmdir(folder)  # noqa: PTH106 - often: paths would be slow
        if not os.path.exists(folder):  # noqa: PTH110 - the same
            return
        for process in read(f"{folder}/cgroup.procs").split():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(process), signal.SIGKILL)
        time.sleep(_REMOVAL_SECONDS)


def read(file: str | Path) -> bytes:
    """Empty when it is not there, or no more."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    with suppress(OSError), os.fdopen(descriptor, "rb", buffering=0) as opened:
        return opened.read()
    return b""


def write(file: str | Path, content: str | int) -> None:
    """Into a file of the kernel, which is never made.  Raises OSError when the kernel refuses."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(content).encode("ascii"))
    finally:
        os.close(descriptor)
