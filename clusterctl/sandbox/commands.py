"""The command lines that start a sandbox: by bubblewrap, by util-linux's unshare, or without any isolation.

Each ends in the same small shell script, the first process of the sandbox.  It goes into its cgroups, sets the limits,
says `ready` on descriptor 9 (which fails when we have died meanwhile), runs the program, kills what that left running,
and packs what is to be fetched onto descriptor 9.  It keeps a capability that the program lacks, for which the kernel
lets no program read, trace or write it (capabilities(7), cap_ptrace_access_check).  When it ends, or is killed, the
kernel kills all that is left in its process namespace.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from clusterctl.sandbox.languages import NO_TOOLS, Toolchain
from clusterctl.sandbox.user_namespaces import INNER_ID, random_outer_id
from clusterctl.sandbox.verdict import Policy

REPORT_FD, USERS_FD = 9, 8
CGROUP_FDS = (7, 6)
"""Descriptors of one digit, which a POSIX shell can close: none of them reaches the program."""
WORK = "/tmp"  # noqa: S108 - the sandbox's own
SHM_BYTES = 64 << 20
ETC = {
    "passwd": f"sandbox:x:{INNER_ID}:{INNER_ID}:sandbox:{WORK}:/bin/sh\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
"""Name → content of what a sandbox has in /etc beside a few links."""

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
    etc: Mapping[str, int]
    filter_fd: int | None
    """For bubblewrap."""
    own_users: bool
    """USERS_FD is the user namespace to use, in which the first process is root and the program is not."""
    cgroup_fds: tuple[int, ...]
    """Those of CGROUP_FDS that are there: files that the first process writes itself into."""

    def init(self, become: str = "") -> list[str]:
        """The first process of the sandbox; what others it starts are started by `become`."""
        policy, task = self.policy, self.task
        limits = [policy.max_open_files, policy.disk_mib << 11, task.memory_mib << 10, task.cpu_seconds]
        words = [*map(str, (*limits, policy.max_processes)), " ".join(map(str, self.cgroup_fds)), become]
        return ["/bin/sh", "-c", _INIT, "sandbox", *words, "\n".join(task.fetch), *task.program]

    def copies(self) -> list[str]:
        """What `_COPY` reads."""
        return [*(word for name, fd in self.files.items() for word in (name, str(fd))), "--"]


def bubblewrap(box: Box) -> list[str]:
    """All namespaces, a root of read-only folders, a private /tmp, the system-call filter, no capabilities."""
    line = [tool("bwrap"), "--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "sandbox"]
    line += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup"]
    line += ["--cap-drop", "ALL", "--seccomp", str(box.filter_fd)]
    line += [*_links(), "--perms", "0755", "--dir", "/etc"]
    for here, there in _shown() + box.task.toolchain.folders:
        line += ["--ro-bind", here, there]
    for name, descriptor in box.etc.items():  # a bound file would show in the list of mounts where it comes from
        line += ["--perms", "0644", "--file", str(descriptor), f"/etc/{name}"]
    line += ["--proc", "/proc", *_DEVICES]
    for size, folder in ((SHM_BYTES, "/dev/shm"), (box.policy.disk_mib << 20, WORK)):  # noqa: S108 - its own
        line += ["--perms", "0777", "--size", str(size), "--tmpfs", folder]
    for folder in sorted({str(parent) for name in box.files for parent in list(Path(name).parents)[:-1]}):
        line += ["--perms", "0777", "--dir", f"{WORK}/{folder}"]
    for name, descriptor in box.files.items():
        line += ["--perms", "0777", "--file", str(descriptor), f"{WORK}/{name}"]
    line += ["--chdir", WORK]
    if not box.own_users:  # else the folders are the first process's, and the program is another user
        line += ["--remount-ro", "/dev", "--remount-ro", "/"]
        line += ["--unshare-user", "--uid", str(INNER_ID), "--gid", str(INNER_ID), "--cap-add", "CAP_SETPCAP", "--"]
        return [*line, *box.init(f"setpriv --ambient-caps=-all {_NO_CAPABILITIES}")]
    line += ["--userns", str(USERS_FD)]
    for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_KILL"):
        line += ["--cap-add", capability]
    return [*line, "--", *box.init(f"setpriv --reuid={INNER_ID} --regid={INNER_ID} --clear-groups {_NO_CAPABILITIES}")]


def unshare(box: Box) -> list[str]:
    """The same namespaces and root by util-linux alone; no system-call filter."""
    line = [tool("setpriv"), "--pdeathsig=KILL"]
    if os.geteuid() == 0:
        outside = random_outer_id()
        line += [f"--reuid={outside}", f"--regid={outside}", "--clear-groups"]
    line += ["--", tool("unshare"), "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
    keep_one = "setpriv --bounding-set=-all,+setpcap --inh-caps=-all --no-new-privs"
    script = f'{_SETUP}{_COPY}exec setsid {keep_one} -- "$@"'  # a session of its own: `kill 0` must not reach us
    line += ["--net", "--ipc", "--uts", "--cgroup", "--", "/bin/sh", "-c", script, "setup"]
    shown = [word for pair in _shown() + box.task.toolchain.folders for word in pair]
    line += [str(box.policy.disk_mib << 20), str(SHM_BYTES), *shown, "--"]
    return [*line, *box.copies(), *box.init(f"setpriv {_NO_CAPABILITIES}")]


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


_DEVICES = ["--perms", "0755", "--tmpfs", "/dev"]
_DEVICES += [
    word for name in ("null", "zero", "full", "random", "urandom") for word in ("--dev-bind", *[f"/dev/{name}"] * 2)
]
_DEVICES += [
    word
    for number, name in enumerate(("stdin", "stdout", "stderr"))
    for word in ("--symlink", f"/proc/self/fd/{number}", f"/dev/{name}")
]
_DEVICES += ["--symlink", "/proc/self/fd", "/dev/fd"]
"""No terminals: the whole machine has few."""
_NO_CAPABILITIES = "--bounding-set=-all --inh-caps=-all --"
_BESIDE_USR = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")


@cache
def _links() -> tuple[str, ...]:
    """What is a link into /usr here is one there too."""
    links = [path for path in map(Path, _BESIDE_USR) if path.is_symlink()]
    return tuple(word for path in links for word in ("--symlink", str(path.readlink()), str(path)))


@cache
def _shown() -> tuple[tuple[str, str], ...]:
    """What every sandbox sees of this machine, read-only: no home, no secrets."""
    folders = [name for name in _BESIDE_USR if Path(name).is_dir() and not Path(name).is_symlink()]
    return tuple((name, name) for name in ("/usr", *folders, *filter(os.path.exists, _FILES)))


_FILES = ("/etc/alternatives", "/etc/ld.so.cache")
