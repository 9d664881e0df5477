"""How fast and how big: cold commands beside importing the same libraries.  `make bench` writes results/speed.md.

Wall seconds and resident memory of fresh processes; the best of several runs, slower is the machine's other work.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
RESULTS = REPO / "benchmarks" / "results" / "speed.md"
SCRIPTS = Path(sys.executable).parent
RUNS = 7

IMPORTS = [str(SCRIPTS / "python"), "-c", "import polars, pydantic, numpy"]
CLUSTERCTL = str(SCRIPTS / "clusterctl")
PLAN = [CLUSTERCTL, "plan", str(REPO / "templates" / "specs" / "rlcef.yaml")]


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
            f"≤ 2.5 × the yardstick; is {plan.seconds / imports.seconds:.1f} ×",
        ),
    ]


def main() -> None:
    """Measure, print, and write the results file."""
    lines = ["| cold process | seconds | MiB | goal |", "| --- | --- | --- | --- |"]
    lines += [f"| `{name}` | {found.seconds:.2f} | {found.rss_mib:.0f} | {goal} |" for name, found, goal in rows()]
    packages = ", ".join(f"{name} {version(name)}" for name in ("clusterctl", "polars", "numpy", "pydantic"))
    where = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"
    heading = f"# Speed\n\n`make bench`, {datetime.now(tz=UTC):%Y-%m-%d}; {where}. Best of {RUNS}.\n\n"
    text = heading + "\n".join(lines) + "\n"
    print(text)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
