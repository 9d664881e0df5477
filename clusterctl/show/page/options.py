"""What else could be had, what moves the result, and which input would narrow the band."""

from __future__ import annotations

import math

from clusterctl.show.page.view import View, chosen, labelled_parts
from clusterctl.show.rounding import (
    DurationUnit,
    duration_unit,
    hours_band,
    percent,
    signed_hours,
    signed_usd,
    stops,
    usd,
    usd_band,
)
from clusterctl.show.spans import Line, Span, Style, better, line
from clusterctl.show.table import Cell, Column, cell, draw, range_bar, right
from planners.plan.value import Alternative, Mover, Narrow, Plan

SHOWN_MOVERS = 3
SHOWN_NARROW = 2
COLUMNS = (
    right(),
    "else",
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
    right("risk", drop=1),
)
MOVER_COLUMNS = (
    "what moves it most",
    right("from"),
    right("to"),
    right("dollars"),
    right(),
    Column(drop=1),
    right("time"),
)


def alternatives(plan: Plan, view: View) -> list[Line]:
    """The frontier: each fleet with its differences against the choice, which is marked."""
    if len(plan.alternatives) < 2:
        return []
    unit = duration_unit(plan.hours.p50 * 3600)
    return draw(COLUMNS, [_alternative(other, plan, unit) for other in plan.alternatives], view.cells)


def _alternative(other: Alternative, plan: Plan, unit: DurationUnit) -> list[Cell]:
    is_choice = other.number == plan.frontier_chosen
    base = chosen(plan) or plan
    time, time_band = hours_band(other.hours, unit)
    money, money_band = usd_band(other.usd)
    more_usd, more_hours = other.usd.p50 - base.usd.p50, other.hours.p50 - base.hours.p50
    style = Style.STRONG if is_choice else Style.PLAIN
    capacity = other.capacity_type.replace("_", " ")
    label = ", ".join(filter(None, ("this plan" if is_choice else "", *labels_of(other, is_choice=is_choice))))
    gpus = f"{other.gpus:,} {other.gpu}" if other.gpus else "none"
    told = (
        f"{'▸' if is_choice else ''}{other.number}",
        label,
        f"{other.cloud} {other.region}, {capacity}",
        other.fleet,
        gpus,
        f"{other.sandbox_nodes:,} nodes",
        time,
    )
    return [
        *(cell(text, style) for text in told),
        cell(time_band, Style.DIM),
        cell(money, style),
        cell(money_band, Style.DIM),
        "" if is_choice else cell(signed_usd(more_usd), better(more_usd)),
        "" if is_choice else cell(signed_hours(more_hours), better(more_hours)),
        cell(stops(other.interruptions), Style.WARN if other.interruptions >= 1 else style),
    ]


def labels_of(other: Alternative, *, is_choice: bool) -> list[str]:
    """`cheapest`, `fastest`, …: the choice needn't be told that it was picked."""
    return [label for label in other.label.split(", ") if label and not (is_choice and label == "picked")]


def movers(plan: Plan, view: View) -> list[Line]:
    """The inputs that move the result most, each over its own range; then what would narrow the band."""
    shown = plan.movers if view.verbose else plan.movers[:SHOWN_MOVERS]
    cells = 16 if view.cells < 120 else 28
    ends = [usd for mover in shown for usd in (mover.usd_low, mover.usd_high)]
    span = (min([*ends, plan.usd.p50]), max([*ends, plan.usd.p50]))
    rows = [_mover(mover, plan, span, cells) for mover in shown]
    return draw(MOVER_COLUMNS, rows, view.cells) + _narrow(plan, view)


def _mover(mover: Mover, plan: Plan, span: tuple[float, float], cells: int) -> list[Cell]:
    low, high = sorted((mover.usd_low, mover.usd_high))
    unit = duration_unit(plan.hours.p50 * 3600)
    times = f"{unit.of(mover.hours_low * 3600)} – {unit.text(mover.hours_high * 3600)}"
    drawn = cell(range_bar(low, plan.usd.p50, high, span, cells), Style.GPU_TIME)
    return [mover.input, mover.low, mover.high, f"{usd(mover.usd_low)} –", usd(mover.usd_high), drawn, times]


def _narrow(plan: Plan, view: View) -> list[Line]:
    """`narrower  give attention_kernel: ±22% becomes ±17%` (of the hours)."""
    narrows = [narrow for stage in plan.stages for narrow in stage.narrow]
    narrows.sort(key=lambda narrow: narrow.width_then / narrow.width_now)
    parts = [_narrow_part(narrow) for narrow in (narrows if view.verbose else narrows[:SHOWN_NARROW])]
    return labelled_parts("narrower", [line("give ", *parts[0]), *parts[1:]], view.cells) if parts else []


def _narrow_part(narrow: Narrow) -> Line:
    now, then = (f"±{percent(math.sqrt(width) - 1)}" for width in (narrow.width_now, narrow.width_then))
    return line(Span(narrow.input, Style.STRONG), f": {now} becomes {then}")
