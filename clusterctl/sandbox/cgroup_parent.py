"""Where sandboxes get their cgroups: in ours, so that no limit on us is left.

That needs root, or systemd that delegates ours to the user.  In version 2 a cgroup with processes can't limit others:
we move into a leaf when we are alone in ours, or take one above it if none in between has a limit.  Where there is none
at all, `why_no_cgroup` says why.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.sandbox.cgroups import VERSION_1, VERSION_2, Parent, read, write

_LEAF = "clusterctl-server"  # what we move into


def why_no_cgroup() -> str | None:
    """Why sandboxes get no cgroup here; None when they do."""
    return _found()[1]


def parent() -> Parent | None:
    """Where sandboxes get their cgroups; None when they get none."""
    return _found()[0]


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
                write(f"{found.home if found else ''}/cgroup.procs", 0)

    threading.Thread(target=move, daemon=True, name="clusterctl-cgroups").start()
    return expected


@cache
def _found() -> tuple[Parent | None, str | None]:
    found = None
    try:
        memberships = Path("/proc/self/cgroup").read_text(encoding="utf-8")
        found = find_parent(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), memberships)
        found.remove_orphans()
        with found.child(memory_bytes=1 << 30, processes=1) as trial:
            for descriptor in trial.procs():
                os.close(descriptor)
    except ClusterctlError as error:
        return None, error.message
    except OSError as error:
        return None, f"{found.folders[0] if found else error.filename}: {error.strerror}"
    return found, None


def find_parent(mountinfo: str, memberships: str) -> Parent:
    """By the content of /proc/self/mountinfo and /proc/self/cgroup.

    Raises ClusterctlError when there is none, OSError when its files can't be read.
    """
    mounted: dict[str, tuple[Path, str]] = {}  # by controller; "" is version 2
    for line in mountinfo.splitlines():
        where, _, what = line.partition(" - ")
        kind, _, options = what.split(" ", 2)
        top, point = where.split(" ")[3:5]  # which cgroup is shown at which folder
        controllers = {"cgroup": options.split(","), "cgroup2": [""]}.get(kind, [])
        mounted |= dict.fromkeys(controllers, (Path(point), top))
    ours: dict[str, Path] = {}
    for line in memberships.splitlines():
        _, names, path = line.split(":", 2)
        for controller in mounted.keys() & set(names.split(",")):
            folder, top = mounted[controller]
            ours[controller] = folder / path.removeprefix(top.rstrip("/")).lstrip("/")
    if "memory" in ours:  # a controller belongs to one version; if it is the first's, the second has none
        of_processes = [ours["pids"]] if "pids" in ours and os.access(ours["pids"], os.W_OK) else []
        folders = tuple(dict.fromkeys(map(str, [ours["memory"], *of_processes])))
        return Parent(folders=folders, version=VERSION_1, home=str(ours["memory"]))
    if "" not in ours:
        raise ClusterctlError("no cgroups of memory are mounted")
    divided = _that_can_limit(ours[""], mounted[""][0])
    leaf = ours[""] / _LEAF
    home = leaf if str(os.getpid()) in _words(leaf / "cgroup.procs") else ours[""]
    return Parent(folders=(str(divided),), version=VERSION_2, home=str(home))


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
        write(control, "+memory +pids")
        return True
    if _words(own / "cgroup.procs") != {us}:
        return False
    with suppress(OSError):
        leaf.mkdir(exist_ok=True)
        write(leaf / "cgroup.procs", us)
        write(control, "+memory +pids")
        return True
    return False


def _words(file: Path) -> set[str]:
    """Empty when there is no such file: the root has no limits."""
    return set(read(file).decode("ascii").split())
