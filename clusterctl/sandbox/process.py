"""Starts one sandbox, waits until it has gone, and says what happened.

The caller's thread stays here until the whole process tree is gone.  It must: a sandbox dies with its parent thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import resource
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from clusterctl.sandbox import commands
from clusterctl.sandbox.seccomp import filter_program
from clusterctl.sandbox.unpack import unpack
from clusterctl.sandbox.verdict import Phase, Policy, Status
from clusterctl.sandbox.watch import START_SECONDS, Watch

if TYPE_CHECKING:
    from clusterctl.sandbox.languages import Toolchain

_CPU_LIMIT_CODE = 128 + signal.SIGXCPU
_KILLED_CODE = 128 + signal.SIGKILL
_NO_MEMORY = re.compile(rb"MemoryError|bad_alloc|OutOfMemory|[Oo]ut of memory|annot allocate memory|memory allocation of")
"""What runtimes print when the kernel gives them no more memory."""
_FIXED_ENVIRON = {
    "HOME": commands.WORK, "TMPDIR": commands.WORK, "USER": "sandbox", "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
}  # fmt: skip
"""Pools of threads are not sized by the cores of the whole machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one sandbox is to run."""

    program: tuple[str, ...]
    toolchain: Toolchain
    environ: tuple[tuple[str, str], ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    fetch: tuple[str, ...] = ()
    stdin: bytes = b""
    seconds: float
    memory_mib: int


def run_phase(command: Callable[[commands.Box], list[str]], task: Task, policy: Policy) -> Phase:
    """Run `task` in a sandbox that `command` starts.  Never raises for what the program does, or for its failing start."""
    asked_at = time.monotonic()
    cpu_seconds = int(2 * task.seconds) + 1
    with _Descriptors() as fds:
        stdin, out, err, report = fds.pipe(), fds.pipe(), fds.pipe(), fds.pipe()
        must_map = command is commands.bubblewrap and os.geteuid() == 0
        info, ready = (fds.pipe(), fds.pipe()) if must_map else ((-1, -1), (-1, -1))
        box = commands.Box(
            program=task.program,
            fetch=task.fetch,
            folders=task.toolchain.folders,
            files={name: fds.memory(content) for name, content in task.files.items()},
            memory_bytes=task.memory_mib << 20,
            disk_bytes=policy.disk_mib << 20,
            cpu_seconds=cpu_seconds,
            max_processes=policy.max_processes,
            max_open_files=policy.max_open_files,
            filter_fd=fds.memory(filter_program()),
            users=(info[1], ready[0]) if must_map else None,
        )
        inherited = {0: stdin[0], 1: out[1], 2: err[1], commands.REPORT_FD: report[1]}
        inherited |= {fd: fd for fd in (box.filter_fd, *box.files.values(), *(box.users or ()))}
        environ = _FIXED_ENVIRON | {"PATH": task.toolchain.path} | dict(task.environ)
        if command is commands.unprotected:  # nothing is shown anywhere else
            for here, there in box.folders:
                environ["PATH"] = environ["PATH"].replace(there, here)
        pid = _spawn(command(box), environ, inherited)
        try:
            fds.close(inherited.values())
            if must_map:
                _map_users(info[0], ready[1])
            os.set_blocking(stdin[1], False)
            watch = Watch(
                pid=pid,
                isolated=command is not commands.unprotected,
                asked_at=asked_at,
                seconds=task.seconds,
                memory_bytes=box.memory_bytes,
                limits={out[0]: policy.output_mib << 20, err[0]: policy.output_mib << 20, report[0]: box.disk_bytes},
                stdin_fd=stdin[1],
                stdin=memoryview(b"go\n" + task.stdin),
            )
            watch.until_gone()
        except BaseException:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        gone_at = time.monotonic()
        _, state, usage = os.wait4(pid, 0)
        output = [bytes(watch.read[fd]) for fd in watch.limits]
        if watch.stdin_fd == -1:
            fds.forget(stdin[1])
    if command is commands.unprotected:
        shutil.rmtree(commands.unprotected_folder(str(pid)), ignore_errors=True)
    began_at = watch.began_at or gone_at
    cpu = usage.ru_utime + usage.ru_stime
    exit_code = os.waitstatus_to_exitcode(state)
    status = watch.stopped or _status(exit_code, cpu >= cpu_seconds, watch, output[1])
    return Phase(
        status=status,
        exit_code=exit_code if status is Status.FINISHED else None,
        stdout=output[0],
        stderr=output[1],
        start_seconds=began_at - asked_at,
        wall_seconds=gone_at - began_at,
        cpu_seconds=None if watch.began_at is None else cpu,
        peak_memory_mib=_peak_mib(watch.peak_bytes, usage.ru_maxrss),
        files=unpack(output[2]) if task.fetch else {},
    )


def _status(exit_code: int, cpu_is_used: bool, watch: Watch, stderr: bytes) -> Status:
    if watch.began_at is None or exit_code < 0:
        return Status.SANDBOX_ERROR
    if exit_code == _CPU_LIMIT_CODE or (exit_code == _KILLED_CODE and cpu_is_used):
        return Status.TIME_LIMIT
    if exit_code != 0 and _NO_MEMORY.search(stderr):
        return Status.MEMORY_LIMIT
    return Status.FINISHED


def _peak_mib(sampled_bytes: int, largest_kib: int) -> float | None:
    """The kernel's own figure for the largest process counts from ours on: a process starts as a copy of its parent."""
    if largest_kib > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
        sampled_bytes = max(sampled_bytes, largest_kib << 10)
    return sampled_bytes / (1 << 20) if sampled_bytes else None


