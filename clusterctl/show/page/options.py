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
from clusterctl.show.spans import Line, Span, Style, line
from clusterctl.show.table import Column, cell, draw, range_bar
from planners.plan.value import Alternative, Mover, Narrow, Plan

SHOWN_MOVERS = 3
SHOWN_NARROW = 2
COLUMNS = (
    Column(title="", align="right"),
    Column(title="else"),
    Column(title="where"),
    Column(title="fleet", drop=5),
    Column(title="GPUs", align="right"),
    Column(title="sandbox", align="right", drop=4),
    Column(title="time", align="right"),
    Column(drop=3),
    Column(title="dollars", align="right"),
    Column(drop=3),
    Column(title="Δ$", align="right"),
    Column(title="Δtime", align="right", drop=2),
    Column(title="risk", align="right", drop=1),
)


def alternatives(plan: Plan, view: View) -> list[Line]:
    """The frontier: each fleet with its differences against the choice, which is marked."""
    if len(plan.alternatives) < 2:
        return []
    unit = duration_unit(plan.hours.p50 * 3600)
    rows = [_alternative(other, plan, unit) for other in plan.alternatives]
    return draw(COLUMNS, rows, view.cells)


def _alternative(other: Alternative, plan: Plan, unit: DurationUnit) -> list[Line]:
    is_choice = other.number == plan.frontier_chosen
    base = chosen(plan)
    base_hours = base.hours.p50 if base else plan.hours.p50
    base_usd = base.usd.p50 if base else plan.usd.p50
    time, time_band = hours_band(other.hours, unit)
    money, money_band = usd_band(other.usd)
    style = Style.STRONG if is_choice else Style.PLAIN
    capacity = other.capacity_type.replace("_", " ")
    label = ", ".join(filter(None, ("this plan" if is_choice else "", *labels_of(other, is_choice=is_choice))))
    return [
        cell(f"{'▸' if is_choice else ''}{other.number}", style),
        cell(label, style),
        cell(f"{other.cloud} {other.region}, {capacity}", style),
        cell(other.fleet, style),
        cell(f"{other.gpus:,} {other.gpu}" if other.gpus else "none", style),
        cell(f"{other.sandbox_nodes:,} nodes", style),
        cell(time, style),
        cell(time_band, Style.DIM),
        cell(money, style),
        cell(money_band, Style.DIM),
        [] if is_choice else _difference(other.usd.p50 - base_usd, signed_usd),
        [] if is_choice else _difference(other.hours.p50 - base_hours, signed_hours),
        cell(stops(other.interruptions), Style.WARN if other.interruptions >= 1 else style),
    ]


def labels_of(other: Alternative, *, is_choice: bool) -> list[str]:
    """`cheapest`, `fastest`, …: the choice needn't be told that it was picked."""
    return [label for label in other.label.split(", ") if label and not (is_choice and label == "picked")]


def _difference(value: float, text: object) -> Line:
    assert callable(text)
    return cell(text(value), Style.GOOD if value < 0 else Style.PLAIN)


MOVER_COLUMNS = (
    Column(title="what moves it most"),
    Column(title="from", align="right"),
    Column(title="to", align="right"),
    Column(title="dollars", align="right"),
    Column(align="right"),
    Column(drop=1),
    Column(title="time", align="right"),
)


def movers(plan: Plan, view: View) -> list[Line]:
    """The inputs that move the result most, each over its own range; then what would narrow the band."""
    shown = plan.movers if view.verbose else plan.movers[:SHOWN_MOVERS]
    cells = 16 if view.cells < 120 else 28
    ends = [usd for mover in shown for usd in (mover.usd_low, mover.usd_high)]
    span = (min([*ends, plan.usd.p50]), max([*ends, plan.usd.p50]))
    rows = [_mover(mover, plan, span, cells) for mover in shown]
    return draw(MOVER_COLUMNS, rows, view.cells) + _narrow(plan, view)


def _mover(mover: Mover, plan: Plan, span: tuple[float, float], cells: int) -> list[Line]:
    low, high = sorted((mover.usd_low, mover.usd_high))
    unit = duration_unit(plan.hours.p50 * 3600)
    times = f"{unit.of(mover.hours_low * 3600)} – {unit.of(mover.hours_high * 3600)} {unit.name}"
    return [
        cell(mover.input),
        cell(mover.low),
        cell(mover.high),
        cell(f"{usd(mover.usd_low)} –"),
        cell(usd(mover.usd_high)),
        cell(range_bar(low, plan.usd.p50, high, span, cells), Style.GPU_TIME),
        cell(times),
    ]


def _narrow(plan: Plan, view: View) -> list[Line]:
    """`narrower  give attention_kernel: ±22% becomes ±17%` (of the hours)."""
    found = sorted(
        (narrow for stage in plan.stages for narrow in stage.narrow), key=lambda n: n.width_then / n.width_now
    )
    shown = found if view.verbose else found[:SHOWN_NARROW]
    parts = [_narrow_part(narrow) for narrow in shown]
    if not parts:
        return []
    return labelled_parts("narrower", [line("give ", *parts[0]), *parts[1:]], view.cells)


def _narrow_part(narrow: Narrow) -> Line:
    now, then = (f"±{percent(math.sqrt(width) - 1)}" for width in (narrow.width_now, narrow.width_then))
    return line(Span(narrow.input, Style.STRONG), f": {now} becomes {then}")
