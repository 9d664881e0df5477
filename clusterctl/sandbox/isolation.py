"""Which mechanism isolates programs on this machine, what it lacks, and how to get a better one."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.sandbox import commands
from clusterctl.sandbox.cgroup_parent import why_no_cgroup
from clusterctl.sandbox.commands import Task
from clusterctl.sandbox.process import run_phase
from clusterctl.sandbox.user_namespaces import gives_own_users, has_outer_ids
from clusterctl.sandbox.verdict import Policy, Status

_INSTALLERS = {
    "apt-get": "apt-get install -y bubblewrap",
    "dnf": "dnf install -y bubblewrap",
    "apk": "apk add bubblewrap",
    "pacman": "pacman -S --noconfirm bubblewrap",
    "zypper": "zypper --non-interactive install bubblewrap",
}
"""Package manager → what installs bubblewrap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """One way to start a sandbox."""

    name: str
    command: Callable[[commands.Box], list[str]]
    weaker: str = ""
    """What it does not contain, in words; empty for the best."""
    reads_home: bool = True
    """It can show folders that only this user may read, such as tools and caches in a home folder."""


BUBBLEWRAP = Isolation(name="bubblewrap", command=commands.bubblewrap)
UNSHARE = Isolation(
    name="unshare",
    command=commands.unshare,
    weaker="no system-call filter: io_uring, keyrings, a VM's vsock, memory that no limit counts, stay reachable",
    reads_home=os.geteuid() != 0,
)
UNPROTECTED = Isolation(
    name="none",
    command=commands.unprotected,
    weaker="no isolation: programs can read, write, kill and send whatever this user can",
    reads_home=False,
)


def find_isolation(*, unprotected: bool = False) -> Isolation:
    """The best mechanism that works here, or none if that is asked for.  Raises ClusterctlError if nothing works."""
    if unprotected:
        return UNPROTECTED
    failures = {isolation: why_not(isolation) for isolation in (BUBBLEWRAP, UNSHARE)}
    for isolation, failure in failures.items():
        if failure is None:
            return isolation
    reasons = "; ".join(f"{isolation.name}: {failure}" for isolation, failure in failures.items())
    hint = "install bubblewrap; in a container, allow user namespaces; `--unsafe-no-sandbox` runs programs unprotected"
    raise ClusterctlError(f"no sandbox works on this machine ({reasons})", hint=hint)


@cache
def why_not(isolation: Isolation) -> str | None:
    """Why `isolation` does not work here, by trying it; None when it does."""
    needed = {"bwrap", "setpriv"} if isolation is BUBBLEWRAP else {"unshare", "setpriv", "setsid"}
    if absent := [tool for tool in sorted(needed) if shutil.which(tool) is None]:
        return f"{', '.join(absent)} is not installed"
    phase = run_phase(isolation.command, Task(program=("/bin/true",)), Policy())
    if phase.ok:
        return None
    said = phase.stderr.decode(errors="replace").strip() if phase.status is Status.SANDBOX_ERROR else ""
    return said.splitlines()[0] if said else f"/bin/true ended with: {phase.status.value}"


def weaknesses(isolation: Isolation) -> list[str]:
    """What sandboxes here do not contain, because of `isolation` or of this machine, in words; empty for the best."""
    return [*filter(None, [isolation.weaker]), *(what for what, _ in missing_guards())]


def missing_guards() -> list[tuple[str, str]]:
    """What this machine does not give any sandbox, and what helps; see `docs/sandbox.md`."""
    as_root, missing = os.geteuid() == 0, []
    if (why := why_no_cgroup()) is not None:
        delegated = "as root, or `systemd-run --user --scope -p Delegate=yes clusterctl ...`"
        missing.append((f"no cgroup ({why}): memory is sampled, some of the kernel's is not counted", delegated))
    if not as_root:
        shared = "all sandboxes are this user outside: one can use up pipes, signals and sockets that another needs"
        if gives_own_users():
            shared = "all sandboxes share this user's pending signals: one can use up what another needs"
        lent = "run it as root; in part: install uidmap, and lend this user ids in /etc/subuid and /etc/subgid"
        missing.append((shared, lent))
    elif not has_outer_ids():
        missing.append(("all sandboxes are one user outside: this container has no others", "give it more user ids"))
    pattern = ""
    with suppress(OSError):  # a kernel without core dumps, such as gVisor's
        pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8", errors="replace")
    no_limit = resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 and not as_root
    if pattern.startswith("@") or (pattern.startswith("|") and no_limit):
        why = "kernel.core_pattern hands the memory of programs that crash to a program of the host"
        missing.append((why, "`ulimit -Hc unlimited`, or another kernel.core_pattern"))
    return missing


def installer() -> str | None:
    """The command that installs bubblewrap here, for root; None when it is there, or the package manager unknown."""
    known = (line for manager, line in _INSTALLERS.items() if shutil.which(manager))
    return next(known, None) if shutil.which("bwrap") is None else None


def offer_bubblewrap(ask: Callable[[str], bool]) -> None:
    """Install bubblewrap if it is missing, we are root with a known package manager, and `ask` says yes.

    Raises ClusterctlError when the installation fails.
    """
    line = installer() if os.geteuid() == 0 else None
    if line is None or not ask(f"programs would run in a weaker sandbox: bubblewrap is missing.  Run `{line}`?"):
        return
    if line.startswith("apt-get"):
        _run("apt-get update")  # a new container has no lists of packages
    if _run(line) != 0:
        raise ClusterctlError(f"`{line}` failed", hint="read what it says above, and run it by hand")
    why_not.cache_clear()
    commands.tool.cache_clear()


def _run(line: str) -> int:
    """Its exit code; it may say on stderr what fails."""
    environ, null = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, subprocess.DEVNULL
    return subprocess.run(line.split(), env=environ, stdin=null, stdout=null, check=False).returncode  # noqa: S603 - a list, no shell
