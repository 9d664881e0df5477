"""How fast sandboxes start here, beside bare bubblewrap; what they leave; what the planner is to believe."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl import paths
from clusterctl.errors import ClusterctlError
from clusterctl.sandbox.commands import Task
from clusterctl.sandbox.languages import toolchain
from clusterctl.sandbox.process import run_phase
from clusterctl.sandbox.run import run_program
from clusterctl.sandbox.verdict import Policy, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clusterctl.sandbox.isolation import Isolation

ROUNDS = 4
"""What is compared takes turns, so that both see the same machine."""
PROGRAMS = ("/bin/true", "/usr/bin/python3 -c pass")
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
        kinds["bare bwrap"] = plain
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


def profile(measured: list[Speed], policy: Policy) -> dict[str, object]:
    """The `sandbox:` block of a run spec: Python programs at the concurrency with the most starts per second."""
    ours = [speed for speed in measured if speed.by == "sandbox" and speed.program == PROGRAMS[-1]]
    best = max(ours, key=lambda speed: speed.starts_per_second)
    return {
        "cpus": 1.0,
        "memory_gib": policy.memory_mib / 1024,
        "disk_gib": policy.disk_mib / 1024,
        "stateful": False,
        "start_seconds": {
            "mean": round(best.mean_seconds, 4),
            "p95": round(max(best.p95_seconds, best.mean_seconds), 4),
        },
        "starts_per_second_per_node": round(best.starts_per_second, 1),
    }


def left_by(runs: int, isolation: Isolation, *, concurrency: int, advance: Callable[[int], None]) -> dict[str, int]:
    """How much there is after `runs` programs, each with a daemon and a file, that was not there before, by kind."""

    def one(_: int) -> None:
        verdict = run_program(Request(language="bash", code="sleep 600 & echo > left"), isolation=isolation)
        if verdict.run is None or not verdict.run.ok:
            raise ClusterctlError(f"a program ended with: {verdict.status.value} {verdict.message}")
        advance(1)

    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(one, range(concurrency)))  # what is made once and kept, such as namespaces, is no trace
        before = _traces()
        list(pool.map(one, range(runs)))
        after = _traces()
    return {kind: len(after[kind] - before[kind]) for kind in before}


def _traces() -> dict[str, set[str]]:
    """What runs could leave on this machine: processes in other namespaces, mounts, folders, descriptors."""
    inside, here = set[str](), Path("/proc/self/ns/pid").readlink()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside |= {process.name} if (process / "ns/pid").readlink() != here else set()
        except OSError:
            continue  # it has gone, or is another user's
    return {
        "processes": inside,
        "mounts": set(Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()),
        "folders": {str(path) for path in Path(tempfile.gettempdir()).glob("clusterctl-unprotected-*")}
        | {str(path) for path in (paths.user_data_dir() / "sandbox").glob("*")},
        "descriptors": set(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a path would be gone when it is looked at
    }
