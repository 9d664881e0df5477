"""Starts one sandbox, waits until it has gone, and says what happened.

The caller's thread stays here until the whole process tree is gone.  It must: a sandbox dies with its parent thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import resource
import shutil
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

from clusterctl.errors import ClusterctlError
from clusterctl.sandbox import commands
from clusterctl.sandbox.cgroup_parent import expect_sandbox, parent
from clusterctl.sandbox.cgroups import Cgroup
from clusterctl.sandbox.orphaned_sandboxes import owner_mark
from clusterctl.sandbox.running_sandbox import RunningSandbox
from clusterctl.sandbox.syscall_filter import filter_program
from clusterctl.sandbox.user_namespaces import gives_own_users, lent_namespace
from clusterctl.sandbox.verdict import MAX_FETCHED_FILES, PhaseResult, Policy, Status, why_no_path

_CPU_LIMIT_CODE = 128 + signal.SIGXCPU
_starting = threading.Lock()
_KILLED_CODE = 128 + signal.SIGKILL
_NO_MEMORY = re.compile(
    rb"MemoryError|bad_alloc|OutOfMemory|[Oo]ut of memory|annot allocate memory|memory allocation of"
)
"""What runtimes print when the kernel gives them no more memory."""
_ENVIRON = {"HOME": commands.WORK, "TMPDIR": commands.WORK, "USER": "sandbox", "LANG": "C.UTF-8"}
_ENVIRON |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # not one for each core of the machine


def run_phase(command: Callable[[commands.Box], list[str]], task: commands.Task, policy: Policy) -> PhaseResult:
    """Run `task` in a sandbox that `command` starts.  What the program does, or a failing start, is in the answer."""
    asked_at = time.monotonic()
    with ExitStack() as ours, ExitStack() as theirs:
        out, err, report = (_pipe(ours, theirs) for _ in range(3))
        for _, end in (out, err):
            with contextlib.suppress(PermissionError):  # gVisor's pipes keep their mode
                os.fchmod(end, 0o622)  # the program, another user outside, may open its /dev/stdout
        numbers = {0: _memory(theirs, task.stdin), 1: out[1], 2: err[1], commands.REPORT_FD: report[1]}
        cgroup = _cgroup(ours, task, policy)
        if cgroup is not None:
            joins = [_keep(theirs, descriptor) for descriptor in cgroup.procs()]
            numbers |= dict(zip(commands.CGROUP_FDS, joins, strict=False))
            expect_sandbox()
        box = _box(theirs, task, policy, by_bubblewrap=command is commands.bubblewrap, cgroup=cgroup)
        if box.own_users:
            numbers[commands.USERS_FD] = ours.enter_context(lent_namespace())
        numbers |= {fd: fd for fd in (*box.files.values(), *box.etc.values(), box.filter_fd) if fd is not None}
        pid = _spawn(command(box), _ENVIRON | {"PATH": task.toolchain.path} | task.environ, numbers)
        try:
            theirs.close()
            watch = RunningSandbox(
                pid=pid,
                isolated=command is not commands.unprotected,
                asked_at=asked_at,
                seconds=task.seconds,
                memory_bytes=task.memory_mib << 20,
                cgroup=cgroup,
                limits={
                    out[0]: policy.output_mib << 20,
                    err[0]: policy.output_mib << 20,
                    report[0]: policy.fetch_mib << 20,
                },
            )
            watch.until_gone()
        except BaseException:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        gone_at = time.monotonic()
        _, state, usage = os.wait4(pid, 0)
        if cgroup is not None:
            watch.peak_bytes = cgroup.peak_bytes()
            if watch.stopped is None and watch.began_at and cgroup.has_killed():
                watch.stopped = Status.MEMORY_LIMIT
    if command is commands.unprotected:
        shutil.rmtree(commands.unprotected_folder(str(pid)), ignore_errors=True)
    return _result(watch, task, state=state, usage=usage, asked_at=asked_at, gone_at=gone_at)


def _result(
    watch: RunningSandbox,
    task: commands.Task,
    *,
    state: int,
    usage: resource.struct_rusage,
    asked_at: float,
    gone_at: float,
) -> PhaseResult:
    """What became of a sandbox that has gone; state and usage: of its launcher, as wait4(2) gives them."""
    stdout, stderr, reported = map(bytes, watch.read.values())
    began_at = watch.began_at or gone_at
    cpu_seconds = usage.ru_utime + usage.ru_stime
    code = os.waitstatus_to_exitcode(state)
    status = _status(watch, task, code=code, cpu_seconds=cpu_seconds, stderr=stderr)
    return PhaseResult(
        status=status,
        exit_code=code if status is Status.FINISHED else None,
        stdout=stdout,
        stderr=stderr,
        start_seconds=began_at - asked_at,
        wall_seconds=gone_at - began_at,
        cpu_seconds=cpu_seconds if watch.stopped is None and watch.began_at else None,
        peak_memory_mib=watch.peak_bytes / (1 << 20) or None,
        files=_unpack(reported.partition(b"\n")[2], task.fetch) if task.fetch else {},
    )


def _cgroup(ours: ExitStack, task: commands.Task, policy: Policy) -> Cgroup | None:
    in_cgroups = parent()
    if in_cgroups is None:
        return None
    try:
        return ours.enter_context(in_cgroups.child(memory_bytes=task.memory_mib << 20, processes=policy.max_processes))
    except OSError as error:
        raise ClusterctlError(f"no cgroup for a sandbox: {error}", hint="`clusterctl doctor` says why") from error


def _box(
    theirs: ExitStack, task: commands.Task, policy: Policy, *, by_bubblewrap: bool, cgroup: Cgroup | None
) -> commands.Box:
    """The sandbox to start, with its files in memory."""
    etc = commands.ETC if by_bubblewrap else {}
    return commands.Box(
        task=task,
        policy=policy,
        files={name: _memory(theirs, content) for name, content in task.files.items()},
        etc={name: _memory(theirs, text.encode()) for name, text in etc.items()},
        filter_fd=_memory(theirs, filter_program()) if by_bubblewrap else None,
        own_users=by_bubblewrap and gives_own_users(),
        cgroup_fds=commands.CGROUP_FDS[: len(cgroup.folders)] if cgroup else (),
    )


def _status(watch: RunningSandbox, task: commands.Task, *, code: int, cpu_seconds: float, stderr: bytes) -> Status:
    """How it ended: by us, not at all, by the kernel's CPU limit, for lack of memory, or by itself."""
    if watch.stopped is not None:
        return watch.stopped
    if watch.began_at is None or code < 0:
        return Status.SANDBOX_ERROR
    if code == _CPU_LIMIT_CODE or (code == _KILLED_CODE and cpu_seconds >= task.cpu_seconds):
        return Status.TIME_LIMIT
    return Status.MEMORY_LIMIT if code != 0 and _NO_MEMORY.search(stderr) else Status.FINISHED


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    here, there = os.pipe()
    return _keep(reader, here), _keep(writer, there)


