"""Two plans side by side for people: what changed in the spec, what that does to hours, dollars, phases and bill."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clusterctl.ui import formats
from clusterctl.ui.difference import Difference, Row
from clusterctl.ui.plan_page.context import labelled
from clusterctl.ui.spans import Line, Span, Style, better, line, paint, stacked, wrap
from clusterctl.ui.table import Cell, Column, cell, draw, right
from clusterctl.ui.terminal import Terminal
from planners.plan.value import Plan

SHOWN_ROWS = 8
"""Phases and bill lines that differ most; `verbose` shows all, also the equal ones."""
SHOWN_FIELDS = 12
ABSENT = "none"


def render_differences(found: Sequence[Difference], terminal: Terminal, *, verbose: bool = False) -> str:
    """The last difference in full; if there are several, what each change does alone stands first."""
    alone = [*_each_alone(found, terminal.columns), []] if len(found) > 1 else []
    last, cells = found[-1], terminal.columns
    sections = [_verdict(last, cells), _fields(last, cells, verbose=verbose)]
    for group, title in (("total", "whole run"), ("phase", "seconds per unit"), ("bill", "bill")):
        rows = [row for row in last.rows if row.group == group]
        sections.append(_rows(rows, title, last, cells, verbose=verbose))
    return paint([*alone, *stacked(sections)], colour=terminal.colour)


def _each_alone(found: Sequence[Difference], cells: int) -> list[Line]:
    columns = (
        Column(prose=True),
        right("time"),
        right("dollars"),
        right("Δ$"),
        right("Δtime"),
        Column("fleet", drop=1),
    )
    first = found[0].base
    rows = [[f"{found[0].base_label} as it is", *_figures(first), "", "", cell(first.fleet, Style.DIM)]]
    rows += [_alone(each, f"{each.other_label} alone") for each in found[:-1]]
    rows.append(_alone(found[-1], "all together"))
    return draw(columns, rows, cells, indent=0)


def _figures(plan: Plan) -> list[Cell]:
    return [" ".join(formats.hours_band(plan.hours)), formats.least_usd(plan.usd.p50, at_least=plan.at_least)]


def _alone(found: Difference, name: str) -> list[Cell]:
    money, time = found.usd_change, found.hours_change
    changes = [cell(formats.signed_usd(money), better(money)), cell(formats.signed_hours(time), better(time))]
    return [name, *_figures(found.other), *changes, cell(found.other.fleet, Style.DIM)]


def _verdict(found: Difference, cells: int) -> list[Line]:
    """`what if steps=200: −$7,400 and −15 h against rlcef.yaml`."""
    base, other = found.base, found.other
    money, time = found.usd_change, found.hours_change
    figures = [formats.least_usd(plan.usd.p50, at_least=plan.at_least) for plan in (base, other)]
    known = f" ({' → '.join(figures)})" if set(figures) != {formats.UNKNOWN} else ""
    dollars = f"dollars unknown{known}" if money is None else _said(formats.signed_usd(money), "dollars")
    head = line(
        Span(found.other_label, Style.STRONG),
        " against ",
        Span(found.base_label, Style.STRONG),
        ": ",
        Span(dollars, Style.WARN if money is None else better(money, Style.STRONG)),
        ", ",
        Span(_said(formats.signed_hours(time), "time"), better(time, Style.STRONG)),
    )
    lines = wrap(head, cells, indent=2)
    if not other.feasible:
        text = line(Span("not feasible as specified", Style.BAD), "; compared with the nearest feasible plan")
        lines += labelled("", [text], cells)
    if base.fleet != other.fleet:
        lines += labelled("fleet", [line(base.fleet, " → ", Span(other.fleet, Style.STRONG))], cells)
    return lines + labelled("decides", [line(Span(text, Style.WARN)) for text in other.decided_by], cells)


def _said(change: str, what: str) -> str:
    return f"the same {what}" if change == "=" else change


def _fields(found: Difference, cells: int, *, verbose: bool) -> list[Line]:
    columns = (Column("spec"), *(Column(title, prose=True) for title in found.titles))
    shown = found.fields if verbose else found.fields[:SHOWN_FIELDS]
    lines = draw(columns, [[field, base, cell(other, Style.STRONG)] for field, base, other in shown], cells)
    if len(found.fields) > len(shown):
        more = f"{formats.count(len(found.fields) - len(shown), 'more field')} differ: --verbose"
        lines += [line("  ", Span(more, Style.DIM))]
    return lines


def _rows(rows: Sequence[Row], title: str, found: Difference, cells: int, *, verbose: bool) -> list[Line]:
    """The rows that differ; those of the whole run always, since equal hours are news too."""
    shown = list(rows)
    if not verbose and title != "whole run":
        differing = [row for row in rows if row.differs]
        largest = sorted(differing, key=_size, reverse=True)[:SHOWN_ROWS]
        shown = [row for row in differing if row in largest]
    columns = (Column(title), *(right(number) for number in (*found.titles, "Δ", "Δ%")))
    lines = draw(columns, [_row(row) for row in shown], cells)
    equal = len(rows) - len(shown)
    if lines and equal and not verbose:
        lines += [line("  ", Span(f"{equal} more: --verbose", Style.DIM))]
    return lines


def _size(row: Row) -> float:
    """How much a row matters: what has no price comes first."""
    unknown = any(value is None and not absent for value, absent in zip((row.base, row.other), row.absent, strict=True))
    return math.inf if unknown else abs((row.other or 0.0) - (row.base or 0.0))


def _row(row: Row) -> list[Cell]:
    base, other = sides(row)
    shown: list[Cell] = [row.name, base, cell(other, Style.STRONG)]
    if row.base is None or row.other is None:
        return [*shown, "", ""]
    change = row.other - row.base
    percent = formats.signed_percent(row.other / row.base) if row.base else ""
    return [*shown, cell(_change(row, change), better(change)), percent]


def sides(row: Row) -> tuple[str, str]:
    """Both numbers as text; `none` where a plan has no such phase or line."""
    base = ABSENT if row.absent[0] else _amount(row.base, row)
    other = ABSENT if row.absent[1] else _amount(row.other, row)
    return base, other


def _amount(value: float | None, row: Row) -> str:
    if value is None:
        return formats.UNKNOWN
    if row.unit == "h":
        return _time_unit(row).text(value * 3600)
    if row.unit == "USD":
        return formats.exact_usd(value) if row.group == "bill" else formats.usd(value)
    return f"{formats.usd(value)}/h" if row.unit == "USD/h" else formats.number(value)


def _time_unit(row: Row) -> formats.DurationUnit:
    """One unit for both sides: that of the shorter time."""
    return formats.duration_unit(min(row.base or 0.0, row.other or 0.0) * 3600)


def _change(row: Row, change: float) -> str:
    if not row.differs:
        return "="
    if row.unit == "h":
        return formats.signed(_time_unit(row).text(abs(change) * 3600), change)
    if row.unit in ("USD", "USD/h"):
        return formats.signed_usd(change)
    return formats.signed(formats.number(abs(change)), change)
