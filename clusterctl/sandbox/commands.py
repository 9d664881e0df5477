"""The command lines that start a sandbox: by bubblewrap, by util-linux's unshare, or without any isolation.

Each ends in the same small shell script, the first process of the sandbox.  It sets the limits, says `ready` on
descriptor 9, waits for a line on stdin, runs the program, and packs what is to be fetched onto descriptor 9.  When it
ends, or is killed, the kernel kills all that is left in its process namespace.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

REPORT_FD = 9
WORK = "/tmp"  # noqa: S108 - the sandbox's own
SHM_MIB = 64
INNER_ID = 1000
"""User and group in the sandbox.  When we are root it is OUTER_ID outside: root's own files stay out of reach."""
OUTER_ID = 65534
ETC = Path(__file__).parent / "etc"

_INIT = """
ulimit -c 0 && ulimit -n "$1" && ulimit -f "$2" && ulimit -d "$3" && ulimit -t "$(($4 + 1))" && ulimit -S -t "$4" &&
{ ulimit -u "$5" 2>/dev/null || ulimit -p "$5"; } || exit 125
fetch=$6
shift 6
echo ready >&9
read -r go || exit 125
"$@" 9>&-
code=$?
[ -z "$fetch" ] || printf '%s\\n' "$fetch" | tar -cf - -T - >&9 2>/dev/null
exit $code
"""

_COPY = """
while [ "$1" != -- ]; do mkdir -p "$(dirname "$1")" && cp "/proc/self/fd/$2" "$1" && chmod 777 "$1"; shift 2; done
shift
"""