def _spawn(line: list[str], environ: dict[str, str], inherited: Mapping[int, int]) -> int:
    """Start `line` in a session of its own with `inherited` (there → here) and no other descriptors."""
    actions = [(os.POSIX_SPAWN_DUP2, here, there) for there, here in inherited.items()]
    # Python ignores these two signals, and a program would inherit that.
    return os.posix_spawn(
        line[0], line, environ, file_actions=actions, setsid=True, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ]
    )


def _map_users(info: int, ready: int) -> None:
    """As root: give the new user namespace its users, so that programs are nobody outside.  Then let it go on."""
    said = b""
    while b"}" not in said:
        if not select.select([info], [], [], START_SECONDS)[0] or not (piece := os.read(info, 4096)):
            return  # it ends, or is ended, before it begins
        said += piece
    child = json.loads(said[: said.index(b"}") + 1])["child-pid"]
    for kind in ("uid", "gid"):
        Path(f"/proc/{child}/{kind}_map").write_text(f"0 0 1\n{commands.INNER_ID} {commands.OUTER_ID} 1\n")
    os.write(ready, b"x")


class _Descriptors:
    """Descriptors of one run.  All are above the numbers that a sandbox expects, and closed at the end."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(tuple(self._open))

    def pipe(self) -> tuple[int, int]:
        here, there = os.pipe()
        return self._keep(here), self._keep(there)

    def memory(self, content: bytes) -> int:
        """A file in memory that holds `content`, to be read from its start."""
        descriptor = self._keep(os.memfd_create("clusterctl-sandbox"))
        with contextlib.closing(os.fdopen(os.dup(descriptor), "wb")) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def close(self, descriptors: Iterable[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
            self._open.discard(descriptor)

    def forget(self, descriptor: int) -> None:
        """Somebody else has closed it."""
        self._open.discard(descriptor)

    def _keep(self, descriptor: int) -> int:
        if descriptor <= commands.REPORT_FD:
            lifted = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, commands.REPORT_FD + 1)
            os.close(descriptor)
            descriptor = lifted
        self._open.add(descriptor)
        return descriptor
