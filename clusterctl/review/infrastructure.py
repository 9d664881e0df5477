"""What previews change in dollars: of one preview its two ends, or of two previews their new states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from clusterctl.clouds.prices import BookPrices
from clusterctl.errors import SpecError
from clusterctl.review.preview_file import read_preview
from clusterctl.review.value import InfrastructureChange
from clusterctl.ui.formats import count
from planners.infrastructure.preview import Preview, ResourceStep
from planners.infrastructure.price_protocol import ResourcePrices
from planners.infrastructure.pricing import price_preview
from planners.infrastructure.value import Operation, Resource, ResourceChange


def infrastructure_change(
    heads: Sequence[Path], bases: Sequence[Path] = (), *, prices: ResourcePrices | None = None
) -> InfrastructureChange:
    """Of previews at the head, and at the base where they are given: then the new states of both are compared, stack
    by stack and urn by urn.  Raises SpecError."""
    prices = prices or BookPrices()
    previews = _by_stack([read_preview(path) for path in heads], heads)
    notes: list[str] = []
    if bases:
        old = _by_stack([read_preview(path) for path in bases], bases)
        previews = _compared(previews, old, notes)
    changes = tuple(change for preview in previews for change in price_preview(preview, prices))
    for preview in previews:
        notes += [f"{preview.name}: {note}" for note in preview.notes]
        if preview.unchanged_not_shown:
            number = count(preview.unchanged_not_shown, "resource")
            notes.append(
                f"{preview.name}: {number} that stay as they are, with what they cost, are not in the preview: "
                "`pulumi preview --json --show-sames` shows them"
            )
    return InfrastructureChange(
        stacks=tuple(preview.name for preview in previews),
        changes=changes,
        providers_before=_providers(step.before for preview in previews for step in preview.steps),
        providers=_providers(step.after for preview in previews for step in preview.steps),
        notes=tuple(notes),
        price_dates=_dates(changes),
    )


def _providers(ends: Iterable[Resource | None]) -> tuple[Resource, ...]:
    return tuple(one for one in ends if one is not None and one.type.startswith("pulumi:providers:"))


def _by_stack(previews: Sequence[Preview], paths: Sequence[Path]) -> list[Preview]:
    """Raises SpecError where two files are of one stack: its resources would count twice."""
    seen: dict[str, Path] = {}
    for preview, path in zip(previews, paths, strict=True):
        if preview.name and preview.name in seen:
            raise SpecError(
                f"{seen[preview.name]} and {path} are both previews of the stack {preview.name}",
                hint="give one preview a stack; --preview-base takes the one at the base",
            )
        seen[preview.name] = path
    return list(previews)


def _compared(heads: Sequence[Preview], bases: Sequence[Preview], notes: list[str]) -> list[Preview]:
    """The base's new state against the head's, by urn; a stack without its like at the other end is all new or gone."""
    left = {preview.name: preview for preview in bases}
    if len(heads) == len(bases) == 1 and heads[0].name != bases[0].name and not (heads[0].name and bases[0].name):
        left = {heads[0].name: bases[0]}  # a preview without resources doesn't say its stack
    found = []
    for head in heads:
        base = left.pop(head.name, None)
        if base is None:
            notes.append(f"{head.name}: no preview of it at the base was given, so all of it counts as new")
        found.append(_joined(head, base))
    found += [_joined(replace(base, steps=(), unchanged_not_shown=0, notes=()), base) for base in left.values()]
    return found


def _joined(head: Preview, base: Preview | None) -> Preview:
    """A preview whose old ends are the new ends of the base's."""
    olds = {_urn(step): step for step in base.steps} if base else {}
    hides_same = base is not None and base.unchanged_not_shown > 0
    steps = []
    for step in head.steps:
        old = olds.pop(_urn(step), None)
        before = old.after if old else step.before if hides_same else None
        if before or step.after:
            steps.append(
                ResourceStep(op=_op(before, step.after), before=before, after=step.after, changed=step.changed)
            )
    for old in olds.values():
        after = old.before if head.unchanged_not_shown else None  # the head leaves it as it is, and doesn't show it
        if old.after or after:
            steps.append(ResourceStep(op=_op(old.after, after), before=old.after, after=after, changed=old.changed))
    notes = head.notes + (tuple(f"at the base, {note}" for note in base.notes) if base else ())
    config = {**(base.config if base else {}), **head.config}
    return replace(head, steps=tuple(steps), notes=notes, config=config)


def _urn(step: ResourceStep) -> str:
    one = step.after or step.before
    return one.urn if one else ""


def _op(before: Resource | None, after: Resource | None) -> Operation:
    if before is None or after is None:
        return "create" if before is None else "delete"
    return "same" if before.properties == after.properties and before.region == after.region else "update"


def _dates(changes: Sequence[ResourceChange]) -> tuple[date, date] | None:
    """Oldest and newest day of a price that was used."""
    days = [
        part.as_of
        for change in changes
        for cost in (change.before, change.after)
        if cost
        for part in cost.parts
        if part.as_of is not None
    ]
    return (min(days), max(days)) if days else None
