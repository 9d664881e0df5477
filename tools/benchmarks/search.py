"""How fast the search alone is, in one process with one thread: prints what it took as JSON.  `speed.py` runs it.

A candidate is one (offer, nodes, layout, slots): one thing to buy and one way to run the example on it.  The search
covers all of them but evaluates fewer: of layouts on equal machines it prices the fastest, which is exact, since a
slower one costs more and takes longer at any price.  `--every` prices each of them instead, to show both the pace of
honest evaluation and that the front is the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from larger import enlarged

from clusterctl.plan_service import load_world
from clusterctl.specfile.spec_file import read_spec
from planners.search import candidates, search
from planners.search.pareto import pareto_front

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = Path(__file__).resolve().parents[2] / "templates" / "specs" / "rlcef.yaml"
YEAR = 2026.9
REPEATS = 5

spent: dict[str, float] = {}
rows: dict[str, int] = {}


def timed(part: str, run: Callable[..., Any], count: Callable[[Any], int]) -> Callable[..., Any]:
    """`run`, adding its seconds to `spent` and its rows to `rows`."""

    @wraps(run)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        result = run(*args, **kwargs)
        spent[part] = spent.get(part, 0.0) + time.perf_counter() - started
        rows[part] = rows.get(part, 0) + count(result)
        return result

    return wrapper


def measure(factor: int, *, other_machines: bool, every: bool) -> dict[str, Any]:
    """Search the example REPEATS times; everything that one search took."""
    if every:
        candidates.best_by_group = lambda _, cost: np.flatnonzero(np.isfinite(cost))
    search.stage_candidates = timed("physics", search.stage_candidates, lambda found: found.combinations)
    search.price_rows = timed("pricing", search.price_rows, lambda found: len(found.offer))
    spec = read_spec(EXAMPLE)
    world = enlarged(load_world(spec), factor, other_machines=other_machines)
    runs = []
    for _ in range(REPEATS):
        spent.clear()
        rows.clear()
        started = time.perf_counter()
        found = search.explore(spec, world, year=YEAR)
        runs.append({"all": time.perf_counter() - started, **spent})
    front = pareto_front(found.runs.usd, found.runs.hours)
    return {
        "factor": factor,
        "other_machines": other_machines,
        "every": every,
        "offers": len(world.gpu_offers) + len(world.cpu_offers),
        "candidates": found.combinations,
        "rows": dict(rows),
        "seconds": runs,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "front": [[float(found.runs.usd[row]), float(found.runs.hours[row])] for row in front],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--factor", type=int, default=1)
    parser.add_argument("--other-machines", action="store_true")
    parser.add_argument("--every", action="store_true")
    options = parser.parse_args()
    print(json.dumps(measure(options.factor, other_machines=options.other_machines, every=options.every)))
