"""Which machines a run asks for where those of its plan can't be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from decimal import Decimal

    from planners.plan.value import Alternative, Plan, Pool

RENTED = ("aws", "gcp", "azure")
"""Places where a run's cluster is made for it, in one region."""
CHOICE = 1
"""Number of the alternative that is the plan itself."""


def pools_on(plan: Plan, number: int, stage: str) -> Sequence[Pool]:
    """The pools of a stage on an alternative of the plan; 0 or an unknown number: the plan's own."""
    pools = next((a.pools for a in _all(plan) if a.number == number and a.pools), plan.pools)
    return [pool for pool in pools if pool.stage in {stage, ""}]


def next_alternative(plan: Plan, *, refused: Collection[int], limit_usd: Decimal | None) -> Alternative | None:
    """The alternative with the least dollars (P50) that nobody has refused, in the same kind of place; in a cloud
    in the same region, where the run's cluster is.

    Nobody is asked again, so it costs no more than was agreed to: its P90 is within the run's limit in dollars, else
    within the plan's own P90; one with an unknown price never takes over.
    """
    agreed_usd = plan.usd.p90 if limit_usd is None else float(limit_usd)
    fitting = [
        alternative
        for alternative in _all(plan)
        if alternative.number not in refused
        and alternative.pools
        and _places(alternative.pools) == _places(plan.pools)
        and not alternative.at_least
        and alternative.usd.p90 <= agreed_usd
    ]
    return min(fitting, key=lambda alternative: alternative.usd.p50, default=None)


def _all(plan: Plan) -> Sequence[Alternative]:
    return (*plan.alternatives, *plan.elsewhere)


def _places(pools: Sequence[Pool]) -> set[tuple[str, str]]:
    return {(pool.cloud.partition(":")[0], pool.region if pool.cloud in RENTED else "") for pool in pools}
