"""The command lines that start a sandbox: by bubblewrap, by util-linux's unshare, or without any isolation.

Each ends in the same small shell script, the first process of the sandbox.  It sets the limits, says `ready` on
descriptor 9 (which fails when we have died meanwhile), runs the program, and packs what is to be fetched onto
descriptor 9.  When it ends, or is killed, the kernel kills all that is left in its process namespace.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from clusterctl.sandbox.languages import NO_TOOLS, Toolchain
from clusterctl.sandbox.verdict import Policy

REPORT_FD = 9
WORK = "/tmp"  # noqa: S108 - the sandbox's own
SHM_BYTES = 64 << 20
INNER_ID, OUTER_ID = 1000, 65534
"""User and group in the sandbox, and outside of it when we are root: root's files stay out of reach."""
ETC = Path(__file__).parent / "etc"

_INIT, _COPY, _SETUP = (
    (Path(__file__).parent / "scripts" / f"{name}.sh").read_text("utf-8") for name in ("init", "copy", "setup")
)
"""The first process of every sandbox; what copies a task's files into it; what builds the root of `unshare`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one sandbox is to run."""

    program: tuple[str, ...]
    toolchain: Toolchain = NO_TOOLS
    environ: dict[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    fetch: tuple[str, ...] = ()
    stdin: bytes = b""
    seconds: float = 10.0
    memory_mib: int = 1024

    @property
    def cpu_seconds(self) -> int:
        """Limit of each of its processes."""
        return int(2 * self.seconds) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One sandbox to start: a task, the rules, and descriptors that the sandbox inherits."""

    task: Task
    policy: Policy
    files: dict[str, int]
    filter_fd: int
    users_fd: int | None
    """As root: the user namespace to use, in which the first process is root and the program is not."""

    def init(self, become: str = "") -> list[str]:
        """The first process of the sandbox; what others it starts are started by `become`."""
        policy, task = self.policy, self.task
        limits = [policy.max_open_files, policy.disk_mib << 11, task.memory_mib << 10, task.cpu_seconds]
        limits.append(policy.max_processes)
        return ["/bin/sh", "-c", _INIT, "sandbox", *map(str, limits), become, "\n".join(task.fetch), *task.program]

    def copies(self) -> list[str]:
        """What `_COPY` reads."""
        return [*(word for name, fd in self.files.items() for word in (name, str(fd))), "--"]


def bubblewrap(box: Box) -> list[str]:
    """All namespaces, a root of read-only folders, a private /tmp, the system-call filter, no capabilities."""
    line = [tool("bwrap"), "--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "sandbox"]
    line += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup"]
    line += ["--cap-drop", "ALL", "--seccomp", str(box.filter_fd)]
    for path in map(Path, _BESIDE_USR):
        if path.is_symlink():
            line += ["--symlink", str(path.readlink()), str(path)]
    line += ["--perms", "0755", "--dir", "/etc"]
    own = tuple((str(file), f"/etc/{file.name}") for file in ETC.iterdir())
    for here, there in _shown() + own + box.task.toolchain.folders:
        line += ["--ro-bind", here, there]
    line += ["--proc", "/proc", "--dev", "/dev"]
    for size, folder in ((SHM_BYTES, "/dev/shm"), (box.policy.disk_mib << 20, WORK)):  # noqa: S108 - its own
        line += ["--perms", "0777", "--size", str(size), "--tmpfs", folder]
    for folder in sorted({str(parent) for name in box.files for parent in list(Path(name).parents)[:-1]}):
        line += ["--perms", "0777", "--dir", f"{WORK}/{folder}"]
    for name, descriptor in box.files.items():
        line += ["--perms", "0777", "--file", str(descriptor), f"{WORK}/{name}"]
    line += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK]
    if box.users_fd is None:
        return [*line, "--unshare-user", "--uid", str(INNER_ID), "--gid", str(INNER_ID), "--", *box.init()]
    line += ["--userns", str(box.users_fd), "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--"]
    return [*line, *box.init(f"setpriv --reuid={INNER_ID} --regid={INNER_ID} --clear-groups --inh-caps=-all --")]


def unshare(box: Box) -> list[str]:
    """The same namespaces and root by util-linux alone; no system-call filter."""
    line = [tool("setpriv"), "--pdeathsig=KILL"]
    if os.geteuid() == 0:
        line += [f"--reuid={OUTER_ID}", f"--regid={OUTER_ID}", "--clear-groups"]
    line += ["--", tool("unshare"), "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
    script = _SETUP + _COPY + 'exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"'
    line += ["--net", "--ipc", "--uts", "--cgroup", "--", "/bin/sh", "-c", script, "setup"]
    shown = [word for pair in _shown() + box.task.toolchain.folders for word in pair]
    line += [str(box.policy.disk_mib << 20), str(SHM_BYTES), *shown, "--"]
    return [*line, *box.copies(), *box.init()]


def unprotected(box: Box) -> list[str]:
    """Limits only; the program can do whatever this user can."""
    folder = unprotected_folder("$$")
    script = (
        f"HOME={folder}; export HOME TMPDIR=$HOME; mkdir -m 700 $HOME && cd $HOME || exit 125\n{_COPY}" + 'exec "$@"'
    )
    return [tool("setpriv"), "--pdeathsig=KILL", "--", "/bin/sh", "-c", script, "setup", *box.copies(), *box.init()]


def unprotected_folder(process: str) -> str:
    """Where the program that started as `process` works when nothing isolates it."""
    return f"/tmp/clusterctl-unprotected-{process}"  # noqa: S108 - mkdir refuses one that exists


@cache
def tool(name: str) -> str:
    """Where `name` is; itself when it is missing, so that starting it says so."""
    return shutil.which(name) or name


_BESIDE_USR = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")


@cache
def _shown() -> tuple[tuple[str, str], ...]:
    """What every sandbox sees of this machine, read-only: no home, no secrets."""
    folders = [name for name in _BESIDE_USR if Path(name).is_dir() and not Path(name).is_symlink()]
    return tuple((name, name) for name in ("/usr", *folders, *filter(os.path.exists, _FILES)))


_FILES = ("/etc/alternatives", "/etc/ld.so.cache")
