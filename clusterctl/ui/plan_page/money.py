"""Where the dollars go: the bill's largest lines, dollars per outcome, and what has no price.

What else could be had, what moves the result, and which input would narrow the band.

The bottom of the page: warnings, what was assumed and rejected, and what to type next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from clusterctl.ui.formats import (
    DurationUnit,
    count,
    duration_unit,
    exact_usd,
    hours_band,
    number,
    percent,
    signed_hours,
    signed_usd,
    stops,
    unit_price,
    usd,
    usd_band,
)
from clusterctl.ui.plan_page.summary import View, chosen, labelled, labelled_parts
from clusterctl.ui.spans import Line, Span, Style, better, line
from clusterctl.ui.table import Cell, Column, cell, draw, range_bar, right
from planners.plan.value import Alternative, Narrow, Plan, Sensitivity, UnitCost
from planners.plan.value import Line as BillLine

SHOWN_LINES = 3
COLUMNS = (
    "bill",
    right("quantity"),
    Column(drop=2),
    right("price", drop=1),
    right("dollars"),
    right("share"),
    Column("explain with", drop=3),
)


def bill(plan: Plan, view: View) -> list[Line]:
    """The largest lines, the rest in one row, the total, and what an outcome costs."""
    priced = sorted((bill_line for bill_line in plan.lines if bill_line.usd is not None), key=lambda x: -(x.usd or 0))
    total = total_usd(priced)
    shown = priced if view.verbose or len(priced) == SHOWN_LINES + 1 else priced[:SHOWN_LINES]
    rows = [_row(bill_line, total, many=len(plan.stages) > 1) for bill_line in shown]
    rest = priced[len(shown) :]
    if rest:
        amount = total_usd(rest)
        name = cell(f"{len(rest)} more lines", Style.DIM)
        rows.append([name, "", "", "", exact_usd(amount), _share(amount, total), ""])
    if rows:
        name = cell("total of what has a price" if plan.at_least else "total", Style.DIM)
        rows.append([name, "", "", "", cell(exact_usd(total), Style.STRONG), "", "usd"])
    columns = COLUMNS if view.verbose else COLUMNS[:-1]
    lines = draw(columns, [row[: len(columns)] for row in rows], view.cells)
    each = [line(outcome_text(plan, outcome)) for outcome in plan.economics]
    return lines + (labelled_parts("that is", each, view.cells) if each else [])


def outcome_text(plan: Plan, outcome: UnitCost) -> str:
    """`$18.57 per 1,000 rewarded samples`, without the stage's name where there is but one stage."""
    name = outcome.name.removeprefix(f"{plan.stages[0].name}: ") if len(plan.stages) == 1 else outcome.name
    if "per " in name:
        return f"{usd(outcome.usd)} {name}"
    return f"{name} at {usd(outcome.usd)}"


def total_usd(lines: Sequence[BillLine]) -> float:
    """Sum of the lines that have a price."""
    return sum(bill_line.usd for bill_line in lines if bill_line.usd is not None)


def _share(amount: float, total: float) -> str:
    return percent(amount / total) if total else ""


def _row(bill_line: BillLine, total: float, *, many: bool) -> list[Cell]:
    return [
        f"{bill_line.stage}: {bill_line.name}" if many else bill_line.name,
        number(bill_line.quantity),
        bill_line.unit,
        unit_price(bill_line.usd_per_unit),
        exact_usd(bill_line.usd),
        _share(bill_line.usd or 0.0, total),
        cell(bill_line.id, Style.DIM),
    ]


def unpriced(plan: Plan, view: View) -> list[Line]:
    """What the total leaves out, with the reason."""
    lines: list[Line] = []
    for item in plan.unpriced:
        label = "" if lines else "no price"
        lines += labelled(label, line(Span(item.name, Style.WARN), f": {item.why}"), view.cells, Style.WARN)
    return lines


SHOWN_MOVERS = 3
SHOWN_NARROW = 2
OPTION_COLUMNS = (
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
    return draw(OPTION_COLUMNS, [_alternative(other, plan, unit) for other in plan.alternatives], view.cells)


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


def _mover(mover: Sensitivity, plan: Plan, span: tuple[float, float], cells: int) -> list[Cell]:
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


def footer(plan: Plan, view: View) -> list[Line]:
    """Assumptions and rejections with the way to list them, and the other things that a plan can do."""
    rejected = sum(rejection.count for rejection in plan.rejections)
    counted = "; ".join(
        (
            count(len(plan.assumptions), "assumption"),
            count(plan.candidates, "candidate"),
            f"{rejected:,} offers and layouts rejected",
        )
    )
    explain = line(Span(f"{view.command} --explain", Style.COMMAND))
    lines = labelled_parts("based on", [line(counted), explain], view.cells)
    other = next((option.number for option in plan.alternatives if option.number != plan.frontier_chosen), None)
    flags = ["--explain usd", *([f"--pick {other}"] if other else []), "--what-if KEY=VALUE", "--compare FILE"]
    flags += ["--plot FOLDER", "--out plan.json"] + ([] if view.verbose else ["--verbose"])
    return lines + labelled_parts("next", [line(Span(flag, Style.COMMAND)) for flag in flags], view.cells)