def _memory(owner: ExitStack, content: bytes) -> int:
    """A file in memory that holds `content` and can't be changed, to be read from its start."""
    descriptor = _keep(owner, os.memfd_create("clusterctl-sandbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
    for start in range(0, len(content), 1 << 30):  # one write takes 2 GiB at most
        os.write(descriptor, memoryview(content)[start : start + (1 << 30)])
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _keep(owner: ExitStack, descriptor: int) -> int:
    """Let `owner` close it; above the numbers that a sandbox expects."""
    if descriptor <= commands.REPORT_FD:
        low, descriptor = descriptor, fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, commands.REPORT_FD + 1)
        os.close(low)
    owner.callback(os.close, descriptor)
    return descriptor


def _spawn(line: list[str], environ: Mapping[str, str], numbers: Mapping[int, int]) -> int:
    """Start `line` in a session of its own, with the descriptors `numbers` (there → here) and no others."""
    with contextlib.suppress(FileNotFoundError):  # without /proc there is no sandbox either
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - often: paths would be slow
            with contextlib.suppress(OSError):  # another thread has closed it
                if int(name) > 2:  # those are replaced in the sandbox, and other children of ours inherit them
                    os.set_inheritable(int(name), False)  # what our parent, or a C library, would pass on
    actions = [(os.POSIX_SPAWN_DUP2, here, there) for there, here in numbers.items()]
    ignored_by_python = [signal.SIGPIPE, signal.SIGXFSZ]
    named = [owner_mark(os.getpid()), *line[1:]]
    with _no_core_dumps():
        return os.posix_spawn(line[0], named, environ, file_actions=actions, setsid=True, setsigdef=ignored_by_python)


@contextlib.contextmanager
def _no_core_dumps() -> Iterator[None]:
    """What is started meanwhile makes no core dump, not even for a handler that the kernel runs as the host's root.

    To a handler a limit of 0 says nothing, and 1 byte says "none".  Source: Linux, fs/coredump.c.
    """
    with _starting:
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        with contextlib.suppress(ValueError, OSError):  # the hard limit is 0, and only root may raise it
            resource.setrlimit(resource.RLIMIT_CORE, (1, hard or 1))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def _unpack(archive: bytes, asked: tuple[str, ...]) -> dict[str, bytes]:
    """Name → content of the plain files in `archive`, which may be hostile: only what was asked for, a file or what
    lies in a folder, by plain relative names; no links, devices or sparse files."""
    files: dict[str, bytes] = {}
    broken_off = contextlib.suppress(tarfile.TarError, ValueError, EOFError, OverflowError)
    with broken_off, tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        for member in tar:
            name = member.name
            wanted = any(name == one or name.startswith(f"{one}/") for one in asked) and why_no_path(name) is None
            content = tar.extractfile(member) if wanted and member.isreg() and not member.issparse() else None
            if content is not None and 0 <= member.size <= len(archive) and name not in files:
                files[name] = content.read()
            if len(files) == MAX_FETCHED_FILES:
                break
    return files
