"""`clusterctl sandbox bench`: how fast sandboxes start here, beside bare bubblewrap, and what plans assume of it."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime

import typer

from clusterctl.errors import ClusterctlError
from clusterctl.json_text import json_text
from clusterctl.sandbox.commands import Task
from clusterctl.sandbox.isolation import BUBBLEWRAP, Isolation
from clusterctl.sandbox.languages import toolchain
from clusterctl.sandbox.leftovers import left_by
from clusterctl.sandbox.process import run_phase
from clusterctl.sandbox.start_profile import SandboxProfile, this_machine, write_profile
from clusterctl.sandbox.verdict import Policy
from clusterctl.ui.streams import emit
from clusterctl.ui.table import Column, draw_text, right
from clusterctl.ui.terminal import progress, terminal
from planners.spec.distributions import Durations

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
    """What plans for this machine assume: the smallest program at the concurrency with the most starts per second.

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


def bench_report(isolation: Isolation, *, seconds: float, concurrency: int | None, runs: int, as_json: bool) -> None:
    """Measure, write the profile, print."""
    cpus = os.cpu_count() or 1
    if os.getloadavg()[0] > cpus / 2:
        busy = f"this machine is busy (load {os.getloadavg()[0]:.1f} on {cpus} CPUs)"
        typer.echo(f"warning: {busy}: it is faster than what follows", err=True)
    concurrencies = sorted({1, cpus, 2 * cpus}) if concurrency is None else [concurrency]
    measured: list[Speed] = []
    bare = isolation is BUBBLEWRAP
    with progress("measuring starts", total=len(concurrencies) * len(PROGRAMS) * (1 + bare)) as advance:
        for speed in speeds(isolation, seconds=seconds, concurrencies=concurrencies, bare=bare):
            measured.append(speed)
            advance(1)
    left = {}
    if runs:
        with progress("programs", total=runs) as advance:
            left = left_by(runs, isolation, concurrency=max(concurrencies), advance=advance)
    assumed = profile(measured, isolation, today=datetime.now(tz=UTC).date())
    file = write_profile(assumed)
    if as_json:
        report: dict[str, object] = {"isolation": isolation.name, "speeds": [asdict(speed) for speed in measured]}
        report |= {"runs": runs, "left": left, "profile": assumed.model_dump(mode="json")}
        typer.echo(json_text(report, indent=2))
    else:
        _print(measured)
        if runs:
            typer.echo(f"left after {runs} programs: " + ", ".join(f"{count} {kind}" for kind, count in left.items()))
        typer.echo(f"plans for this machine use the best of the sandbox: {file}")
    if any(left.values()):
        raise ClusterctlError(f"{runs} programs left something behind", hint="please report it with this output")


def _print(measured: list[Speed]) -> None:
    titles = ("at once", "starts/s", "p50 ms", "p95 ms", "p99 ms", "of bare")
    bare_starts = {(one.program, one.concurrency): one.starts_per_second for one in measured if one.by == BARE_NAME}
    rows = []
    for one in measured:
        of_bare = bare_starts.get((one.program, one.concurrency)) if one.by != BARE_NAME else None
        times = [f"{1000 * seconds:.1f}" for seconds in (one.p50_seconds, one.p95_seconds, one.p99_seconds)]
        share = f"{one.starts_per_second / of_bare:.0%}" if of_bare else ""
        rows.append([one.program, one.by, str(one.concurrency), f"{one.starts_per_second:.0f}", *times, share])
    columns: list[Column | str] = ["program", "by", *(right(title) for title in titles)]
    emit(draw_text(columns, rows, terminal()))
