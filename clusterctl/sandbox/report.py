"""What `clusterctl sandbox bench` prints and writes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from clusterctl import paths
from clusterctl.console import progress
from clusterctl.files.write import write_atomic
from clusterctl.sandbox.bench import PROGRAMS, left_by, profile, speeds
from clusterctl.sandbox.isolation import BUBBLEWRAP, Isolation
from clusterctl.sandbox.verdict import Policy

if TYPE_CHECKING:
    from clusterctl.sandbox.bench import Speed


def bench_report(isolation: Isolation, *, seconds: float, concurrency: int | None, runs: int, as_json: bool) -> None:
    """Measure, write the profile, print."""
    cpus = os.cpu_count() or 1
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
    believed = profile(measured, Policy())
    file = paths.user_data_dir() / "sandbox-profile.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps(believed, indent=2) + "\n")
    if as_json:
        rows = [asdict(speed) for speed in measured]
        report = {"isolation": isolation.name, "speeds": rows, "runs": runs, "left": left, "profile": believed}
        typer.echo(json.dumps(report, indent=2))
        return
    typer.echo(f"{'program':<26}{'by':<12}{'at once':>7}{'starts/s':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}")
    for one in measured:
        times = "".join(f"{1000 * value:>9.1f}" for value in (one.p50_seconds, one.p95_seconds, one.p99_seconds))
        typer.echo(f"{one.program:<26}{one.by:<12}{one.concurrency:>7}{one.starts_per_second:>10.0f}{times}")
    if runs:
        typer.echo(f"left after {runs} programs: " + ", ".join(f"{count} {kind}" for kind, count in left.items()))
    typer.echo(f"profile for `sandbox:` in a run spec: {file}")
