"""A cgroup for each sandbox: the kernel then counts all its memory, its own included, and never lets it have more.

A sandbox's cgroup lies in ours, so that no limit on us is left: as root, or where systemd delegates ours to the user.
In version 2 a cgroup with processes can't limit others: we move into a leaf when we are alone in ours, or take one
above it if none in between has a limit.  Where there is none at all, `why_no_cgroup` says why.
Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.sandbox.orphaned_sandboxes import MARK_PREFIX, is_orphaned, owner_mark

_LEAF = "clusterctl-server"  # what we move into
_SPARE_PROCESSES = 8  # the sandbox's own shell and what it starts
_REMOVALS, _REMOVAL_SECONDS = 50, 0.002
_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The files of one version of cgroups."""

    memory: str
    swap: str  # absent where the kernel counts no swap
    processes: str | None
    """None: one cgroup doesn't limit both; RLIMIT_NPROC in a user namespace of its own has to do."""
    events: str
    peak: str


VERSION_1 = Version(
    memory="memory.limit_in_bytes",
    swap="memory.memsw.limit_in_bytes",
    processes=None,
    events="memory.oom_control",
    peak="memory.max_usage_in_bytes",
)
VERSION_2 = Version(
    memory="memory.max", swap="memory.swap.max", processes="pids.max", events="memory.events", peak="memory.peak"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A cgroup in which those of sandboxes can be made."""

    folder: str
    version: Version
    home: str  # the one that we are in

    @contextmanager
    def child(self, *, memory_bytes: int, processes: int) -> Iterator[Cgroup]:
        """A new cgroup with these limits; what is in it at the end is killed.  Raises OSError when it can't be made."""
        folder = f"{self.folder}/{owner_mark(os.getpid())}-{next(_numbers)}"
        os.mkdir(folder)  # noqa: PTH102 - often: paths would be slow
        try:
            _write(f"{folder}/{self.version.memory}", memory_bytes)
            with suppress(FileNotFoundError):  # version 1 counts both together
                _write(f"{folder}/{self.version.swap}", memory_bytes if self.version is VERSION_1 else 0)
            if self.version.processes is not None:
                _write(f"{folder}/{self.version.processes}", processes + _SPARE_PROCESSES)
            yield Cgroup(folder=folder, version=self.version)
        finally:
            _remove(folder)

    def left(self, *, mark: str = MARK_PREFIX) -> list[Path]:
        """Those in it whose owner is called like `mark`."""
        return list(Path(self.folder).glob(f"{mark}-*"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cgroup:
    """The cgroup of one sandbox, while it lives."""

    folder: str
    version: Version

    def procs(self) -> int:
        """A descriptor: a process that writes 0 into it joins.  The caller closes it."""
        return os.open(f"{self.folder}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    def has_killed(self) -> bool:
        """Whether the kernel has killed a process of it for lack of memory."""
        lines = _read(f"{self.folder}/{self.version.events}").splitlines()
        return any(line.startswith(b"oom_kill ") and line != b"oom_kill 0" for line in lines)

    def peak_bytes(self) -> int:
        """The most memory it has had, with files that it read; 0 where the kernel does not say (before 5.19)."""
        return int(_read(f"{self.folder}/{self.version.peak}") or b"0")


def _remove(folder: str) -> None:
    """With what is left in it; what can't be killed stays for the next process that runs sandboxes here."""
    for _ in range(_REMOVALS):
        with suppress(OSError):
            os.rmdir(folder)  # noqa: PTH106 - often: paths would be slow
            return
        for process in _words(Path(folder, "cgroup.procs")):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(int(process), signal.SIGKILL)
        time.sleep(_REMOVAL_SECONDS)


def expect_sandbox() -> None:
    """A process will soon join its cgroup: let the kernel prepare for it, while a sandbox starts.

    It waits for all CPUs to pass a quiet state, 5 to 20 ms, unless a process has just moved (cgroup_threadgroup_rwsem,
    RCU): a thread of ours moves us to where we are.
    """
    _expected(os.getpid()).set()


@cache
def _expected(_: int) -> threading.Event:
    """One for each process: threads don't survive a fork."""
    found, expected = parent(), threading.Event()

    def move() -> None:
        while expected.wait():
            expected.clear()
            with suppress(OSError):
                _write(f"{found.home if found else ''}/cgroup.procs", 0)

    threading.Thread(target=move, daemon=True, name="clusterctl-cgroups").start()
    return expected


def why_no_cgroup() -> str | None:
    """Why sandboxes get no cgroup here; None when they do."""
    return _found()[1]


def parent() -> Parent | None:
    """Where sandboxes get their cgroups; None when they get none."""
    return _found()[0]


@cache
def _found() -> tuple[Parent | None, str | None]:
    found = None
    try:
        memberships = Path("/proc/self/cgroup").read_text(encoding="utf-8")
        found = find_parent(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), memberships)
        for abandoned in found.left():
            if is_orphaned(abandoned.name.rpartition("-")[0]):
                _remove(str(abandoned))
        with found.child(memory_bytes=1 << 30, processes=1) as trial:
            os.close(trial.procs())
    except ClusterctlError as error:
        return None, error.message
    except OSError as error:
        return None, f"{found.folder if found else error.filename}: {error.strerror}"
    return found, None


def find_parent(mountinfo: str, memberships: str) -> Parent:
    """By the content of /proc/self/mountinfo and /proc/self/cgroup.

    Raises ClusterctlError when there is none, OSError when its files can't be read.
    """
    mounted: dict[Version, tuple[Path, str]] = {}
    for line in mountinfo.splitlines():
        where, _, what = line.partition(" - ")
        kind, _, options = what.split(" ", 2)
        top, point = where.split(" ")[3:5]  # which cgroup is shown at which folder
        if kind == "cgroup2":
            mounted[VERSION_2] = (Path(point), top)
        elif kind == "cgroup" and "memory" in options.split(","):
            mounted[VERSION_1] = (Path(point), top)
    for version in (
        VERSION_1,
        VERSION_2,
    ):  # a controller belongs to one of them; if it is the first's, the second has none
        if version in mounted:
            folder, top = mounted[version]
            for line in memberships.splitlines():
                _, controllers, path = line.split(":", 2)
                if ("memory" in controllers.split(",")) if version is VERSION_1 else not controllers:
                    own = folder / path.removeprefix(top.rstrip("/")).lstrip("/")
                    divided = own if version is VERSION_1 else _that_can_limit(own, folder)
                    own = own / _LEAF if str(os.getpid()) in _words(own / _LEAF / "cgroup.procs") else own
                    return Parent(folder=str(divided), version=version, home=str(own))
    raise ClusterctlError("no cgroups of memory are mounted")


def _that_can_limit(own: Path, root: Path) -> Path:
    """Our cgroup, or one above it, in which others can be limited."""
    wanted = {"memory", "pids"}
    if not wanted <= _words(own / "cgroup.controllers"):
        raise ClusterctlError(f"{own} can't limit memory and processes")
    if wanted <= _words(own / "cgroup.subtree_control") or _enable(own):
        return own
    folder = own
    while folder != root and _words(folder / "memory.max") <= {"max"}:
        folder = folder.parent
        if wanted <= _words(folder / "cgroup.subtree_control") and os.access(folder / "cgroup.procs", os.W_OK):
            return folder
    raise ClusterctlError("our cgroup has other processes, or is not ours to divide")


def _enable(own: Path) -> bool:
    """Let cgroups in `own` have limits; when we are alone in it, by moving into one of them."""
    control, leaf, us = own / "cgroup.subtree_control", own / _LEAF, str(os.getpid())
    with suppress(OSError):  # it has processes, or is not ours
        _write(control, "+memory +pids")
        return True
    if _words(own / "cgroup.procs") != {us}:
        return False
    with suppress(OSError):
        leaf.mkdir(exist_ok=True)
        _write(leaf / "cgroup.procs", us)
        _write(control, "+memory +pids")
        return True
    return False


def _words(file: Path) -> set[str]:
    """Empty when there is no such file: the root has no limits."""
    return set(_read(file).decode("ascii").split())


def _read(file: str | Path) -> bytes:
    """Empty when it is not there, or no more."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    with suppress(OSError), os.fdopen(descriptor, "rb", buffering=0) as opened:
        return opened.read()
    return b""


def _write(file: str | Path, content: str | int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(content).encode("ascii"))
    finally:
        os.close(descriptor)
