"""How fast and how big: cold commands beside importing the same libraries.  `make bench` writes results/speed.md.

Wall seconds and resident memory of fresh processes; the best of several runs, slower is the machine's other work.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
RESULTS = REPO / "benchmarks" / "results" / "speed.md"
SCRIPTS = Path(sys.executable).parent
RUNS = 7

OFFER_FACTORS = (1, 10)

IMPORTS = [str(SCRIPTS / "python"), "-c", "import polars, pydantic, numpy"]
CLUSTERCTL = str(SCRIPTS / "clusterctl")
EXAMPLE = REPO / "templates" / "specs" / "rlcef.yaml"
PLAN = [CLUSTERCTL, "plan", str(EXAMPLE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The best of RUNS cold processes."""

    seconds: float
    rss_mib: float


def measure(command: list[str]) -> Measured:
    """Run `command` RUNS times in an empty home.  Raises RuntimeError when it fails."""
    best: list[float] = []
    peak: list[float] = []
    with tempfile.TemporaryDirectory() as home:
        environ = {"PATH": os.environ["PATH"], "HOME": home}
        for _ in range(RUNS):
            started = time.perf_counter()
            process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            best.append(time.perf_counter() - started)
            peak.append(usage.ru_maxrss / 1024)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise RuntimeError(f"`{shlex.join(command)}` exited {process.returncode}")
    return Measured(seconds=min(best), rss_mib=min(peak))


def search(factor: int) -> None:
    """Search the example over `factor` times the offers, each copy with its own names; print what it took as JSON."""
    import polars as pl

    from clusterctl.files.spec_file import read_spec
    from clusterctl.world import load_world
    from planners.fleet.explore import explore

    def copies(offers: pl.DataFrame) -> pl.DataFrame:
        names = ("region", "instance_type")
        renamed = (
            offers.with_columns(pl.concat_str(name, pl.lit(f"-{number}")).alias(name) for name in names if number)
            for number in range(factor)
        )
        return pl.concat(renamed)

    spec = read_spec(EXAMPLE)
    world = load_world(spec)
    world = replace(world, gpu_offers=copies(world.gpu_offers), cpu_offers=copies(world.cpu_offers))
    seconds: list[float] = []
    for _ in range(3):
        started = time.perf_counter()
        found = explore(spec, world, year=2026.9)
        seconds.append(time.perf_counter() - started)
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    offers = len(world.gpu_offers) + len(world.cpu_offers)
    print(json.dumps({"offers": offers, "candidates": found.combinations, "seconds": min(seconds), "rss_mib": rss_mib}))


def search_rows() -> list[str]:
    """One table row per factor: the search alone, in a process with one thread."""
    rows = []
    one_thread = {**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for factor in OFFER_FACTORS:
        command = [sys.executable, __file__, "--search", str(factor)]
        done = subprocess.run(command, env=one_thread, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        rate = found["candidates"] / found["seconds"]
        counts = f"{factor} × | {found['offers']:,} | {found['candidates']:,}"
        rows.append(f"| {counts} | {found['seconds']:.2f} | {rate:,.0f} | {found['rss_mib']:.0f} |")
    return rows


def rows() -> list[tuple[str, Measured, str]]:
    """What is measured: name, figures, and the goal beside them."""
    imports = measure(IMPORTS)
    help_page = measure([CLUSTERCTL, "--help"])
    plan = measure(PLAN)
    return [
        ("python -c 'import polars, pydantic, numpy'", imports, "the yardstick"),
        ("clusterctl --help", help_page, "≤ 0.2 s"),
        (
            "clusterctl plan templates/specs/rlcef.yaml",
            plan,
            f"≤ 2.5 × the yardstick, 200 MiB; is {plan.seconds / imports.seconds:.1f} ×",
        ),
    ]


def main() -> None:
    """Measure, print, and write the results file."""
    lines = ["| cold process | seconds | MiB | goal |", "| --- | --- | --- | --- |"]
    lines += [f"| `{name}` | {found.seconds:.2f} | {found.rss_mib:.0f} | {goal} |" for name, found, goal in rows()]
    lines += [
        "",
        "The search alone, one thread; the goal is 1,000,000 candidates per second, and no worse than linear:",
        "",
        "|  | offers | candidates | seconds | candidates/s | MiB of the process |",
        "| --- | --- | --- | --- | --- | --- |",
        *search_rows(),
    ]
    packages = ", ".join(f"{name} {version(name)}" for name in ("clusterctl", "polars", "numpy", "pydantic"))
    where = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"
    heading = f"# Speed\n\n`make bench`, {datetime.now(tz=UTC):%Y-%m-%d}; {where}. Best of {RUNS}.\n\n"
    text = heading + "\n".join(lines) + "\n"
    print(text)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--search"]:
        search(int(sys.argv[2]))
    else:
        main()
