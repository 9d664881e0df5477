"""Which mechanism isolates programs on this machine, what it lacks, and how to get a better one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from clusterctl.errors import ClusterctlError
from clusterctl.sandbox import commands
from clusterctl.sandbox.languages import Toolchain
from clusterctl.sandbox.process import Task, run_phase
from clusterctl.sandbox.verdict import Policy, Status

_INSTALLERS = {
    "apt-get": ("apt-get", "install", "-y", "bubblewrap"),
    "dnf": ("dnf", "install", "-y", "bubblewrap"),
    "apk": ("apk", "add", "bubblewrap"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """One way to start a sandbox."""

    name: str
    command: Callable[[commands.Box], list[str]]
    weaker: tuple[str, ...] = ()
    """What it does not contain, in words; empty for the best."""


BUBBLEWRAP = Isolation(name="bubblewrap", command=commands.bubblewrap)
UNSHARE = Isolation(
    name="unshare",
    command=commands.unshare,
    weaker=("no system-call filter: ptrace, io_uring, bpf, keyrings and a VM's vsock stay reachable",),
)
UNPROTECTED = Isolation(
    name="none",
    command=commands.unprotected,
    weaker=("no isolation: programs can read, write, kill and send whatever this user can",),
)


def find_isolation(*, unprotected: bool = False) -> Isolation:
    """The best mechanism that works here, or none if that is asked for.  Raises ClusterctlError if nothing works."""
    if unprotected:
        return UNPROTECTED
    failures = []
    for isolation in (BUBBLEWRAP, UNSHARE):
        failure = why_not(isolation)
        if failure is None:
            return isolation
        failures.append(f"{isolation.name}: {failure}")
    raise ClusterctlError(
        f"no sandbox works on this machine ({'; '.join(failures)})",
        hint=f"{install_hint()}; in a container, allow user namespaces; `--unsafe-no-sandbox` runs programs unprotected",
    )


@cache
def why_not(isolation: Isolation) -> str | None:
    """Why `isolation` does not work here, by trying it; None when it does."""
    tool = "bwrap" if isolation is BUBBLEWRAP else "unshare"
    if shutil.which(tool) is None:
        return f"{tool} is not installed"
    task = Task(program=("/bin/true",), toolchain=Toolchain(), seconds=10.0, memory_mib=256)
    phase = run_phase(isolation.command, task, Policy())
    if phase.ok:
        return None
    said = phase.stderr.decode(errors="replace").strip().splitlines()
    return said[-1] if said and phase.status is Status.SANDBOX_ERROR else f"/bin/true ended with {phase.status.value}"


def install_hint() -> str:
    """What to type to get bubblewrap."""
    line = _install_line()
    return f"install bubblewrap (`{' '.join(line)}` as root)" if line else "install bubblewrap"


def offer_bubblewrap(ask: Callable[[str], bool]) -> bool:
    """Where bubblewrap is missing and we are root with a known package manager: ask, install.  True if it now works."""
    line = _install_line()
    if shutil.which("bwrap") is None and line and os.geteuid() == 0 and ask(f"bubblewrap is missing; run `{' '.join(line)}`?"):
        done = subprocess.run(line, stdout=subprocess.DEVNULL, check=False)
        why_not.cache_clear()
        commands.tool.cache_clear()
        if done.returncode != 0:
            raise ClusterctlError(f"`{' '.join(line)}` failed", hint="run it by hand and read what it says")
    return why_not(BUBBLEWRAP) is None


def _install_line() -> tuple[str, ...] | None:
    return next((line for manager, line in _INSTALLERS.items() if shutil.which(manager)), None)
