"""How small and how fast a day of telemetry of a large fleet is.  `make bench-store` writes results/store.md and .json.

Builds the day with the store itself: 23 closed hours, compacted; an hour that is open, compacted every ten minutes as a
running compactor does; and a last minute of segments, one per table and node, that nobody has compacted.  Then asks it
what the dashboard asks, in a process that may use two cores, and runs every page of the dashboard on it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dashboard
from speed_report import machine, where

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).resolve().parent
START = datetime(2026, 5, 4, tzinfo=UTC)
METRICS = {"gpu": 13, "host": 5, "sandbox": 11}
"""Values of a row beside its keys and `seconds`; without `xid`, which is absent."""
LEVELS = {
    "c-10-": "every 10 s",
    "c-60-": "every minute",
    "c-600-": "every 10 minutes",
    "c-600n-": "every 10 minutes, by node",
    "s-": "not yet compacted",
}
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
        results |= json.loads(
            subprocess.run(
                [sys.executable, __file__, "--ask", "--folder", str(store)],
                env=os.environ | {"POLARS_MAX_THREADS": "2"},
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            ).stdout
        )
        results["dashboard"] = dashboard.measure(store)
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
    parser.add_argument("--write", action="store_true", help="write tools/benchmarks/results/store.*")
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def measured_build(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    from telemetry_day import NODES_PER_SERVER, Fleet, spread

    from clusterctl.store import open_store
    from planners.telemetry.tables import TABLES

    writers = {"gpu": options.nodes, "sandbox": options.nodes // NODES_PER_SERVER}
    writers["host"] = sum(writers.values())

    def load(frames: dict[str, Any], pieces: dict[str, int]) -> None:
        """Write rows as so many writers do, a piece each."""
        for table, frame in frames.items():
            rows[table] += len(frame)
            size = max(1, -(-len(frame) // pieces.get(table, 8)))
            for offset in range(0, len(frame), size):
                with open_store(str(folder)) as store:
                    store.append(table, frame.slice(offset, size))

    fleet, rows, draw = Fleet(nodes=options.nodes), dict.fromkeys(TABLES, 0), 0.0
    began = time.perf_counter()
    for number in range(24):
        hour = START + timedelta(hours=number)
        t = time.perf_counter()
        frames = fleet.hour(hour)
        draw += time.perf_counter() - t
        if number < 23:
            load(frames, {})
            with open_store(str(folder)) as store:
                store.compact(hour + timedelta(hours=1, minutes=10))
        else:
            for minutes in range(COMPACT_MINUTES, 60, COMPACT_MINUTES):
                part = spread(frames, hour + timedelta(minutes=minutes - COMPACT_MINUTES), COMPACT_MINUTES)
                load(part, dict.fromkeys(writers, 40))
                with open_store(str(folder)) as store:
                    store.compact(hour + timedelta(minutes=minutes))
            for file in folder.rglob("*.*"):  # as if readers had had their time: the next compaction removes
                os.utime(file, (0, file.stat().st_mtime - 7200))
            with open_store(str(folder)) as store:
                store.compact(hour + timedelta(minutes=50))
            load(spread(frames, hour + timedelta(minutes=50), 1), writers)
        print(f"{hour:%H:%M} {sum(rows.values()):,} rows, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    sizes = {
        table: {
            level: sum(file.stat().st_size for file in (folder / "v1" / table).rglob(f"{level}*.parquet"))
            for level in LEVELS
        }
        for table in METRICS
    }
    built = {
        "rows": rows,
        "bytes": sizes,
        "files": sum(1 for _ in folder.rglob("*.*")),
        "segments": sum(writers.values()),
        "build_seconds": time.perf_counter() - began - draw,
        "build_peak_mib": peak_mib(),
    }
    (folder / "built.json").write_text(json.dumps(built), encoding="utf-8")
    return built


def peak_mib() -> float:
    """The most memory that this process has had; `ru_maxrss` would begin with what its parent had when it started."""
    found = [line.split()[1] for line in Path("/proc/self/status").read_text("utf-8").splitlines() if "VmHWM" in line]
    return int(found[0]) / 1024


NODE, RUN = "node-00012", "run-7"
MINUTES = {"minutes": 5, "step_seconds": 300}
PER_10_MINUTES, PER_HOUR, PER_MINUTE = {"step_seconds": 600}, {"step_seconds": 3600}, {"step_seconds": 60}
DAY = {"step_seconds": 86400}
UTIL = "gpu_util_pct"
QUESTIONS: dict[str, dict[str, Any]] = {
    "fleet, last 5 minutes": MINUTES | {"columns": ["run", "role", "reason", "seconds", UTIL, "power_w"]},
    "fleet, the day": DAY | {"columns": ["reason", "seconds", UTIL, "power_w", "energy_j"]},
    "idle GPU-seconds by reason and role": PER_10_MINUTES | {"columns": ["reason", "role", "seconds"]},
    "heat map, nodes": PER_10_MINUTES | {"columns": ["node", UTIL]},
    "heat map, GPUs": PER_10_MINUTES | {"columns": ["node", "gpu", UTIL]},
    "use by run and role": PER_HOUR | {"columns": ["run", "role", "reason", "seconds", "energy_j"]},
    "one run": PER_MINUTE | {"run": RUN, "columns": ["role", "seconds", UTIL]},
    "one node's GPUs, every column": PER_MINUTE | {"nodes": [NODE]},
    "one node's GPUs, every column, every row": {"nodes": [NODE]},
    "hosts": PER_10_MINUTES | {"table": "host"},
    "sandboxes": PER_10_MINUTES | {"table": "sandbox"},
}
"""What the dashboard asks, of the table gpu unless another is named, and of the last day unless it says how many
minutes."""


def ask(folder: Path) -> dict[str, Any]:
    """Seconds of each question: the first time, with checksums to check, and the best of the next ones."""
    from clusterctl.store import open_store

    for file in folder.rglob("*.parquet"):
        file.read_bytes()  # from here on in the system's cache: what a disk takes is no measure of the store
    span = open_store(str(folder)).span()
    assert span is not None
    asked = {}
    for text, question in QUESTIONS.items():
        store, options = open_store(str(folder)), dict(question)  # a new one has checked nothing yet
        start, table = span[1] - timedelta(minutes=options.pop("minutes", 1440)), options.pop("table", "gpu")
        times = []
        for _ in range(TURNS):
            began = time.perf_counter()
            answer = store.read(table, start=start, end=span[1], **options)
            times.append(time.perf_counter() - began)
        assert len(answer)
        assert not store.problems(), store.problems()
        step = options.get("step_seconds", 10)
        asked[text] = {"step_seconds": step, "first": times[0], "best": min(times[1:]), "rows": len(answer)}
    return {"asked": asked, "ask_peak_mib": peak_mib()}


TEXT = """# A day of telemetry

