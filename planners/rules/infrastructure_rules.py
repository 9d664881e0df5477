"""Rules on what an infrastructure change costs by the month, and on pools that one zone's shortage empties."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from planners.infrastructure.value import ResourceChange
from planners.rules.rule import (
    InfrastructureRule,
    Properties,
    ResourceRule,
    Rule,
    RuleSetting,
    StackFacts,
    Violation,
    at,
    is_true,
    plain_type,
    short_type,
)
from planners.rules.run_money import dollars
from planners.spec.spec_model import Usd, UsdPerHour, Weight


class MonthlySetting(RuleSetting):
    """`monthly-increase`."""

    usd: UsdPerHour = Field(500, description="Dollars a month by which standing resources may become dearer.")


class MonthlyPercentSetting(RuleSetting):
    """`monthly-percent-increase`."""

    percent: Weight = Field(20, description="Percent by which they may become dearer.")
    from_usd: UsdPerHour = Field(50, description="Smaller increases than this are let pass, in dollars a month.")


class MonthlyBudgetSetting(RuleSetting):
    """`monthly-budget-crossed`."""

    usd: Usd | None = Field(None, description="Dollars a month of all standing resources; default: none.")


def _sums(changes: Sequence[ResourceChange]) -> tuple[float, float, str]:
    """Dollars a month before and after, and `at least ` where the latter isn't known whole."""
    before = sum(change.before.usd_per_month for change in changes if change.before)
    after = sum(change.after.usd_per_month for change in changes if change.after)
    is_known = all(change.after.is_known for change in changes if change.after)
    return before, after, "" if is_known else "at least "


def _monthly(changes: Sequence[ResourceChange], setting: MonthlySetting) -> Iterator[Violation]:
    before, after, at_least = _sums(changes)
    if after - before > setting.usd:
        said = f"{at_least}{dollars(after - before)} a month, more than {dollars(setting.usd)}"
        yield Violation(message=f"standing resources become dearer by {said}")


def _monthly_percent(changes: Sequence[ResourceChange], setting: MonthlyPercentSetting) -> Iterator[Violation]:
    before, after, at_least = _sums(changes)
    percent = 100 * (after / before - 1) if before > 0 else 0.0
    if percent > setting.percent and after - before >= setting.from_usd:
        said = f"{at_least}{percent:,.0f}%, from {dollars(before)} to {dollars(after)} a month"
        yield Violation(message=f"standing resources become dearer by {said}: more than {setting.percent:g}%")


def _monthly_budget(changes: Sequence[ResourceChange], setting: MonthlyBudgetSetting) -> Iterator[Violation]:
    before, after, at_least = _sums(changes)
    if setting.usd is not None and before <= setting.usd < after:
        said = f"{at_least}{dollars(after)} a month, and the budget is {dollars(setting.usd)}"
        yield Violation(message=f"standing resources cost {said}; before the change {dollars(before)}")


def _unknown_monthly(changes: Sequence[ResourceChange], _setting: RuleSetting) -> Iterator[Violation]:
    unknown = [
        change.resource.name
        for change in changes
        if change.after and not change.after.is_known and not change.after.is_free and change.op not in ("same", "read")
    ]
    if unknown:
        names = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        yield Violation(message=f"what {names} costs isn't known: the monthly sum is a lower bound")


def _single_zone(kind: str, properties: Properties, _setting: RuleSetting, _stack: StackFacts) -> Iterator[str]:
    kind = plain_type(kind)
    zones = _zones(kind, properties) if _is_spot(kind, properties) else None
    if zones is not None and zones == 1:
        yield "its spot machines come from one zone alone"


def _is_spot(kind: str, properties: Properties) -> bool:
    short = short_type(kind)
    if kind == "aws:eks/nodeGroup:NodeGroup":
        return properties.get("capacityType") == "SPOT"
    if kind == "aws:autoscaling/group:Group":
        share = at(properties, "mixedInstancesPolicy.instancesDistribution.onDemandPercentageAboveBaseCapacity")
        return isinstance(share, int | float) and share < 100
    if short == "NodePool" and kind.startswith("gcp:container/"):
        return is_true(at(properties, "nodeConfig.spot")) or is_true(at(properties, "nodeConfig.preemptible"))
    if short in {"AgentPool", "KubernetesClusterNodePool"}:
        return "Spot" in (properties.get("scaleSetPriority"), properties.get("priority"))
    return False


def _zones(kind: str, properties: Properties) -> int | None:
    """How many zones machines may come from; None where that isn't said."""
    if kind.startswith("gcp:"):
        stated = properties.get("nodeLocations")
        if stated is None and re.fullmatch(r"[a-z]+-[a-z]+\d-[a-z]", str(properties.get("location"))):
            return 1
        return _length(stated)
    names = ("subnetIds", "vpcZoneIdentifiers", "availabilityZones", "zones")
    return next((found for name in names if (found := _length(properties.get(name))) is not None), None)


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, list | tuple) and value else None


SINGLE_ZONE = ResourceRule(
    rule=Rule(
        id="single-zone-spot",
        group="capacity",
        summary="A pool of spot machines may come from one zone only.",
        why="Spot capacity ends zone by zone: with one zone the whole pool is gone at once.",
    ),
    problems=_single_zone,
)
INFRASTRUCTURE_MONEY: tuple[InfrastructureRule, ...] = (
    InfrastructureRule(
        rule=Rule(
            id="monthly-increase",
            group="money",
            summary="Standing resources become dearer by more than `usd` dollars a month.",
            why="What stands is paid whether it is used or not, month after month.",
            setting=MonthlySetting,
        ),
        problems=_monthly,
    ),
    InfrastructureRule(
        rule=Rule(
            id="monthly-percent-increase",
            group="money",
            summary="Standing resources become dearer by more than `percent` percent.",
            why="A small change that makes them much dearer is often a mistake.",
            setting=MonthlyPercentSetting,
        ),
        problems=_monthly_percent,
    ),
    InfrastructureRule(
        rule=Rule(
            id="monthly-budget-crossed",
            group="money",
            summary="Standing resources rise above `usd` dollars a month, which they kept before.",
            why="The budget alarm of the account comes after the money is spent.",
            setting=MonthlyBudgetSetting,
        ),
        problems=_monthly_budget,
    ),
    InfrastructureRule(
        rule=Rule(
            id="unknown-monthly-price",
            group="money",
            summary="The cost of a resource that is made or changed isn't known.",
            why="The monthly sum is then a lower bound.",
        ),
        problems=_unknown_monthly,
    ),
)
