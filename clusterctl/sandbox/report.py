"""What `clusterctl sandbox bench` prints and writes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime

import typer

from clusterctl.console import progress
from clusterctl.errors import ClusterctlError
from clusterctl.sandbox.bench import BARE_NAME, PROGRAMS, Speed, left_by, profile, speeds
from clusterctl.sandbox.isolation import BUBBLEWRAP, Isolation
from clusterctl.sandbox.measured import write_profile


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
    believed = profile(measured, isolation, today=datetime.now(tz=UTC).date())
    file = write_profile(believed)
    if as_json:
        report: dict[str, object] = {"isolation": isolation.name, "speeds": [asdict(speed) for speed in measured]}
        report |= {"runs": runs, "left": left, "profile": believed.model_dump(mode="json")}
        typer.echo(json.dumps(report, indent=2))
    else:
        _print(measured)
        if runs:
            typer.echo(f"left after {runs} programs: " + ", ".join(f"{count} {kind}" for kind, count in left.items()))
        typer.echo(f"plans for this machine use the best of the sandbox: {file}")
    if any(left.values()):
        raise ClusterctlError(f"{runs} programs left something behind", hint="please report it with this output")


def _print(measured: list[Speed]) -> None:
    typer.echo(
        f"{'program':<26}{'by':<12}{'at once':>7}{'starts/s':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'of bare':>9}"
    )
    bare_starts = {(one.program, one.concurrency): one.starts_per_second for one in measured if one.by == BARE_NAME}
    for one in measured:
        of_bare = bare_starts.get((one.program, one.concurrency)) if one.by != BARE_NAME else None
        times = "".join(f"{1000 * value:>9.1f}" for value in (one.p50_seconds, one.p95_seconds, one.p99_seconds))
        typer.echo(
            f"{one.program:<26}{one.by:<12}{one.concurrency:>7}{one.starts_per_second:>10.0f}{times}"
            + (f"{one.starts_per_second / of_bare:>9.0%}" if of_bare else "")
        )
