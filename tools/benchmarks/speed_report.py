"""The report of `speed.py`: tables of medians beside their goals, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

MOST_RATIO = 2.5
MOST_HELP_SECONDS = 0.2
MOST_RSS_MIB = 200.0
LEAST_PER_SECOND = 1_000_000.0
PACKAGES = ("clusterctl", "polars", "numpy", "pydantic", "typer", "pyyaml")
TITLES = {
    "imports": "`python -c 'import polars, pydantic, numpy'`",
    "help": "`clusterctl --help`",
    "plan": "`clusterctl plan templates/specs/rlcef.yaml`",
}

TEXT = """# Speed

`make bench` wrote this on {date} on {machine}.
Every raw number is in [speed.json](speed.json); what is measured and how, in [tools/README.md](../README.md).

## Cold processes

Medians of {turns} turns. A ratio is the median of the ratios to the import of the libraries in the same turn.

| command | wall s | ratio | CPU s | ratio | peak MiB |
| --- | --- | --- | --- | --- | --- |
{cold}

## The search, in one process with one thread

Best of {repeats} searches. *Covered*: candidates that the search decides on. *Timed* and *priced*: rows that went
through the physics and through the pricing as columns.

| search | offers | covered | timed | priced | s | covered/s | timed/s | priced/s | peak MiB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{search}

Pricing every candidate gives {same} front as the search does ({points} points).

## Goals

| goal | measured | met |
| --- | --- | --- |
{goals}
"""

Results = dict[str, Any]


def where() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": f"{datetime.now(tz=UTC):%Y-%m-%d}",
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "load_before": os.getloadavg(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def machine(at: dict[str, Any]) -> str:
    """`where`, as one line."""
    packages = ", ".join(f"{name} {number}" for name, number in at["packages"].items())
    return f"{at['processor']} ({at['machine']}, {at['cores']} cores), Python {at['python']}, {packages}"


def report(results: Results, *, turns: int) -> str:
    """The Markdown of the results."""
    at = results["where"]
    search = results["search"]
    plain, every = search["as it is"], search["every candidate priced"]
    return TEXT.format(
        date=at["date"],
        machine=machine(at),
        turns=turns,
        repeats=len(plain["seconds"]),
        cold="\n".join(_cold_row(name, results["cold"]) for name in results["cold"]),
        search="\n".join(_search_row(name, found) for name, found in search.items()),
        same="the same" if plain["front"] == every["front"] else "ANOTHER",
        points=len(plain["front"]),
        goals="\n".join(f"| {goal} | {said} | {'yes' if met else '**no**'} |" for goal, said, met in goals(results)),
    )


def goals(results: Results) -> list[tuple[str, str, bool]]:
    """Goal, what was measured, and whether that meets it."""
    cold, search = results["cold"], results["search"]
    ratio = median_ratio(cold["plan"], cold["imports"], "wall_seconds")
    quick = _median(cold["help"], "wall_seconds")
    rss = max(sample["peak_rss_mib"] for sample in cold["plan"])
    pace = per_second(search["every candidate priced"], "pricing", "all")
    more = [growth(search, "10 × the offers"), growth(search, "10 × the offers, other machines")]
    prices = median_ratio(cold["plan, 10 × the prices"], cold["plan"], "wall_seconds")
    memory = _median(cold["plan, 10 × the prices"], "peak_rss_mib") / _median(cold["plan"], "peak_rss_mib")
    return [
        (f"plan: at most {MOST_RATIO} × the imports", f"{ratio:.2f} ×", ratio <= MOST_RATIO),
        (f"--help: at most {MOST_HELP_SECONDS} s", f"{quick:.3f} s", quick <= MOST_HELP_SECONDS),
        (f"plan: at most {MOST_RSS_MIB:.0f} MiB", f"{rss:.0f} MiB", rss <= MOST_RSS_MIB),
        ("search: 1,000,000 candidates a second, each timed and priced", f"{pace:,.0f}/s", pace >= LEAST_PER_SECOND),
        ("search of 10 × the offers: at most 10 × the time", f"{more[0]:.1f} ×, {more[1]:.1f} ×", max(more) <= 10.0),
        (
            "plan of 10 × the prices: at most 10 × time and memory",
            f"{prices:.1f} × and {memory:.1f} ×",
            max(prices, memory) <= 10.0,
        ),
    ]


def median_ratio(samples: list[dict[str, float]], yardstick: list[dict[str, float]], key: str) -> float:
    """Median of the ratios of neighbouring runs."""
    return statistics.median(a[key] / b[key] for a, b in zip(samples, yardstick, strict=True))


def per_second(found: Results, part: str, of: str) -> float:
    """Rows that went through a part, over the seconds of a part (or of `all`) in the quickest search."""
    return float(found["rows"][part] / min(run[of] for run in found["seconds"]))


def growth(search: Results, name: str) -> float:
    """How much longer a larger search takes."""
    return float(_quickest(search[name]) / _quickest(search["as it is"]))


def _quickest(found: Results) -> float:
    return min(float(run["all"]) for run in found["seconds"])


def _median(samples: list[dict[str, float]], key: str) -> float:
    return statistics.median(sample[key] for sample in samples)


def _cold_row(name: str, cold: Results) -> str:
    samples, yardstick = cold[name], cold["imports"]
    cells = [TITLES.get(name, name)]
    for key in ("wall_seconds", "cpu_seconds"):
        cells += [f"{_median(samples, key):.3f}", f"{median_ratio(samples, yardstick, key):.2f}"]
    cells.append(f"{_median(samples, 'peak_rss_mib'):.0f}")
    return f"| {' | '.join(cells)} |"


def _search_row(name: str, found: Results) -> str:
    rows, seconds = found["rows"], _quickest(found)
    counts = [f"{n:,}" for n in (found["offers"], found["candidates"], rows["physics"], rows["pricing"])]
    paces = [
        found["candidates"] / seconds,
        per_second(found, "physics", "physics"),
        per_second(found, "pricing", "pricing"),
    ]
    cells = [
        name,
        *counts,
        f"{seconds:.3f}",
        *(f"{pace / 1e6:.1f} M" for pace in paces),
        f"{found['peak_rss_mib']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"