`make bench-store` wrote this on {date} on {machine}; load {before}, afterwards {after}.
Every raw number is in [store.json](store.json); what is measured and how, in [tools/README.md](../README.md).

{gpus:,} GPUs, a row each every 10 s: {rows}. The last hour is open; {segments:,} segments of its last minute are not
compacted.

## On disk

| MB | {tables} | all | bytes a sample |
| --- | --- | --- | --- | --- | --- |
{sizes}

## Questions

Of the last day, or of the last five minutes; two threads. *First*: a new reader, which checks the checksum of every
file that it reads; the files are in the system's cache. *Next*: the best of {turns} more.

| question | step s | rows | first s | next s |
| --- | --- | --- | --- | --- |
{questions}

Peak memory of the reader: {peak:,.0f} MiB. Building the day (writing, compacting) took {build:,.0f} s and
{build_peak:,.0f} MiB, with the generator's own.

## Pages of the dashboard

Seconds of the server for a whole page, {window} of {machines:,} machines, two cores. *First*: the first page that a new
server is asked for, after the {start:.1f} s in which it imports and reads what Overview needs. *Live*: ten seconds
later, as a live page asks, the slowest of {page_turns}. *Again*: with nothing new.

| page | looks at | first s | live s | again s |
| --- | --- | --- | --- | --- |
{pages}

## Goals

| goal | measured | met |
| --- | --- | --- |
| at most 2 bytes a sample, roll-ups included | {bytes_per_sample:.2f} | {small} |
| any question under 1 s on 2 cores | {slowest:.2f} s | {fast} |
| every page under 1 s of server time | {slowest_page:.2f} s | {fast_pages} |
"""


def report(results: dict[str, Any]) -> str:
    """For people."""
    asked, pages, built = results["asked"], results["dashboard"]["pages"], results["bytes"]
    samples = {table: results["rows"][table] * values for table, values in METRICS.items()}

    def sizes(name: str, levels: Iterable[str]) -> str:
        each = [sum(built[table].get(level, 0) for level in levels) for table in METRICS]
        return f"| {' | '.join([name, *(f'{size / 1e6:,.0f}' for size in (*each, sum(each)))])} | " + (
            f"{sum(each) / sum(samples.values()):.3f} |"
        )

    bytes_per_sample = sum(sum(levels.values()) for levels in built.values()) / sum(samples.values())
    slowest = max(each["first"] for each in asked.values())
    slowest_page = max(max(each["first"][0], *(wall for wall, _ in each["refresh"])) for each in pages.values())
    return TEXT.format(
        date=results["where"]["date"],
        machine=machine(results["where"]),
        gpus=results["nodes"] * 8,
        before=f"{results['where']['load_before'][0]:.1f}",
        after=f"{results['load_afterwards'][0]:.1f}",
        rows=", ".join(f"{results['rows'][t]:,} rows of {n} values in {t}" for t, n in METRICS.items()),
        segments=results["segments"],
        turns=TURNS - 1,
        tables=" | ".join(METRICS),
        sizes="\n".join([*(sizes(name, [level]) for level, name in LEVELS.items()), sizes("together", LEVELS)]),
        questions="\n".join(
            f"| {text} | {each['step_seconds']:,} | {each['rows']:,} | {each['first']:.2f} | {each['best']:.2f} |"
            for text, each in asked.items()
        ),
        pages="\n".join(
            f"| {page} | {each['view']} | {each['first'][0]:.2f} | {max(wall for wall, _ in each['refresh']):.2f} | "
            f"{min(wall for wall, _ in each['again']):.2f} |"
            for page, each in pages.items()
        ),
        window=results["dashboard"]["window"],
        machines=results["dashboard"]["machines"],
        page_turns=dashboard.TURNS,
        start=max(each["start"] for each in pages.values()),
        peak=results["ask_peak_mib"],
        build=results["build_seconds"],
        build_peak=results["build_peak_mib"],
        bytes_per_sample=bytes_per_sample,
        small=met(bytes_per_sample <= 2),
        slowest=slowest,
        fast=met(slowest < 1),
        slowest_page=slowest_page,
        fast_pages=met(slowest_page < 1),
    )


def met(holds: bool) -> str:
    return "yes" if holds else "**no**"


if __name__ == "__main__":
    main()
