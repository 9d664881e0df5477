"""What stands of a run after it has ended: the cluster of its own, until that is removed."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from clusterctl.ledger.rows import LIVE, Resource
from clusterctl.ui.formats import unit_price
from planners.runs.limits import STANDING, RunRate
from planners.units import HOURS_PER_DAY

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger
    from clusterctl.runs.run import OpenRun


def pay_on(run: OpenRun) -> None:
    """Bill, until now, what stands of a run that nobody supervises any more."""
    if run.ledger.get_run(run.run_id).state not in LIVE:
        for resource in standing_of(run.ledger, run.run_id):
            run.ledger.extend_cost(resource.resource_id, until=run.clock.now())


def what_stays(ledger: Ledger, run_id: str) -> str:
    """`its cluster stands, and costs $5.80 a day`; empty where nothing does."""
    live = [resource for resource in standing_of(ledger, run_id) if resource.state == "live"]
    if not live:
        return ""
    rate = rate_of(live)
    day = unit_price((rate.known_usd_per_hour * HOURS_PER_DAY).quantize(Decimal("0.01")))
    unknown = f", and {', '.join(rate.unpriced)} beside that, which nobody has priced" if rate.unpriced else ""
    return f"its cluster stands, and costs {day} a day{unknown}"


def standing_runs(ledger: Ledger) -> list[str]:
    """Runs that have ended and whose clusters stand."""
    return list(dict.fromkeys(r.run_id for r in ledger.leftovers() if r.kind == STANDING))


def rate_of(resources: list[Resource]) -> RunRate:
    """What an hour of them costs."""
    return RunRate(
        known_usd_per_hour=sum((r.usd_per_hour for r in resources if r.usd_per_hour is not None), Decimal(0)),
        unpriced=tuple(r.slot for r in resources if r.usd_per_hour is None),
    )


def standing_of(ledger: Ledger, run_id: str) -> list[Resource]:
    """What of it may stand."""
    return [resource for resource in ledger.live_resources(run_id) if resource.kind == STANDING]
