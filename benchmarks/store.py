"""How small and how fast a day of telemetry of a large fleet is.  `make bench-store` writes results/store.md and .json.

Builds the day with the store itself: 23 closed hours, compacted; an hour that is open, compacted every ten minutes as a
running compactor does; and a last minute of segments, one per node, that nobody has compacted.  Then asks it what the
dashboard asks, in a process that may use two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from speed_report import where

HERE = Path(__file__).resolve().parent
START = datetime(2026, 5, 4, tzinfo=UTC)
METRICS = 14
"""Values of a row of the table gpu beside its keys and `seconds`."""
TURNS = 5
COMPACT_MINUTES = 10


def main() -> None:
    """Build the day unless it is there, ask, write the results."""
    options = arguments()
    if options.ask:
        print(json.dumps(ask(options.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        store = options.folder or Path(folder)
        results: dict[str, Any] = {"where": where(), "nodes": options.nodes}
        results |= (
            measured_build(store, options)
            if not any(store.glob("*"))
            else json.loads((store / "built.json").read_text())
        )
        results |= json.loads(subprocess.run(
            [sys.executable, __file__, "--ask", "--folder", str(store)],
            env=os.environ | {"POLARS_MAX_THREADS": "2"}, capture_output=True, check=True, text=True,
        ).stdout)  # fmt: skip
    results["load_afterwards"] = os.getloadavg()
    text = report(results)
    if options.write:
        (HERE / "results" / "store.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        (HERE / "results" / "store.md").write_text(text, encoding="utf-8")
    print(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1250, help="of 8 GPUs each (1250)")
    parser.add_argument("--folder", type=Path, help="keep the store there, or ask the one that is there")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/store.*")
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def measured_build(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    from telemetry_day import Fleet, spread

    from clusterctl.store import open_store

    fleet, rows, draw = Fleet(nodes=options.nodes), 0, 0.0
    began = time.perf_counter()
    for number in range(24):
        hour = START + timedelta(hours=number)
        t = time.perf_counter()
        frame = fleet.hour(hour)
        draw += time.perf_counter() - t
        if number < 23:
            rows += load(folder, frame)
            with open_store(str(folder)) as store:
                store.compact(hour + timedelta(hours=1, minutes=10))
        else:
            for minutes in range(COMPACT_MINUTES, 60, COMPACT_MINUTES):
                part = spread(frame, hour + timedelta(minutes=minutes - COMPACT_MINUTES), COMPACT_MINUTES)
                rows += load(folder, part, pieces=40)
                with open_store(str(folder)) as store:
                    store.compact(hour + timedelta(minutes=minutes))
            for file in folder.rglob("*.*"):  # as if readers had had their time: the next compaction removes
                os.utime(file, (0, file.stat().st_mtime - 7200))
            with open_store(str(folder)) as store:
                store.compact(hour + timedelta(minutes=50))
            tail = spread(frame, hour + timedelta(minutes=50), 1)
            rows += load(folder, tail, pieces=options.nodes)
        print(f"{hour:%H:%M} {rows:,} rows, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    sizes = {
        level: sum(file.stat().st_size for file in folder.rglob(f"{level}*.parquet"))
        for level in ("c-10-", "c-60-", "c-600-", "s-")
    }
    built = {
        "rows": rows, "bytes": sizes, "files": sum(1 for _ in folder.rglob("*.*")),
        "build_seconds": time.perf_counter() - began - draw,
        "build_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip
    (folder / "built.json").write_text(json.dumps(built), encoding="utf-8")
    return built


def load(folder: Path, frame: Any, pieces: int = 8) -> int:
    """Write rows as so many writers do, a piece each."""
    from clusterctl.store import open_store

    size = -(-len(frame) // pieces)
    for offset in range(0, len(frame), size):
        with open_store(str(folder)) as store:
            store.append("gpu", frame.slice(offset, size))
    return len(frame)


def ask(folder: Path) -> dict[str, Any]:
    """Seconds of each question of the dashboard: the first time, and the best of the next ones."""
    import polars as pl

    from clusterctl.store import open_store

    store = open_store(str(folder))
    span = store.span()
    assert span is not None
    end = span[1]
    day: dict[str, Any] = {"start": end - timedelta(days=1), "end": end}
    node, run = "node-00700", "run-7"
    questions = {
        "span": lambda: pl.DataFrame({"at": store.span()}),
        "fleet summary of the last 5 minutes": lambda: store.read("gpu", start=end - timedelta(minutes=5), end=end, step_seconds=300, columns=["run", "role", "reason", "seconds", "gpu_util_pct", "power_w"]),
        "fleet summary of the day": lambda: store.read("gpu", **day, step_seconds=86400, columns=["reason", "seconds", "gpu_util_pct", "power_w", "energy_j"]),
        "idle GPU-seconds by reason and role, per 10 minutes": lambda: store.read("gpu", **day, step_seconds=600, columns=["reason", "role", "seconds"]),
        "heat map of the day, node x 10 minutes": lambda: store.read("gpu", **day, step_seconds=600, columns=["node", "gpu_util_pct"]),
        "heat map of the day, GPU x 10 minutes": lambda: store.read("gpu", **day, step_seconds=600, columns=["node", "gpu", "gpu_util_pct"]),
        "use by run and role, per hour": lambda: store.read("gpu", **day, step_seconds=3600, columns=["run", "role", "reason", "seconds", "energy_j"]),
        "one run, per minute": lambda: store.read("gpu", **day, step_seconds=60, run=run, columns=["role", "seconds", "gpu_util_pct"]),
        "one node's GPUs, per minute, all columns": lambda: store.read("gpu", **day, step_seconds=60, nodes=[node]),
        "one node's GPUs, every 10 s, all columns": lambda: store.read("gpu", **day, nodes=[node]),
    }  # fmt: skip
    asked = {}
    for text, question in questions.items():
        times = []
        for _ in range(TURNS):
            t = time.perf_counter()
            answer = question()
            times.append(time.perf_counter() - t)
        asked[text] = {"first": times[0], "best": min(times[1:]), "rows": len(answer)}
    assert not store.problems(), store.problems()
    return {"asked": asked, "ask_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def report(results: dict[str, Any]) -> str:
    return json.dumps(results, indent=1)


if __name__ == "__main__":
    main()