_UNSHARE_SETUP = (
    """
set -e
size=$1 shm=$2
shift 2
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /tmp
cd /tmp
mkdir -p proc dev/shm tmp etc old
while [ "$1" != -- ]; do
    if ! [ -e "$1" ]; then shift 2; continue; fi
    if [ -d "$1" ]; then mkdir -p ".$2"; else : > ".$2"; fi
    mount --rbind "$1" ".$2"
    mount -o remount,bind,ro,nosuid ".$2"
    shift 2
done
shift
for name in bin sbin lib lib32 lib64; do
    if [ -L "/$name" ]; then ln -s "$(readlink "/$name")" "$name"
    elif [ -d "/$name" ]; then mkdir "$name"; mount --rbind "/$name" "$name"; mount -o remount,bind,ro "$name"; fi
done
for name in null zero full random urandom; do : > "dev/$name"; mount --bind "/dev/$name" "dev/$name"; done
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o "size=$shm,mode=777,nosuid,nodev" tmpfs dev/shm
mount -t tmpfs -o "size=$size,mode=777,nosuid,nodev" tmpfs tmp
mount -t proc -o nosuid,nodev,noexec proc proc
pivot_root . old
umount -l /old
rmdir /old
echo 0 > /proc/sys/user/max_user_namespaces
mount -o remount,bind,ro tmpfs /
cd /tmp
"""
    + _COPY
    + 'exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One sandbox to start.  Sizes in bytes."""

    program: tuple[str, ...]
    fetch: tuple[str, ...] = ()
    folders: tuple[tuple[str, str], ...] = ()
    files: dict[str, int] = field(default_factory=dict)
    """Name in the working folder → descriptor that holds it."""
    memory_bytes: int
    disk_bytes: int
    cpu_seconds: int
    max_processes: int
    max_open_files: int
    filter_fd: int
    users: tuple[int, int] | None = None
    """Descriptors on which bubblewrap names its child and waits until its users are mapped (as root only)."""

    def init(self) -> list[str]:
        """The first process of the sandbox."""
        limits = (
            self.max_open_files, self.disk_bytes // 512, self.memory_bytes // 1024, self.cpu_seconds, self.max_processes
        )  # fmt: skip
        return ["/bin/sh", "-c", _INIT, "sandbox", *map(str, limits), "\n".join(self.fetch), *self.program]


def bubblewrap(box: Box) -> list[str]:
    """All namespaces, a root of read-only folders, a private /tmp, the system-call filter, no capabilities."""
    line = [tool("bwrap"), "--unshare-user", "--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1"]
    line += ["--hostname", "sandbox", "--cap-drop", "ALL", "--seccomp", str(box.filter_fd)]
    line += [*_system(), "--proc", "/proc", "--dev", "/dev"]
    for here, there in box.folders:
        line += ["--ro-bind", here, there]
    line += ["--perms", "0777", "--size", str(SHM_MIB << 20), "--tmpfs", "/dev/shm"]  # noqa: S108 - its own
    line += ["--perms", "0777", "--size", str(box.disk_bytes), "--tmpfs", WORK]
    for folder in sorted({str(parent) for name in box.files for parent in Path(name).parents[:-1]}):
        line += ["--perms", "0777", "--dir", f"{WORK}/{folder}"]
    for name, descriptor in box.files.items():
        line += ["--perms", "0777", "--file", str(descriptor), f"{WORK}/{name}"]
    line += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK]
    if box.users is None:
        return [*line, "--uid", str(INNER_ID), "--gid", str(INNER_ID), "--", *box.init()]
    line += ["--info-fd", str(box.users[0]), "--userns-block-fd", str(box.users[1])]
    become = ["setpriv", f"--reuid={INNER_ID}", f"--regid={INNER_ID}", "--clear-groups", "--inh-caps=-all", "--pdeathsig=KILL"]
    return [*line, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--", *become, "--", *box.init()]


def unshare(box: Box) -> list[str]:
    """The same namespaces and root by util-linux alone; no system-call filter."""
    line = [tool("setpriv"), "--pdeathsig=KILL"]
    if os.geteuid() == 0:
        line += [f"--reuid={OUTER_ID}", f"--regid={OUTER_ID}", "--clear-groups"]
    line += ["--", tool("unshare"), "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
    line += ["--net", "--ipc", "--uts", "--cgroup", "--", "/bin/sh", "-c", _UNSHARE_SETUP, "setup"]
    shown = [("/usr", "/usr"), *((here, here) for here in _etc_files()), *box.folders]
    line += [str(box.disk_bytes), str(SHM_MIB << 20), *(part for pair in shown for part in pair), "--"]
    return [*line, *_copied(box), "--", *box.init()]


def unprotected(box: Box) -> list[str]:
    """Limits only; the program can do whatever this user can."""
    script = f"HOME={unprotected_folder('$$')}; export HOME TMPDIR=$HOME; mkdir -m 700 $HOME && cd $HOME || exit 125\n"
    start = [tool("setpriv"), "--pdeathsig=KILL", "--", "/bin/sh", "-c", f'{script}{_COPY}exec "$@"', "setup"]
    return [*start, *_copied(box), "--", *box.init()]


def unprotected_folder(process: str) -> str:
    """Where the program that started as `process` works when nothing isolates it."""
    return f"/tmp/clusterctl-unprotected-{process}"  # noqa: S108 - mkdir refuses one that exists


def _copied(box: Box) -> list[str]:
    return [part for name, descriptor in box.files.items() for part in (name, str(descriptor))]


@cache
def tool(name: str) -> str:
    return shutil.which(name) or name


@cache
def _system() -> tuple[str, ...]:
    """bubblewrap's words for the system: /usr, links or folders beside it, and the few files of /etc that tools read."""
    line = ["--ro-bind", "/usr", "/usr"]
    for path in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64")):
        if path.is_symlink():
            line += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            line += ["--ro-bind", str(path), str(path)]
    line += ["--perms", "0755", "--dir", "/etc"]
    for name in _etc_files():
        line += ["--ro-bind", name, name]
    for file in sorted(ETC.iterdir()):
        line += ["--ro-bind", str(file), f"/etc/{file.name}"]
    return tuple(line)


def _etc_files() -> list[str]:
    return [name for name in ("/etc/alternatives", "/etc/ld.so.cache") if Path(name).exists()]
