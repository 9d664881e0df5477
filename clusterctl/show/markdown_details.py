"""The folded blocks of the pull-request comment, the most wanted first: a long comment loses its last ones."""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.show.compare import sides
from clusterctl.show.difference import Difference
from clusterctl.show.markdown_text import escape, folded, table
from clusterctl.show.page.money import outcome_text
from clusterctl.show.rounding import (
    column,
    exact_usd,
    hours,
    hours_band,
    number,
    percent,
    phase_unit,
    signed_hours,
    signed_usd,
    stops,
    unit_price,
    usd,
    usd_band,
)
from planners.plan.value import Plan, StagePlan

MAX_ROWS = 60
"""Rows of one block; the rest is counted."""


def details(plan: Plan, found: Difference | None) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each block; blocks without rows don't appear."""
    blocks = (
        ("what changed", _difference(found) if found else ""),
        ("phases", "\n\n".join(_phases(stage, many=len(plan.stages) > 1) for stage in plan.stages)),
        ("bill", _bill(plan)),
        ("alternatives", _alternatives(plan)),
        ("what moves it", _movers(plan)),
        ("assumptions", _assumptions(plan)),
    )
    for name, body in blocks:
        if body:
            yield name, folded(f"{name[0].upper()}{name[1:]}", body)


def _limited(header: list[str], rows: list[list[str]], right: set[int]) -> str:
    text = table(header, rows[:MAX_ROWS], right=right)
    return text if len(rows) <= MAX_ROWS else f"{text}\n\n…and {len(rows) - MAX_ROWS} more"


def _difference(found: Difference) -> str:
    fields = [[f"`{change.field}`", escape(change.base), escape(change.other)] for change in found.fields]
    rows = [[escape(row.name), *sides(row)] for row in found.rows if row.differs]
    header = [escape(title) for title in found.titles]
    parts = [_limited(["spec", *header], fields, set())] if fields else []
    parts += [_limited(["", *header], rows, {1, 2})] if rows else []
    return "\n\n".join(parts)


def _phases(stage: StagePlan, *, many: bool) -> str:
    unit = phase_unit(stage.seconds_per_unit.p50)
    written = column([phase.seconds / unit.seconds for phase in stage.phases])
    rows = [
        [escape(phase.name), seconds, percent(phase.share), escape(phase.bound_by)]
        for phase, seconds in zip(stage.phases, written, strict=True)
    ]
    total = sum(stage.waste_hours.values())
    waste = ", ".join(f"{escape(name)} {hours(value)}" for name, value in stage.waste_hours.items() if value > 0)
    heading = f"**{escape(stage.name)}**: {escape(stage.title)}\n\n" if many else ""
    listed = _limited(["phase", f"{unit.name}/{escape(stage.unit)}", "share", "bound by"], rows, {1, 2})
    return f"{heading}{listed}" + (f"\n\nStart-up and waste {hours(total)}: {waste}" if waste else "")


def _bill(plan: Plan) -> str:
    ordered = sorted(plan.lines, key=lambda line: (line.usd is not None, -(line.usd or 0.0)))
    rows = [
        [
            escape(line.name),
            f"{number(line.quantity)} {escape(line.unit)}",
            unit_price(line.usd_per_unit),
            exact_usd(line.usd),
            escape(f"{line.source}" if line.source else "no price is known"),
        ]
        for line in ordered
    ]
    each = " · ".join(escape(outcome_text(plan, outcome)) for outcome in plan.economics)
    listed = _limited(["line", "quantity", "price", "dollars", "source"], rows, {1, 2, 3})
    return (listed if rows else "") + (f"\n\n{each}" if each and rows else each)


def _alternatives(plan: Plan) -> str:
    if len(plan.alternatives) < 2:
        return ""
    rows = [
        [
            f"{other.number}",
            escape("this plan" if other.number == plan.frontier_chosen else other.label),
            escape(f"{other.cloud} {other.region}, {other.capacity_type.replace('_', ' ')}"),
            escape(other.fleet),
            " ".join(hours_band(other.hours)),
            " ".join(usd_band(other.usd)),
            signed_usd(other.usd.p50 - plan.usd.p50),
            signed_hours(other.hours.p50 - plan.hours.p50),
            stops(other.interruptions),
        ]
        for other in plan.alternatives
    ]
    return _limited(["#", "", "where", "fleet", "time", "dollars", "Δ$", "Δtime", "risk"], rows, {4, 5, 6, 7, 8})


def _movers(plan: Plan) -> str:
    rows = [
        [
            escape(mover.input),
            f"{escape(mover.low)} to {escape(mover.high)}",
            f"{usd(mover.usd_low)} to {usd(mover.usd_high)}",
            f"{hours(mover.hours_low)} to {hours(mover.hours_high)}",
        ]
        for mover in plan.movers
    ]
    return _limited(["input", "range", "dollars", "time"], rows, {2, 3}) if rows else ""


def _assumptions(plan: Plan) -> str:
    rows = [[escape(found.name), escape(found.value), escape(found.source)] for found in plan.assumptions]
    return _limited(["assumption", "value", "source"], rows, set()) if rows else ""
