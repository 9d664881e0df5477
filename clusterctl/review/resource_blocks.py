"""The standing resources of a review in Markdown, by the month."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from clusterctl.review.run_blocks import Fold
from clusterctl.review.totals import STILL, ResourceMoves, UsdChange, ceiling_usd_per_month, stacks_usd
from clusterctl.review.value import InfrastructureChange
from clusterctl.ui import formats
from clusterctl.ui.markdown_text import code, escape, table, unbroken
from planners.infrastructure.value import CostPart, Operation, Resource, ResourceChange, ResourceCost

HEADER = ["Resource", "Change", "Before", "After", "Δ$ a month"]
OPERATIONS: dict[Operation, str] = {
    "create": "new",
    "update": "changed",
    "replace": "replaced",
    "delete": "removed",
    "import": "imported",
    "same": "as it was",
    "refresh": "as it was",
    "read": "as it was",
}
Item = TypeVar("Item")


def resources_block(found: InfrastructureChange, moves: ResourceMoves, most: int) -> str:
    """A row per resource whose cost moves, one for all; then what grows by itself, and what isn't known."""
    rows = [_row(change, usd) for change, usd in moves.moved[:most]]
    further = [usd.known_usd for _, usd in moves.moved[most:]]
    if further:
        known = sum(usd for usd in further if usd is not None)
        rows.append([f"{len(further):,} more", "", "", "", formats.signed_usd(known)])
    total = moves.total
    change = _change(total)
    if total.unknown and total.known_usd is not None:
        change += f" and {total.unknown:,} unknown"
    rows.append(["**All resources**", "", _before(total), f"**{_after(total)}**", change])
    lines = [f"- {line}" for line in _lines(found, moves, most)]
    return "\n\n".join(filter(None, [table(HEADER, rows, right={2, 3, 4}), "\n".join(lines)]))


def _before(usd: UsdChange) -> str:
    return formats.least_usd(usd.before, at_least=usd.before_at_least)


def _after(usd: UsdChange) -> str:
    return formats.least_usd(usd.after, at_least=usd.after_at_least)


def _change(usd: UsdChange) -> str:
    """`+$12`, `at least +$12`, `unknown`."""
    text = formats.signed_usd(usd.known_usd)
    return unbroken(f"at least {text}" if usd.change_at_least else text)


def _row(change: ResourceChange, usd: UsdChange) -> list[str]:
    before = "" if change.before is None else _before(usd)
    after = "" if change.after is None else _after(usd)
    return [resource_name(change.resource), what_changes(change), before, after, _change(usd)]


def resource_name(resource: Resource) -> str:
    """The name as code and, in brackets, its type."""
    return f"{code(resource.name)} ({escape(type_words(resource), 60)})"


def type_words(resource: Resource) -> str:
    """`ec2 Instance` of `aws:ec2/instance:Instance`."""
    parts = resource.type.split(":")
    return f"{parts[1].split('/')[0]} {parts[-1]}" if len(parts) > 2 else resource.type


def what_changes(change: ResourceChange) -> str:
    """`changed: 2 → 4, grows to 10`."""
    word = OPERATIONS[change.op]
    counts = [cost.count for cost in (change.before, change.after) if cost is not None and cost.count is not None]
    if len(counts) == 2 and counts[0] != counts[1]:
        word += f": {counts[0]:,} → {counts[1]:,}"
    elif counts and counts[-1] > 1:
        word += f": {counts[-1]:,}"
    ceiling = change.after.ceiling_count if change.after is not None else None
    return word if ceiling is None or ceiling <= (counts or [0])[-1] else f"{word}, grows to {ceiling:,}"


def _lines(found: InfrastructureChange, moves: ResourceMoves, most: int) -> Iterator[str]:
    if len(found.stacks) > 1:
        stacks = stacks_usd(found)
        for name in list(stacks)[:most]:
            yield f"{code(name)}: {_before(stacks[name])} → {_after(stacks[name])} ({_change(stacks[name])})"
    ceiling = ceiling_usd_per_month(found)
    if ceiling is not None:
        usd, at_least = ceiling
        amount = formats.least_usd(usd, at_least=at_least)
        yield f"Autoscaling may raise all resources to **{amount} a month** by itself, at the most nodes it allows."
    unknown = [(change.resource, why) for change, _ in moves.moved for why in unknown_reasons(change)]
    for resource, why in unknown[:most]:
        yield f"Not known: {resource_name(resource)}: {escape(why)}"
    if len(unknown) > most:
        yield f"Not known: {len(unknown) - most:,} more, in the details"
    yield from _others([change for change in moves.rest if change.op not in STILL])
    yield from (escape(note, 400) for note in found.notes[:most])


