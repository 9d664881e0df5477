"""What a run costs and how it compares with its plan, as a file that agents pass on to Prometheus.

The supervisor writes it, since it has the ledger open: an agent, which runs on every node, has no room for one.
"""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from datetime import time as clock_time
from typing import TYPE_CHECKING

from clusterctl.telemetry.exposition import Families, Family, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clusterctl.runs.run import OpenRun

WRITE_SECONDS = 10.0


class RunMetrics:
    """`update` may be called as often as one likes."""

    def __init__(self, run: OpenRun) -> None:
        self._run, self._written = run, float("-inf")

    def update(self) -> None:
        """Write when it is time; a disk that is full is no reason to end a run."""
        if time.monotonic() - self._written > WRITE_SECONDS:
            self._written = time.monotonic()
            file = self._run.folder.metrics
            with contextlib.suppress(OSError):  # replaced whole, and not worth waiting for the disk
                part = file.with_suffix(".part")
                part.write_text(write(run_metrics(self._run, datetime.now(tz=UTC))), "utf-8")
                part.replace(file)


def run_metrics(run: OpenRun, now: datetime) -> Families:
    """Dollars so far, prices and their age, actual ÷ planned seconds by phase; what isn't known has no sample."""
    from clusterctl.runs.bill import planned_against_actual

    families: Families = {}

    def add(name: str, kind: str, words: str, samples: Iterable[tuple[Mapping[str, str], float | None]]) -> None:
        known = [(name, {"run": run.run_id, **labels}, value) for labels, value in samples if value is not None]
        if known:
            families[name] = Family(kind=kind, help=words, samples=[*known])

    lines, pools = planned_against_actual(run), run.plan.pools
    labels = [{"role": pool.role, "instance_type": pool.instance_type, "region": pool.region} for pool in pools]
    priced = [pool for pool in pools if pool.price_as_of is not None]
    ages = [now - datetime.combine(pool.price_as_of, clock_time(), UTC) for pool in priced if pool.price_as_of]
    add(
        "clusterctl_run_cost_dollars_total",
        "counter",
        "Dollars that the run has cost so far.",
        [({}, line.actual) for line in lines if line.kind == "total"],
    )
    add(
        "clusterctl_node_price_dollars_per_hour",
        "gauge",
        "Price of one node.",
        [(of, pool.usd_per_node_hour) for of, pool in zip(labels, pools, strict=True)],
    )
    add(
        "clusterctl_plan_ratio",
        "gauge",
        "Actual over planned seconds of a phase, on average.",
        [
            ({"phase": line.name.partition(" per ")[0]}, line.actual / line.planned)
            for line in lines
            if line.kind == "phase" and line.planned and line.actual is not None
        ],
    )
    add(
        "clusterctl_price_age_seconds",
        "gauge",
        "Since the oldest of the run's prices was true.",
        [({}, max((age.total_seconds() for age in ages), default=None))],
    )
    return families
