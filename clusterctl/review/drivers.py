"""Which inputs moved the dollars of a changed spec: each changed alone on the base, planned again.

An input is a field of a stage, of the fleet, the limits or the prices, and of a section such as `sandbox` each of its
fields.  Names, descriptions and labels cost nothing and are left out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

from clusterctl.review.value import Driver
from clusterctl.specfile.spec_errors import shown
from planners.spec.run_spec import RunSpec

UsdOf = Callable[[RunSpec], float | None]
MOST_DRIVERS = 3
MOST_TRIED = 6
"""Inputs of one spec that are planned alone."""
COSTS_NOTHING = {"version", "name", "description", "labels", "economics"}
SECTIONS = ("fleet", "limits", "prices")
NOTHING = "(not stated)"
ABSENT: Any = object()

Steps = tuple[str, ...]
"""Keys from the root down; a stage by its name."""


class Input(NamedTuple):
    """One input that the two ends of a spec have differently; ABSENT where an end lacks it."""

    path: Steps
    before: Any
    after: Any

    @property
    def field(self) -> str:
        return ".".join(self.path)


def changed_inputs(base: RunSpec, head: RunSpec) -> tuple[Input, ...]:
    """What differs, in the order of the spec."""
    return tuple(_changed(_by_name(base), _by_name(head), (), depth=3))


def plans_for_drivers(base: RunSpec, head: RunSpec) -> int:
    """Plans that `cost_drivers` makes."""
    count = len(changed_inputs(base, head))
    return 0 if count == 1 else min(count, MOST_TRIED)


def cost_drivers(base: RunSpec, head: RunSpec, *, usd_change: float | None, usd_of: UsdOf) -> tuple[Driver, ...]:
    """At most three inputs with what each alone moves, the largest first.

    usd_change: of all together.  usd_of: dollars of a spec less those of the base; None where either is unknown or no
    fleet is feasible.
    """
    inputs = changed_inputs(base, head)
    if len(inputs) == 1:
        return (_driver(inputs[0], usd_change),)
    moved = [_driver(each, _moved_by(base, each, usd_of)) for each in inputs[:MOST_TRIED]]
    moved += [_driver(each, None) for each in inputs[MOST_TRIED:]]
    known = [driver for driver in moved if driver.usd_change is not None]
    known.sort(key=lambda driver: -abs(driver.usd_change or 0.0))
    unknown = [driver for driver in moved if driver.usd_change is None]
    return tuple([*known, *unknown][:MOST_DRIVERS])


def _moved_by(base: RunSpec, changed: Input, usd_of: UsdOf) -> float | None:
    data = _by_name(base)
    _put(data, changed.path, changed.after)
    try:
        spec = RunSpec.model_validate(data | {"stages": list(data["stages"].values())})
    except ValidationError:  # it goes only together with another change
        return None
    return usd_of(spec)


def _by_name(spec: RunSpec) -> dict[str, Any]:
    """A spec as plain data, its stages by name."""
    data = spec.model_dump(mode="json", exclude_none=True)
    return data | {"stages": {stage.name: inner for stage, inner in zip(spec.stages, data["stages"], strict=True)}}


def _changed(base: Any, head: Any, path: Steps, depth: int) -> Iterator[Input]:
    for key in dict.fromkeys([*base, *head]):
        before, after = base.get(key, ABSENT), head.get(key, ABSENT)
        if before == after or (not path and key in COSTS_NOTHING):
            continue
        here = (*path, key)
        is_section = here[0] in ("stages", *SECTIONS) and isinstance(before, dict) and isinstance(after, dict)
        if is_section and len(here) <= depth and not {"mean", "p95"} & {*before, *after}:
            yield from _changed(before, after, here, depth)
        else:
            yield Input(here, before, after)


def _put(data: dict[str, Any], path: Steps, value: Any) -> None:
    *way, last = path
    for step in way:
        data = data[step]
    if value is ABSENT:
        data.pop(last, None)
    else:
        data[last] = copy.deepcopy(value)


def _driver(changed: Input, usd_change: float | None) -> Driver:
    return Driver(field=changed.field, before=_text(changed.before), after=_text(changed.after), usd_change=usd_change)


def _text(value: Any) -> str:
    if value is ABSENT:
        return NOTHING
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())[:200] or "{}"
    if isinstance(value, list):
        return ", ".join(_text(inner) for inner in value)[:200] or "[]"
    return value[:200] if isinstance(value, str) else shown(value)
