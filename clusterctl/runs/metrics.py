"""What a run costs and how it compares with its plan, as a file that agents pass on to Prometheus.

The supervisor writes it, since it has the ledger open: an agent, which runs on every node, has no room for one.
"""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from datetime import time as clock_time
from typing import TYPE_CHECKING

from prometheus_client import write_to_textfile

from clusterctl.telemetry.exposition import About, Families, MetricsPage, add_sample

if TYPE_CHECKING:
    from decimal import Decimal

    from clusterctl.runs.run import OpenRun

WRITE_SECONDS = 10.0
COST = ("clusterctl_run_cost_dollars_total", "counter", "Dollars that the run has cost so far.")
RATE = ("clusterctl_run_dollars_per_hour", "gauge", "Dollars that an hour of the run costs now.")
FORECAST = ("clusterctl_run_forecast_dollars", "gauge", "Dollars that the run will have cost at its end.")
QUANTILES = {"0.1": "p10", "0.5": "p50", "0.9": "p90"}
PRICE = ("clusterctl_node_price_dollars_per_hour", "gauge", "Price of one node.")
PLAN_RATIO = ("clusterctl_plan_ratio", "gauge", "Actual over planned seconds of a phase, on average.")
PRICE_AGE = ("clusterctl_price_age_seconds", "gauge", "Since the oldest of the run's prices was true.")


class RunMetrics:
    """`update` may be called as often as one likes."""

    def __init__(self, run: OpenRun) -> None:
        self._run, self._written = run, float("-inf")

    def update(self) -> None:
        """Write when it is time; a file that can't be written is no reason to end a run."""
        if time.monotonic() - self._written > WRITE_SECONDS:
            self._written = time.monotonic()
            page = MetricsPage(run_metrics(self._run, datetime.now(tz=UTC)))
            with contextlib.suppress(OSError):
                write_to_textfile(str(self._run.folder.metrics), page)


def run_metrics(run: OpenRun, now: datetime) -> Families:
    """Dollars so far, prices and their age, actual ÷ planned seconds by phase; what isn't known has no sample."""
    from clusterctl.runs.planned_actual import planned_against_actual
    from clusterctl.runs.run_forecast import run_forecast

    families: Families = {}

    def add(about: About, labels: dict[str, str], value: float | Decimal | None) -> None:
        if value is not None:
            add_sample(families, about, {"run": run.run_id, **labels}, float(value))

    ahead = run_forecast(run.ledger, run.ledger.get_run(run.run_id), run.plan, run.clock.now())
    add(COST, {}, ahead.spent.usd)
    add(RATE, {}, ahead.rate.usd_per_hour)
    for quantile, name in QUANTILES.items():
        add(FORECAST, {"quantile": quantile}, getattr(ahead.usd, name, None))
    for line in planned_against_actual(run):
        if line.kind == "phase" and line.planned and line.actual is not None:
            add(PLAN_RATIO, {"phase": line.name.partition(" per ")[0]}, line.actual / line.planned)
    for pool in run.plan.pools:
        labels = {"role": pool.role, "instance_type": pool.instance_type, "region": pool.region}
        add(PRICE, labels, pool.usd_per_node_hour)
    dates = [pool.price_as_of for pool in run.plan.pools if pool.price_as_of is not None]
    if dates:
        age = now - datetime.combine(min(dates), clock_time(), UTC)
        add(PRICE_AGE, {}, age.total_seconds())
    return families
