"""The money of a review, added up once for everything that says it: of one run, of all runs, of the resources.

A change is None where it isn't known, and `at_least` where an end of it has a part without a price.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clusterctl.review.value import InfrastructureChange, SpecChange
from planners.infrastructure.value import Operation, ResourceChange
from planners.plan.value import Plan

SAME_USD = 0.005
"""Dollars that differ by less than half a cent are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsdChange:
    """Dollars at both ends, as far as they are known."""

    before: float
    after: float
    before_at_least: bool = False
    after_at_least: bool = False
    unknown: int = 0
    """Things whose change isn't known at all, and is in none of the sums of a change."""
    known_usd: float | None
    """The change of what is known at both ends; None where nothing is."""
    change_at_least: bool = False
    """Whether the change is larger: something that is new has a part without a price."""

    @property
    def ratio(self) -> float | None:
        """New / old; None where that says nothing."""
        if self.before <= 0 or self.after <= 0 or self.before_at_least or self.after_at_least or self.unknown:
            return None
        return self.after / self.before

    @property
    def is_same(self) -> bool:
        """Whether it is known that nothing moved."""
        return not self.unknown and not self.change_at_least and abs(self.known_usd or 0.0) < SAME_USD


def spec_usd(spec: SpecChange) -> UsdChange:
    """Dollars of one run at its P50.  What can't be planned at an end makes the change unknown."""
    before, after = _known(spec.before), _known(spec.after)
    before_open, after_open = _is_open(spec.before), _is_open(spec.after)
    comparable = not (spec.problem or spec.problem_before or spec.is_infeasible)
    change: float | None = after - before
    at_least = False
    if not comparable or (before_open and after_open):
        change = None
    elif before_open:  # a lower bound of what falls away, and no bound of what is left
        change, at_least = (change, True) if spec.after is None else (None, False)
    elif after_open:  # what has no price may eat up what the rest falls by
        change, at_least = (change, True) if change and change > 0 else (None, False)
    return UsdChange(
        before=before,
        after=after,
        before_at_least=before_open,
        after_at_least=after_open,
        unknown=int(change is None),
        known_usd=change,
        change_at_least=at_least,
    )


def _known(plan: Plan | None) -> float:
    return 0.0 if plan is None else plan.usd.p50


def _is_open(plan: Plan | None) -> bool:
    return plan is not None and plan.at_least


def is_planned(spec: SpecChange) -> bool:
    """Whether the head can be planned as it says."""
    return not spec.problem and not spec.is_infeasible


def runs_usd(specs: Iterable[SpecChange]) -> UsdChange:
    """All runs that can be planned, together: their P50s are added, their bands can't be."""
    return _sum([spec_usd(spec) for spec in specs if is_planned(spec)])


def _sum(each: Sequence[UsdChange]) -> UsdChange:
    """The sum.  A bound of the other direction than the sum bounds nothing: such a change is then unknown."""
    known = [one.known_usd for one in each if one.known_usd is not None]
    bounds = [one.known_usd for one in each if one.known_usd is not None and one.change_at_least]
    unknown = sum(one.unknown for one in each)
    if any(bound * sum(known) < 0 for bound in bounds):
        known = [one.known_usd for one in each if one.known_usd is not None and not one.change_at_least]
        unknown, bounds = unknown + len(bounds), []
    return UsdChange(
        before=sum(one.before for one in each),
        after=sum(one.after for one in each),
        before_at_least=any(one.before_at_least for one in each),
        after_at_least=any(one.after_at_least for one in each),
        unknown=unknown,
        known_usd=sum(known) if known else None,
        change_at_least=bool(bounds),
    )


def resource_usd(change: ResourceChange) -> UsdChange:
    """Dollars a month of one resource.  An unknown part that is the same at both ends doesn't move."""
    before, after = change.before, change.after
    before_open = before is not None and not before.is_known
    after_open = after is not None and not after.is_known
    usd: float | None = change.usd_per_month_change
    at_least = False
    if before_open or after_open:
        if before is None or after is None:
            usd, at_least = (usd, True) if usd else (None, False)
        elif before.parts != after.parts or before.why_unknown != after.why_unknown:
            usd = None
    return UsdChange(
        before=before.usd_per_month if before else 0.0,
        after=after.usd_per_month if after else 0.0,
        before_at_least=before_open,
        after_at_least=after_open,
        unknown=int(usd is None),
        known_usd=usd,
        change_at_least=at_least,
    )


STILL: tuple[Operation, ...] = ("same", "refresh", "read")
"""Operations that change nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceMoves:
    """All resources with their dollars a month: worked out once for all that is said of them."""

    moved: tuple[tuple[ResourceChange, UsdChange], ...]
    """Those whose cost moves or might, by an unknown amount first, then by how much."""
    rest: tuple[ResourceChange, ...]
    total: UsdChange


def resource_moves(found: InfrastructureChange) -> ResourceMoves:
    """The resources of a change in the order in which a reviewer wants them."""
    each = [(change, resource_usd(change)) for change in found.changes]
    moved = [(change, usd) for change, usd in each if change.op not in STILL and not usd.is_same]
    moved.sort(key=lambda pair: (pair[1].known_usd is not None, -abs(pair[1].known_usd or 0.0), pair[0].resource.urn))
    taken = {id(change) for change, _ in moved}
    return ResourceMoves(
        moved=tuple(moved),
        rest=tuple(change for change in found.changes if id(change) not in taken),
        total=_sum([usd for _, usd in each]),
    )


def stack_name(urn: str) -> str:
    """`project/stack` of `urn:pulumi:stack::project::type::name`."""
    parts = urn.split("::")
    return f"{parts[1]}/{parts[0].rpartition(':')[2]}" if len(parts) > 1 else urn


def stacks_usd(found: InfrastructureChange) -> dict[str, UsdChange]:
    """Dollars a month of each stack, by its name."""
    each: dict[str, list[UsdChange]] = {}
    for change in found.changes:
        each.setdefault(stack_name(change.resource.urn), []).append(resource_usd(change))
    return {name: _sum(usd) for name, usd in each.items()}


def ceiling_usd_per_month(found: InfrastructureChange) -> tuple[float, bool] | None:
    """Dollars a month once everything that grows by itself has grown, and whether that is "at least".

    None where nothing can grow.
    """
    costs = [change.after for change in found.changes if change.after is not None]
    growing = [cost for cost in costs if cost.ceiling_count is not None or cost.ceiling_usd_per_month is not None]
    if not growing:
        return None
    total = sum(
        cost.usd_per_month if cost.ceiling_usd_per_month is None else cost.ceiling_usd_per_month for cost in costs
    )
    unpriced = any(cost.ceiling_usd_per_month is None for cost in growing)
    return total, unpriced or any(not cost.is_known for cost in costs)
