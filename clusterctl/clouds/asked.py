"""What a plan asks of an account at once: stages run one after the other, the pools of one stage together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from planners.plan.value import Plan, Pool

Key = TypeVar("Key")


def most_at_once(
    plan: Plan, cloud: str, key_of: Callable[[Pool], Key | None], amount_of: Callable[[Pool], float]
) -> Mapping[Key, float]:
    """The largest sum over the pools of any stage, for each key.  A pool whose key is None is left out."""
    stages: dict[str, Counter[Key]] = {}
    for pool in plan.pools:
        key = key_of(pool) if pool.cloud == cloud else None
        if key is not None:
            stages.setdefault(pool.stage, Counter())[key] += amount_of(pool)  # type: ignore[assignment]  # of floats
    return {key: max(stage[key] for stage in stages.values()) for key in {k for s in stages.values() for k in s}}
