"""The folded blocks of a plan's pull-request comment, the most wanted first."""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.ui import formats
from clusterctl.ui.compare import sides
from clusterctl.ui.difference import Difference
from clusterctl.ui.markdown_text import code, escape, folded, table
from clusterctl.ui.plan_page.bill import outcome_text
from clusterctl.ui.plan_page.pools import capacity
from planners.plan.value import Plan, StagePlan

MAX_ROWS = 60
"""Rows of one block; the rest is counted."""


def details(plan: Plan, found: Difference | None) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each block; blocks without rows don't appear."""
    blocks = (
        ("what changed", difference_tables(found) if found else ""),
        ("phases", "\n\n".join(_phases(stage, many=len(plan.stages) > 1) for stage in plan.stages)),
        ("bill", bill(plan)),
        ("alternatives", _alternatives(plan)),
        ("sensitivity", _sensitivity(plan)),
        ("assumptions", _assumptions(plan)),
    )
    for name, body in blocks:
        if body:
            yield name, folded(f"{name[0].upper()}{name[1:]}", body)


def limited(header: list[str], rows: list[list[str]], right: set[int], most: int = MAX_ROWS) -> str:
    """A table of the first rows; the rest is counted."""
    text = table(header, rows[:most], right=right)
    return text if len(rows) <= most else f"{text}\n\n…and {len(rows) - most:,} more"


def difference_tables(found: Difference, most: int = MAX_ROWS) -> str:
    """What the two specs say differently, then the numbers that differ; empty where none does."""
    fields = [[code(change.field), escape(change.base), escape(change.other)] for change in found.fields]
    rows = [[escape(row.name), *sides(row)] for row in found.rows if row.differs]
    header = [escape(title) for title in found.titles]
    parts = [limited(["spec", *header], fields, set(), most)] if fields else []
    parts += [limited(["", *header], rows, {1, 2}, most)] if rows else []
    return "\n\n".join(parts)


def _phases(stage: StagePlan, *, many: bool) -> str:
    unit = formats.phase_unit(stage.seconds_per_unit.p50)
    written = formats.column([phase.seconds / unit.seconds for phase in stage.phases])
    rows = [
        [escape(phase.name), seconds, formats.percent(phase.share), escape(phase.bound_by)]
        for phase, seconds in zip(stage.phases, written, strict=True)
    ]
    heading = f"**{escape(stage.name)}**: {escape(stage.title)}\n\n" if many else ""
    listed = limited(["phase", f"{unit.name}/{escape(stage.unit)}", "share", "bound by"], rows, {1, 2})
    waste = stage.waste_hours
    parts = ", ".join(f"{escape(name)} {formats.hours(value)}" for name, value in waste.items())
    overhead = f"\n\nOverhead {formats.hours(sum(waste.values()))}: {parts}" if waste else ""
    return f"{heading}{listed}{overhead}"


def bill(plan: Plan, most: int = MAX_ROWS) -> str:
    """Lines of the bill, what has no price first, and dollars per outcome."""
    ordered = sorted(plan.lines, key=lambda line: (line.usd is not None, -(line.usd or 0.0)))
    rows = [
        [
            escape(line.name),
            f"{formats.number(line.quantity)} {escape(line.unit)}",
            formats.unit_price(line.usd_per_unit),
            formats.exact_usd(line.usd),
            escape(line.source or "unpriced"),
        ]
        for line in ordered
    ]
    each = " · ".join(escape(outcome_text(plan, outcome)) for outcome in plan.economics)
    listed = limited(["line", "quantity", "price", "dollars", "source"], rows, {1, 2, 3}, most)
    return (listed if rows else "") + (f"\n\n{each}" if each and rows else each)


def _alternatives(plan: Plan) -> str:
    if len(plan.alternatives) < 2:
        return ""
    rows = [
        [
            f"{other.number}",
            escape("this plan" if other.number == plan.frontier_chosen else other.label),
            escape(f"{other.cloud} {other.region}, {capacity(other)}"),
            escape(other.fleet),
            " ".join(formats.hours_band(other.hours)),
            " ".join(formats.usd_band(other.usd, at_least=other.at_least)).strip(),
            formats.signed_usd(None if other.at_least or plan.at_least else other.usd.p50 - plan.usd.p50),
            formats.signed_hours(other.hours.p50 - plan.hours.p50),
            formats.expected(other.interruptions),
        ]
        for other in plan.alternatives
    ]
    header = ["#", "", "where", "fleet", "time", "dollars", "Δ$", "Δtime", "expected interruptions"]
    return limited(header, rows, {4, 5, 6, 7, 8})


def _sensitivity(plan: Plan) -> str:
    rows = [
        [
            escape(row.input),
            f"{escape(row.low)} to {escape(row.high)}",
            "unknown" if row.usd_low is None else f"{formats.usd(row.usd_low)} to {formats.usd(row.usd_high)}",
            f"{formats.hours(row.hours_low)} to {formats.hours(row.hours_high)}",
        ]
        for row in plan.sensitivity
    ]
    return limited(["input", "range", "dollars", "time"], rows, {2, 3}) if rows else ""


def _assumptions(plan: Plan) -> str:
    rows = [[escape(found.name), escape(found.value), escape(found.source)] for found in plan.assumptions]
    return limited(["assumption", "value", "source"], rows, set()) if rows else ""