def _others(changes: Sequence[ResourceChange]) -> Iterator[str]:
    """How many more change, and how many of these cost by use."""
    if changes:
        costs = [change.after or change.before for change in changes]
        by_use = sum(any(part.usage_based for part in cost.parts) for cost in costs if cost is not None)
        verb = "changes" if len(changes) == 1 else "change"
        more = f"; {formats.count(by_use, 'is', 'are')} billed by use" if by_use else ""
        yield f"{formats.count(len(changes), 'other resource')} {verb} without moving these sums{more}."


def unknown_reasons(change: ResourceChange) -> list[str]:
    """Why the cost after the change, else before it, isn't known."""
    cost = change.after or change.before
    return [] if cost is None else cost_unknowns(cost)


def cost_unknowns(cost: ResourceCost) -> list[str]:
    """Reasons of the resource, then of its parts; none for what is billed by use."""
    reasons = [cost.why_unknown] if cost.why_unknown else []
    for part in cost.parts:
        if not part.usage_based and part.usd_per_month is None:
            missing = "its price is not in the price book" if part.usd_per_unit is None else "its quantity is unknown"
            reasons.append(f"{part.name}: {part.why_unknown or missing}")
    return reasons


def resource_details(moves: ResourceMoves, most: int) -> Iterator[Fold]:
    """Quantities and prices of each line, assumed values, unknowns, and what is billed by use."""
    moved = [change for change, _ in moves.moved]
    shown = [row for change in moved[:most] for row in part_rows(change)]
    if shown:
        header = ["Resource", "Part", "Quantity a month", "Price", "Dollars a month"]
        more = f"\n\n…and the parts of {len(moved) - most:,} more resources" if len(moved) > most else ""
        yield Fold("Quantities and prices of resources", "", table(header, shown, right={2, 3, 4}) + more)
    costs = [change.after for change in chain(moved, moves.rest) if change.after is not None]
    parts = [(cost.resource, part) for cost in costs for part in cost.parts]
    assumed = [pair for pair in parts if pair[1].assumed]
    yield from _fold(
        "Assumed values",
        ["Resource", "Part", "Taken as"],
        assumed,
        lambda pair: [resource_name(pair[0]), escape(pair[1].name), escape("; ".join(pair[1].assumed))],
        most,
    )
    unknown = [(cost.resource, why) for cost in costs if not cost.is_known for why in cost_unknowns(cost)]
    yield from _fold(
        "Costs that are not known",
        ["Resource", "Why"],
        unknown,
        lambda pair: [resource_name(pair[0]), escape(pair[1])],
        most,
    )
    yield from _fold(
        "Billed by use, in no sum",
        ["Resource", "Part", "Price"],
        [pair for pair in parts if pair[1].usage_based],
        lambda pair: [resource_name(pair[0]), escape(pair[1].name), _price(pair[1])],
        most,
    )


def _fold(
    name: str, header: list[str], items: Sequence[Item], row: Callable[[Item], list[str]], most: int
) -> Iterator[Fold]:
    """A table of the first items, which alone are written; the rest is counted."""
    if items:
        more = f"\n\n…and {len(items) - most:,} more" if len(items) > most else ""
        yield Fold(name, "", table(header, [row(item) for item in items[:most]], right=set()) + more)


def part_rows(change: ResourceChange) -> Iterator[list[str]]:
    """One row per part that is there at an end; `before → after` where the two differ."""
    ends = [
        {} if cost is None else {part.name: part for part in cost.parts if not part.usage_based}
        for cost in (change.before, change.after)
    ]
    for name in dict.fromkeys([*ends[0], *ends[1]]):
        parts = [end[name] for end in ends if name in end]
        both = change.before is None or change.after is None or (name in ends[0] and name in ends[1])
        mark = "" if both else " (removed)" if name in ends[0] else " (new)"
        columns = (
            [f"{formats.number(part.monthly_quantity)} {escape(part.unit)}" for part in parts],
            [_price(part) for part in parts],
            [formats.exact_usd(part.usd_per_month, 2) for part in parts],
        )
        texts = [" → ".join(dict.fromkeys(column)) for column in columns]
        yield [resource_name(change.resource), f"{escape(name)}{mark}", *texts]


def _price(part: CostPart) -> str:
    return formats.unit_price(part.usd_per_unit) + ("" if part.usd_per_unit is None else f" per {escape(part.unit)}")
