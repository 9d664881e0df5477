"""Two plans side by side for people: what changed in the spec, what that does to hours, dollars, phases and bill."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clusterctl.console import Terminal
from clusterctl.show.difference import Difference, Row
from clusterctl.show.page.view import labelled
from clusterctl.show.rounding import (
    UNKNOWN,
    DurationUnit,
    duration_unit,
    exact_usd,
    hours_band,
    number,
    signed,
    signed_hours,
    signed_percent,
    signed_usd,
    usd,
)
from clusterctl.show.spans import Line, Span, Style, line, paint, wrap
from clusterctl.show.table import Column, cell, draw
from planners.plan.value import Plan

SHOWN_ROWS = 8
"""Phases and bill lines that differ most; `verbose` shows all, also the equal ones."""
SHOWN_FIELDS = 12
ABSENT = "none"


def render_difference(found: Difference, terminal: Terminal, *, verbose: bool = False) -> str:
    """The comparison as text."""
    cells = terminal.columns
    lines = _verdict(found, cells)
    sections = [_fields(found, cells, verbose=verbose)]
    for group, title in (("total", "whole run"), ("phase", "seconds per unit"), ("bill", "bill")):
        rows = [row for row in found.rows if row.group == group]
        sections.append(_rows(rows, title, found, cells, verbose=verbose))
    for section in sections:
        lines += [*([[]] if section else []), *section]
    return paint(lines, colour=terminal.colour)


def render_differences(found: Sequence[Difference], terminal: Terminal, *, verbose: bool = False) -> str:
    """The last difference in full; if there are several, what each change does alone stands first."""
    whole = render_difference(found[-1], terminal, verbose=verbose)
    if len(found) == 1:
        return whole
    columns = (
        Column(prose=True),
        Column(title="time", align="right"),
        Column(title="dollars", align="right"),
        Column(title="Δ$", align="right"),
        Column(title="Δtime", align="right"),
        Column(title="fleet", drop=1),
    )
    first = found[0].base
    rows = [[cell(f"{found[0].base_label} as it is"), *_figures(first), [], [], cell(first.fleet, Style.DIM)]]
    rows += [_alone(each, f"{each.other_label} alone") for each in found[:-1]]
    rows.append(_alone(found[-1], "all together"))
    return paint([*draw(columns, rows, terminal.columns, indent=0), []], colour=terminal.colour) + whole


def _figures(plan: Plan) -> list[Line]:
    return [cell(" ".join(hours_band(plan.hours))), cell(usd(plan.usd.p50))]


def _alone(found: Difference, name: str) -> list[Line]:
    money, time = found.other.usd.p50 - found.base.usd.p50, found.other.hours.p50 - found.base.hours.p50
    style = Style.GOOD if money < 0 else Style.PLAIN
    changes = [cell(signed_usd(money), style), cell(signed_hours(time), Style.GOOD if time < 0 else Style.PLAIN)]
    return [cell(name), *_figures(found.other), *changes, cell(found.other.fleet, Style.DIM)]


def _verdict(found: Difference, cells: int) -> list[Line]:
    """`what if steps=200: −$7,400 and −15 h against rlcef.yaml`."""
    base, other = found.base, found.other
    money, time = other.usd.p50 - base.usd.p50, other.hours.p50 - base.hours.p50
    priced = " of what has a price" if other.at_least or base.at_least else ""
    head = line(
        Span(found.other_label, Style.STRONG), " against ", Span(found.base_label, Style.STRONG), ": ",
        Span(_said(signed_usd(money), "dollars"), _style(money)), f"{priced}, ",
        Span(_said(signed_hours(time), "time"), _style(time)),
    )  # fmt: skip
    lines = wrap(head, cells, indent=2)
    if not other.feasible:
        text = line(Span("not feasible as asked", Style.BAD), "; compared with the nearest that is")
        lines += labelled("", text, cells)
    if base.fleet != other.fleet:
        lines += labelled("fleet", line(base.fleet, " → ", Span(other.fleet, Style.STRONG)), cells)
    return lines


def _said(change: str, what: str) -> str:
    return f"the same {what}" if change == "=" else change


def _style(change: float) -> Style:
    return Style.GOOD if change < 0 else Style.STRONG


def _fields(found: Difference, cells: int, *, verbose: bool) -> list[Line]:
    columns = (
        Column(title="spec"),
        Column(title=found.titles[0], prose=True),
        Column(title=found.titles[1], prose=True),
    )
    shown = found.fields if verbose else found.fields[:SHOWN_FIELDS]
    rows = [[cell(change.field), cell(change.base), cell(change.other, Style.STRONG)] for change in shown]
    lines = draw(columns, rows, cells)
    if len(found.fields) > len(shown):
        more = f"{len(found.fields) - len(shown)} more fields differ: --verbose"
        lines += [line("  ", Span(more, Style.DIM))]
    return lines


def _rows(rows: Sequence[Row], title: str, found: Difference, cells: int, *, verbose: bool) -> list[Line]:
    """The rows that differ; those of the whole run always, since equal hours are news too."""
    shown = list(rows)
    if not verbose and title != "whole run":
        differing = [row for row in rows if row.differs]
        largest = sorted(differing, key=_size, reverse=True)[:SHOWN_ROWS]
        shown = [row for row in differing if row in largest]
    columns = (
        Column(title=title),
        Column(title=found.titles[0], align="right"),
        Column(title=found.titles[1], align="right"),
        Column(title="Δ", align="right"),
        Column(title="Δ%", align="right"),
    )
    lines = draw(columns, [_row(row) for row in shown], cells)
    equal = len(rows) - len(shown)
    if lines and equal and not verbose:
        lines += [line("  ", Span(f"{equal} more: --verbose", Style.DIM))]
    return lines


def _size(row: Row) -> float:
    """How much a row matters: what has no price comes first."""
    unknown = any(value is None and not absent for value, absent in zip((row.base, row.other), row.absent, strict=True))
    return math.inf if unknown else abs((row.other or 0.0) - (row.base or 0.0))


def _row(row: Row) -> list[Line]:
    both = row.base is not None and row.other is not None
    change = (row.other or 0.0) - (row.base or 0.0)
    ratio = (row.other or 0.0) / row.base if row.base else None
    texts = cell(_change(row, change), Style.GOOD if change < 0 else Style.PLAIN) if both else []
    percent = cell(signed_percent(ratio)) if both and ratio is not None else []
    base, other = sides(row)
    return [cell(row.name), cell(base), cell(other, Style.STRONG), texts, percent]


def sides(row: Row) -> tuple[str, str]:
    """Both numbers as text; `none` where a plan has no such phase or line."""
    base = ABSENT if row.absent[0] else _amount(row.base, row)
    other = ABSENT if row.absent[1] else _amount(row.other, row)
    return base, other


def _amount(value: float | None, row: Row) -> str:
    """A number of a row in its unit."""
    if value is None:
        return UNKNOWN
    if row.unit == "h":
        unit = _time_unit(row)
        return f"{unit.of(value * 3600)} {unit.name}"
    if row.unit == "USD":
        return exact_usd(value) if row.group == "bill" else usd(value)
    if row.unit == "USD/h":
        return f"{usd(value)}/h"
    return number(value)


def _time_unit(row: Row) -> DurationUnit:
    """One unit for both sides: that of the shorter time."""
    return duration_unit(min(row.base or 0.0, row.other or 0.0) * 3600)


def _change(row: Row, change: float) -> str:
    if not row.differs:
        return "="
    if row.unit == "h":
        unit = _time_unit(row)
        return signed(f"{unit.of(abs(change) * 3600)} {unit.name}", change)
    if row.unit in ("USD", "USD/h"):
        return signed_usd(change)
    return signed(number(abs(change)), change)
