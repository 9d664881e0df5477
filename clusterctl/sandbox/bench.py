"""How fast sandboxes start here, beside bare bubblewrap; what they leave; what the planner is to believe."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from clusterctl import paths
from clusterctl.errors import ClusterctlError
from clusterctl.sandbox.commands import Task
from clusterctl.sandbox.isolation import Isolation
from clusterctl.sandbox.languages import toolchain
from clusterctl.sandbox.measured import SandboxProfile, this_machine
from clusterctl.sandbox.orphans import owner_mark
from clusterctl.sandbox.process import run_phase
from clusterctl.sandbox.run import run_program
from clusterctl.sandbox.users import kept_namespaces
from clusterctl.sandbox.verdict import Policy, Request
from planners.spec.lengths import Durations

ROUNDS = 4
"""What is compared takes turns, so that both see the same machine."""
PROGRAMS = ("/bin/true", "/usr/bin/python3 -c pass")
BARE_NAME = "bare bwrap"
BARE = "bwrap --unshare-all --die-with-parent --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Starts of one program, by the sandbox or by bare bubblewrap, so many at once."""

    by: str
    program: str
    concurrency: int
    starts_per_second: float
    mean_seconds: float
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float


def speeds(isolation: Isolation, *, seconds: float, concurrencies: list[int], bare: bool) -> Iterator[Speed]:
    """Measure each of PROGRAMS for `seconds`, in our sandbox and, if `bare`, in bare bubblewrap."""

    def ours(program: list[str]) -> None:
        phase = run_phase(isolation.command, Task(program=tuple(program), toolchain=toolchain("python")), Policy())
        if not phase.ok:
            raise ClusterctlError(f"{program[0]} failed in the sandbox: {phase.stderr.decode(errors='replace')}")

    def plain(program: list[str]) -> None:
        subprocess.run([*BARE.split(), *program], capture_output=True, check=True)  # noqa: S603 - a list, no shell

    kinds: dict[str, Callable[[list[str]], None]] = {"sandbox": ours}
    if bare:
        kinds[BARE_NAME] = plain
    for concurrency in concurrencies:
        for program in PROGRAMS:
            took: dict[str, list[float]] = {by: [] for by in kinds}
            spent = dict.fromkeys(kinds, 0.0)
            for _ in range(ROUNDS):
                for by, start in kinds.items():
                    began = time.monotonic()
                    took[by] += _repeat(start, program.split(), concurrency, began + seconds / ROUNDS)
                    spent[by] += time.monotonic() - began
            yield from (_speed(by, program, concurrency, took[by], spent[by]) for by in kinds)


def _speed(by: str, program: str, concurrency: int, took: list[float], spent_seconds: float) -> Speed:
    cuts = statistics.quantiles(took, n=100)
    return Speed(
        by=by,
        program=program,
        concurrency=concurrency,
        starts_per_second=len(took) / spent_seconds,
        mean_seconds=statistics.mean(took),
        p50_seconds=cuts[49],
        p95_seconds=cuts[94],
        p99_seconds=cuts[98],
    )


def _repeat(start: Callable[[list[str]], None], program: list[str], concurrency: int, until: float) -> list[float]:
    """Seconds of each call, made by `concurrency` threads until the clock says `until`."""

    def work() -> list[float]:
        took: list[float] = []
        while not took or time.monotonic() < until:
            began = time.monotonic()
            start(program)
            took.append(time.monotonic() - began)
        return took

    with ThreadPoolExecutor(concurrency) as pool:
        return [seconds for future in [pool.submit(work) for _ in range(concurrency)] for seconds in future.result()]


def profile(measured: list[Speed], isolation: Isolation, *, today: date) -> SandboxProfile:
    """What plans for this machine reckon with: the smallest program at the concurrency with the most starts per second.

    Its interpreter's start is a program's own, and so part of a run's seconds.
    """
    ours = [speed for speed in measured if speed.by == "sandbox" and speed.program == PROGRAMS[0]]
    best = max(ours, key=lambda speed: speed.starts_per_second)
    mean = round(best.mean_seconds, 4)
    return SandboxProfile(
        measured_on=today,
        machine=this_machine(),
        isolation=isolation.name,
        start_seconds=Durations(mean=mean, p95=max(round(best.p95_seconds, 4), mean)),
        starts_per_second_per_node=round(best.starts_per_second, 1),
    )


def left_by(
    runs: int, isolation: Isolation, *, concurrency: int, advance: Callable[[int], None] = lambda _: None
) -> dict[str, int]:
    """How much there is after `runs` programs, each with a daemon and a file, that was not there before, by kind."""
    mark = f"left-by-{os.getpid()}"
    code = f"(exec -a {mark} sleep 600) & echo > left"

    def one(_: int) -> None:
        verdict = run_program(Request(language="bash", code=code), isolation=isolation)
        if verdict.run is None or not verdict.run.ok:
            raise ClusterctlError(f"a program ended with: {verdict.status.value} {verdict.message}")
        advance(1)

    before = _traces(mark)
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(one, range(runs)))
    after = _traces(mark)
    return {kind: len(after[kind] - before[kind]) for kind in before}


def _traces(mark: str) -> dict[str, set[str]]:
    """What runs could leave on this machine: programs, launchers, dead children, mounts, folders, open descriptors.

    A namespace lives as long as a process, a mount or a descriptor holds it.
    """
    children = set[str]()
    for thread in Path("/proc/self/task").iterdir():
        children |= set((thread / "children").read_text(encoding="ascii").split())
    own = tuple(name.encode() for name in (mark, owner_mark(os.getpid())))
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has gone, or is another user's
            children |= {process.name} if (process / "cmdline").read_bytes().startswith(own) else set()
    links = set[str]()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that lists them
            links |= {f"{descriptor.name} {descriptor.readlink()}"}
    return {
        "processes": children,
        "mounts": set(Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()),
        "folders": {str(path) for path in Path(tempfile.gettempdir()).glob("clusterctl-unprotected-*")}
        | {str(path) for path in (paths.user_data_dir() / "sandbox").glob(".building-*")},
        "descriptors": {link for link in links if int(link.split()[0]) not in kept_namespaces()},
    }
