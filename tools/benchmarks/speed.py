"""How fast and how big.  `make bench` writes results/speed.md, for people, and results/speed.json, every raw number.

Cold commands run beside the import of the libraries that they need, in turns, so that other work on the machine slows
both alike: the ratio of neighbours is what counts, and its median over all turns is compared with the goal.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from speed_report import report, where

REPO = Path(__file__).resolve().parents[2]
HERE = REPO / "tools" / "benchmarks"
RESULTS = HERE / "results"
SCRIPTS = Path(sys.executable).parent
TURNS = 15
"""Cold runs of each command that are counted, after one that is not: it compiles and fills the file cache."""
MORE_OFFERS = 10

CLUSTERCTL = str(SCRIPTS / "clusterctl")
PLAN = [CLUSTERCTL, "plan", "templates/specs/rlcef.yaml"]
COMMANDS = {
    "imports": [str(SCRIPTS / "python"), "-c", "import polars, pydantic, numpy"],
    "help": [CLUSTERCTL, "--help"],
    "plan": PLAN,
}
SEARCHES: dict[str, list[str]] = {
    "as it is": [],
    "every candidate priced": ["--every"],
    "3 × the offers": ["--factor", "3"],
    "10 × the offers": ["--factor", "10"],
    "3 × the offers, other machines": ["--factor", "3", "--other-machines"],
    "10 × the offers, other machines": ["--factor", "10", "--other-machines"],
}
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

Sample = dict[str, float]


def main() -> None:
    """Measure, write the results, print the report."""
    results: dict[str, Any] = {"where": where(), "commands": {k: shlex.join(v) for k, v in COMMANDS.items()}}
    with tempfile.TemporaryDirectory() as folder:
        home, book = Path(folder, "home"), Path(folder, "book")
        home.mkdir()
        subprocess.run([sys.executable, str(HERE / "larger.py"), str(book), str(MORE_OFFERS)], check=True)
        larger = [*PLAN, "--prices", str(book)]
        results["cold"] = in_turns({**COMMANDS, f"plan, {MORE_OFFERS} × the prices": larger}, home)
    results["search"] = {name: search(options) for name, options in SEARCHES.items()}
    results["load_afterwards"] = os.getloadavg()
    RESULTS.mkdir(parents=True, exist_ok=True)
    RESULTS.joinpath("speed.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = report(results, turns=TURNS)
    RESULTS.joinpath("speed.md").write_text(text, encoding="utf-8")
    print(text)


def in_turns(commands: dict[str, list[str]], home: Path) -> dict[str, list[Sample]]:
    """Run all commands TURNS times, one after the other; what each run took."""
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for turn in range(TURNS + 1):
        for name, command in commands.items():
            sample = cold_run(command, home)
            if turn:
                samples[name].append(sample)
    return samples


def cold_run(command: list[str], home: Path) -> Sample:
    """One fresh process in an empty home: wall and CPU seconds, peak MiB.  Raises RuntimeError when it fails."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=REPO, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"`{shlex.join(command)}` exited {process.returncode}")
    return {"wall_seconds": wall, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_rss_mib": _mib(usage.ru_maxrss)}


def _mib(ru_maxrss: int) -> float:
    """Linux counts KiB, macOS bytes."""
    return ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def search(options: list[str]) -> dict[str, Any]:
    """What `search.py` measured in a process of its own."""
    command = [sys.executable, str(HERE / "search.py"), *options]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
