"""What else could be had, which inputs the result is sensitive to, and what to type next."""

from __future__ import annotations

import math

from clusterctl.ui import formats
from clusterctl.ui.plan_page.context import PageContext, labelled
from clusterctl.ui.plan_page.pools import capacity
from clusterctl.ui.spans import Line, Span, Style, better, line
from clusterctl.ui.table import Cell, Column, cell, draw, range_bar, right
from planners.plan.plan_rows import Sensitivity
from planners.plan.value import Alternative, Plan

SHOWN_INPUTS = 3
SHOWN_NARROW = 2
OPTION_COLUMNS = (
    right(),
    "alternatives",
    "where",
    Column("fleet", drop=5),
    right("GPUs"),
    right("sandbox", drop=4),
    right("time"),
    Column(drop=3),
    right("dollars"),
    Column(drop=3),
    right("Δ$"),
    right("Δtime", drop=2),
    right("interruptions", drop=1),
)
SENSITIVITY_COLUMNS = (
    "sensitivity",
    right("from"),
    right("to"),
    right("dollars"),
    right(),
    Column(drop=1),
    right("time"),
)


def alternatives(plan: Plan, page: PageContext) -> list[Line]:
    """The frontier: each fleet with its differences against the choice, which is marked."""
    if len(plan.alternatives) < 2:
        return []
    unit = formats.duration_unit(plan.hours.p50 * 3600)
    return draw(OPTION_COLUMNS, [_alternative(other, plan, unit) for other in plan.alternatives], page.cells)


def _alternative(other: Alternative, plan: Plan, unit: formats.DurationUnit) -> list[Cell]:
    is_choice = other.number == plan.frontier_chosen
    base = next((option for option in plan.alternatives if option.number == plan.frontier_chosen), plan)
    time, time_band = formats.hours_band(other.hours, unit)
    money, money_band = formats.usd_band(other.usd, at_least=other.at_least)
    more_usd = None if other.at_least or base.at_least else other.usd.p50 - base.usd.p50
    more_hours = other.hours.p50 - base.hours.p50
    style = Style.STRONG if is_choice else Style.PLAIN
    label = ", ".join(filter(None, ("this plan" if is_choice else "", *labels_of(other, is_choice=is_choice))))
    gpus = f"{other.gpus:,} {other.gpu}" if other.gpus else "none"
    number = f"{'▸' if is_choice else ''}{other.number}"
    where, sandbox = f"{other.cloud} {other.region}, {capacity(other)}", formats.count(other.sandbox_nodes, "node")
    return [
        *(cell(text, style) for text in (number, label, where, other.fleet, gpus, sandbox, time)),
        cell(time_band, Style.DIM),
        cell(money, style),
        cell(money_band, Style.DIM),
        "" if is_choice else cell(formats.signed_usd(more_usd), better(more_usd)),
        "" if is_choice else cell(formats.signed_hours(more_hours), better(more_hours)),
        cell(formats.expected(other.interruptions), Style.WARN if other.interruptions >= 1 else style),
    ]


def labels_of(other: Alternative, *, is_choice: bool) -> list[str]:
    """`cheapest`, `fastest`, …: the choice needn't be told that it was picked."""
    return [label for label in other.label.split(", ") if label and not (is_choice and label == "picked")]


def sensitivity(plan: Plan, page: PageContext) -> list[Line]:
    """The inputs to which the result is most sensitive, each over its own range; then what would narrow the band."""
    shown = plan.sensitivity if page.verbose else plan.sensitivity[:SHOWN_INPUTS]
    bar_cells = 16 if page.cells < 120 else 28
    ends = [plan.usd.p50, *(end for row in shown for end in (row.usd_low, row.usd_high) if end is not None)]
    rows = [_sensitivity(row, plan, (min(ends), max(ends)), bar_cells) for row in shown]
    return draw(SENSITIVITY_COLUMNS, rows, page.cells) + _narrow(plan, page)


def _sensitivity(row: Sensitivity, plan: Plan, span: tuple[float, float], bar_cells: int) -> list[Cell]:
    unit = formats.duration_unit(plan.hours.p50 * 3600)
    times = f"{unit.of(row.hours_low * 3600)} – {unit.text(row.hours_high * 3600)}"
    if row.usd_low is None or row.usd_high is None:
        return [row.input, row.low, row.high, "", formats.UNKNOWN, "", times]
    low, high = sorted((row.usd_low, row.usd_high))
    drawn = cell(range_bar(low, plan.usd.p50, high, span, bar_cells), Style.GPU_TIME)
    return [row.input, row.low, row.high, f"{formats.usd(row.usd_low)} –", formats.usd(row.usd_high), drawn, times]


def _narrow(plan: Plan, page: PageContext) -> list[Line]:
    """`to narrow  state attention_kernel: ±22% becomes ±17%` (of the hours)."""
    narrows = [narrow for stage in plan.stages for narrow in stage.narrow]
    narrows.sort(key=lambda narrow: narrow.width_then / narrow.width_now)
    parts: list[Line] = []
    for narrow in narrows if page.verbose else narrows[:SHOWN_NARROW]:
        now, then = (f"±{formats.percent(math.sqrt(width) - 1)}" for width in (narrow.width_now, narrow.width_then))
        parts.append(line("" if parts else "state ", Span(narrow.input, Style.STRONG), f": {now} becomes {then}"))
    return labelled("to narrow", parts, page.cells)


def footer(plan: Plan, page: PageContext) -> list[Line]:
    """Assumptions and rejections with the way to list them, and the other things that a plan can do."""
    rejected = sum(rejection.count for rejection in plan.rejections)
    counted = "; ".join(
        (
            formats.count(len(plan.assumptions), "assumption"),
            formats.count(plan.candidates, "candidate"),
            f"{rejected:,} offers and layouts rejected",
        )
    )
    explain = line(Span(f"{page.command} --explain", Style.COMMAND))
    lines = labelled("based on", [line(counted), explain], page.cells)
    other = next((option.number for option in plan.alternatives if option.number != plan.frontier_chosen), None)
    flags = ["--explain usd", *([f"--pick {other}"] if other else []), "--what-if KEY=VALUE", "--compare FILE"]
    flags += ["--plot FOLDER", "--out plan.json"] + ([] if page.verbose else ["--verbose"])
    return lines + labelled("next", [line(Span(flag, Style.COMMAND)) for flag in flags], page.cells)
