"""What programs leave on this machine after their sandboxes have gone: nothing, or a number that is reported."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from clusterctl import paths
from clusterctl.errors import ClusterctlError
from clusterctl.sandbox.cgroup_parent import parent
from clusterctl.sandbox.isolation import Isolation
from clusterctl.sandbox.orphaned_sandboxes import owner_mark
from clusterctl.sandbox.program import run_program
from clusterctl.sandbox.user_namespaces import kept_namespaces
from clusterctl.sandbox.verdict import ProgramRequest


def left_by(
    runs: int, isolation: Isolation, *, concurrency: int, advance: Callable[[int], None] = lambda _: None
) -> dict[str, int]:
    """How much there is after `runs` programs, each with a daemon and a file, that was not there before, by kind."""
    mark = f"left-by-{os.getpid()}"
    code = f"(exec -a {mark} sleep 600) & echo > left"

    def one(_: int) -> None:
        verdict = run_program(ProgramRequest(language="bash", code=code), isolation=isolation)
        if verdict.run is None or not verdict.run.ok:
            raise ClusterctlError(f"a program ended with: {verdict.status.value} {verdict.message}")
        advance(1)

    before = _traces(mark)
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(one, range(runs)))
    after = _traces(mark)
    return {kind: len(after[kind] - before[kind]) for kind in before}


def _traces(mark: str) -> dict[str, set[str]]:
    """What runs could leave on this machine: programs, launchers, dead children, mounts, folders, cgroups, open
    descriptors.

    A namespace lives as long as a process, a mount or a descriptor holds it.
    """
    own = tuple(name.encode() for name in (mark, owner_mark(os.getpid())))
    processes = set[str]()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has gone, or is another user's
            is_child = _parent(process) == os.getpid()
            processes |= {process.name} if is_child or (process / "cmdline").read_bytes().startswith(own) else set()
    links = set[str]()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that lists them
            links |= {f"{descriptor.name} {descriptor.readlink()}"}
    in_cgroups = parent()
    ours = "" if in_cgroups is None else f"{in_cgroups.home}/cgroup.procs"  # `expect_sandbox` has it open for a moment
    return {
        "processes": processes,
        "mounts": set(Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()),
        "folders": {str(path) for path in Path(tempfile.gettempdir()).glob("clusterctl-unprotected-*")}
        | {str(path) for path in (paths.user_data_dir() / "sandbox").glob(".building-*")},
        "cgroups": set(map(str, in_cgroups.left(mark=owner_mark(os.getpid())))) if in_cgroups else set(),
        "descriptors": {
            link for link in links if int(link.split()[0]) not in kept_namespaces() and link.split()[1] != ours
        },
    }


def _parent(process: Path) -> int:
    """Id of the process that is its parent.  `children` of a thread is not asked: a thread that ends while it is read
    hands its children to one that was read before."""
    return int((process / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1])
