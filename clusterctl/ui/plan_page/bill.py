"""Where the dollars go: the bill's largest lines, the cost of an outcome, and what has no price."""

from __future__ import annotations

from collections.abc import Sequence

from clusterctl.ui.formats import count, exact_usd, least_usd, number, percent, unit_price
from clusterctl.ui.plan_page.context import PageContext, labelled
from clusterctl.ui.spans import Line, Span, Style, line
from clusterctl.ui.table import Cell, Column, cell, draw, right
from planners.plan.plan_rows import UnitCost
from planners.plan.value import Line as BillLine
from planners.plan.value import Plan

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


def bill(plan: Plan, page: PageContext) -> list[Line]:
    """The largest lines, the rest in one row, the total, and what an outcome costs."""
    priced = sorted((bill_line for bill_line in plan.lines if bill_line.usd is not None), key=lambda x: -(x.usd or 0))
    total = total_usd(priced)
    shown = priced if page.verbose or len(priced) == SHOWN_LINES + 1 else priced[:SHOWN_LINES]
    rows = [_row(bill_line, total, many=len(plan.stages) > 1) for bill_line in shown]
    rest = priced[len(shown) :]
    if rest:
        amount = total_usd(rest)
        name = cell(count(len(rest), "more line"), Style.DIM)
        rows.append([name, "", "", "", exact_usd(amount), _share(amount, total), ""])
    if rows:
        name = cell("total of priced lines" if plan.at_least else "total", Style.DIM)
        rows.append([name, "", "", "", cell(exact_usd(total), Style.STRONG), "", "usd"])
    lines = draw(COLUMNS, rows, page.cells, hide=() if page.verbose else {"explain with"})
    each = [line(outcome_text(plan, outcome)) for outcome in plan.economics]
    return lines + labelled("unit cost", each, page.cells)


def outcome_text(plan: Plan, outcome: UnitCost) -> str:
    """`$18.57 per 1,000 rewarded samples`, without the stage's name where there is but one stage."""
    name = outcome.name.removeprefix(f"{plan.stages[0].name}: ") if len(plan.stages) == 1 else outcome.name
    cost = least_usd(outcome.usd, at_least=outcome.at_least)
    return f"{cost} {name}" if "per " in name else f"{name} at {cost}"


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


def unpriced(plan: Plan, page: PageContext) -> list[Line]:
    """What the total leaves out, with the reason."""
    lines: list[Line] = []
    for item in plan.unpriced:
        label = "" if lines else "unpriced"
        lines += labelled(label, [line(Span(item.name, Style.WARN), f": {item.why}")], page.cells, Style.WARN)
    return lines
