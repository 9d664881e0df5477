"""What `clusterctl sandbox bench` prints and writes."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from clusterctl import paths
from clusterctl.console import progress
from clusterctl.files.write import write_atomic
from clusterctl.sandbox.bench import profile, speeds, traces
from clusterctl.sandbox.isolation import BUBBLEWRAP, Isolation
from clusterctl.sandbox.run import run_program
from clusterctl.sandbox.verdict import Policy, Request

if TYPE_CHECKING:
    from clusterctl.sandbox.bench import Speed


def bench_report(isolation: Isolation, *, seconds: float, concurrency: int | None, runs: int, as_json: bool) -> None:
    """Measure, write the profile, print."""
    cpus = os.cpu_count() or 1
    concurrencies = sorted({1, cpus, 2 * cpus}) if concurrency is None else [concurrency]
    measured: list[Speed] = []
    bare = isolation is BUBBLEWRAP
    with progress("measuring starts", total=len(concurrencies) * 2 * (1 + bare)) as advance:
        for speed in speeds(isolation, seconds=seconds, concurrencies=concurrencies, bare=bare):
            measured.append(speed)
            advance(1)
    left = _left_by(runs, isolation, 2 * cpus) if runs else None
    believed = profile(measured, Policy())
    file = paths.user_data_dir() / "sandbox-profile.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps(believed, indent=2) + "\n")
    if as_json:
        rows = [asdict(speed) for speed in measured]
        report = {"isolation": isolation.name, "speeds": rows, "runs": runs, "left": left, "profile": believed}
        typer.echo(json.dumps(report, indent=2))
        return
    typer.echo(f"{'':<28}{'at once':>8}{'starts/s':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}")
    for speed in measured:
        times = "".join(f"{1000 * s:>9.1f}" for s in (speed.p50_seconds, speed.p95_seconds, speed.p99_seconds))
        typer.echo(f"{speed.what:<28}{speed.concurrency:>8}{speed.starts_per_second:>10.0f}{times}")
    if left is not None:
        typer.echo(f"after {runs} runs there is left: " + ", ".join(f"{count} {kind}" for kind, count in left.items()))
    typer.echo(f"profile for `sandbox:` in a run spec: {file}")


def _left_by(runs: int, isolation: Isolation, concurrency: int) -> dict[str, int]:
    """How many processes, mounts, folders and descriptors there are after `runs` programs that were not there before."""
    request = Request(language="bash", code="sleep 600 & echo > left")
    before = traces()
    with ThreadPoolExecutor(concurrency) as pool, progress("runs", total=runs) as advance:
        for verdict in pool.map(lambda _: run_program(request, isolation=isolation), range(runs)):
            advance(1)
            assert verdict.run is not None and verdict.run.ok, verdict  # noqa: PT018 - the bench is a test here
        after = traces()
    return {kind: len(after[kind] - before[kind]) for kind in before}
