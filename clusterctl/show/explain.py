"""`--explain`: the arithmetic of one number down to its sources, or what was assumed and rejected."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from clusterctl.errors import SpecError
from clusterctl.show.page.view import View, labelled
from clusterctl.show.rounding import UNKNOWN, count, number, unit_price
from clusterctl.show.spans import Line, Span, Style, line, line_width, paint, wrap
from clusterctl.show.table import Column, cell, draw
from clusterctl.show.terms import OVERVIEW, all_terms

if TYPE_CHECKING:
    from clusterctl.console import Terminal
    from planners.plan.value import Plan, Rejection, Term

SHOWN_IDS = 60
MAX_TREE_LINES = 2_000
"""A tree longer than this says so and ends: terms that share inputs could unfold without bound."""


def render_explanation(plan: Plan, terminal: Terminal, *, source: str, wanted: str, verbose: bool = False) -> str:
    """The overview for OVERVIEW, else the tree of one id.  Raises SpecError for an unknown id."""
    view = View(source=source, cells=terminal.columns, verbose=verbose)
    lines = _overview(plan, view) if wanted == OVERVIEW else explain_term(plan, wanted, view.cells)
    return paint(lines, colour=terminal.colour)


def explain_term(plan: Plan, wanted: str, cells: int) -> list[Line]:
    """The tree of one number: value, formula, source, and the numbers that go into it."""
    terms = all_terms(plan)
    if wanted not in terms:
        raise _unknown(wanted, terms)
    lines: list[Line] = []
    _grow(terms, wanted, lines, cells=cells, stems=("", ""), seen=set())
    return lines


def _unknown(wanted: str, terms: dict[str, Term]) -> SpecError:
    near = difflib.get_close_matches(wanted, terms, n=3, cutoff=0.4)
    near += [known for known in terms if wanted and wanted in known and known not in near][: 5 - len(near)]
    hint = f"nearest: {', '.join(f'`{known}`' for known in near)}; " if near else ""
    return SpecError(f"no number of this plan has the id `{wanted[:80]}`", hint=f"{hint}`--explain` alone lists all")


def _grow(
    terms: dict[str, Term], wanted: str, lines: list[Line], *, cells: int, stems: tuple[str, str], seen: set[str]
) -> None:
    """Add the lines of one term and of what it is made of.  `stems`: what its first and further lines begin with."""
    first, further = stems
    term = terms.get(wanted)
    if term is None:
        lines.append(line(Span(first, Style.DIM), wanted, Span(" has no term of its own", Style.DIM)))
        return
    if len(lines) > MAX_TREE_LINES:
        return
    again = wanted in seen and (term.inputs or term.formula)
    seen.add(wanted)
    lines += _term_lines(term, cells, first, further, again=bool(again))
    if again:
        return
    inputs = list(term.inputs)
    for index, inner in enumerate(inputs):
        last = index == len(inputs) - 1
        stem = (further + ("└─ " if last else "├─ "), further + ("   " if last else "│  "))
        _grow(terms, inner, lines, cells=cells, stems=stem, seen=seen)


def _term_lines(term: Term, cells: int, first: str, further: str, *, again: bool) -> list[Line]:
    """`usd  $15,437  dollars of the run`, then `= formula`, then `source`."""
    head = line(Span(first, Style.DIM), Span(term.label), "  ", Span(value_text(term), Style.STRONG))
    head += line("  ", Span(term.id, Style.COMMAND))
    if again:
        return [[*head, Span("  as above", Style.DIM)]]
    lines = [head]
    stem = further + ("│  " if term.inputs else "   ")
    for mark, text, style in (("= ", term.formula, Style.PLAIN), ("from ", term.source, Style.DIM)):
        if text:
            spans = line(Span(stem, Style.DIM), Span(mark, Style.DIM), Span(text, style))
            lines += _hanging(spans, cells, stem)
    return lines


def _hanging(spans: Line, cells: int, stem: str) -> list[Line]:
    """Wrap with the tree's stem before each further line."""
    first, *rest = wrap(spans, cells, indent=len(stem) + 2)
    return [first, *([Span(stem + "  ", Style.DIM), *part[1:]] for part in rest)]


def value_text(term: Term) -> str:
    """The value with its unit: dollars as `$15,437.20`, prices as `$55.04/node-hour`, others as `139 s`."""
    if term.value is None:
        return UNKNOWN
    if isinstance(term.value, str):
        return f"{term.value} {term.unit}".strip()
    unit = term.unit.strip()
    if unit == "USD":
        return f"${term.value:,.2f}" if abs(term.value) >= 1 else unit_price(term.value)
    if unit.startswith(("USD/", "USD per ")):
        return f"{unit_price(term.value)}{unit[3:].replace(' per ', '/')}"
    return f"{number(term.value, 4)} {unit}".strip()


def _overview(plan: Plan, view: View) -> list[Line]:
    sections = [_rejections(plan, view), _assumptions(plan, view), _ids(plan, view)]
    lines: list[Line] = []
    for section in sections:
        lines += [*([[]] if lines and section else []), *section]
    return lines


def _rejections(plan: Plan, view: View) -> list[Line]:
    rejected = sum(rejection.count for rejection in plan.rejections)
    head = line(Span(f"{rejected:,} of {count(plan.candidates, 'candidate')} rejected", Style.STRONG))
    columns = (
        Column(title="rule"),
        Column(title="rejected", align="right"),
        Column(title="why, and for example", prose=True),
    )
    rows: list[list[Line]] = []
    for rejection in sorted(plan.rejections, key=lambda found: -found.count):
        rows.append([cell(rejection.rule), cell(f"{rejection.count:,}"), cell(rejection.reason)])
        rows += [[[], [], cell(example, Style.DIM)] for example in _examples(rejection, view)]
    return [head, *draw(columns, rows, view.cells)]


def _examples(rejection: Rejection, view: View) -> tuple[str, ...]:
    return rejection.examples if view.verbose else rejection.examples[:2]


def _assumptions(plan: Plan, view: View) -> list[Line]:
    head = line(Span(f"{count(len(plan.assumptions), 'assumption')}, for what the spec leaves open", Style.STRONG))
    columns = (Column(title="what"), Column(title="value"), Column(title="source", prose=True))
    rows = [[cell(found.name), cell(found.value), cell(found.source, Style.DIM)] for found in plan.assumptions]
    return [head, *draw(columns, rows, view.cells)] if rows else []


def _ids(plan: Plan, view: View) -> list[Line]:
    terms = all_terms(plan)
    command = Span(f"{view.command} --explain ID", Style.COMMAND)
    head = line(Span("numbers that can be explained: ", Style.STRONG), command)
    shown = list(terms) if view.verbose else list(terms)[:SHOWN_IDS]
    width = max((len(known) for known in shown), default=0) + 2
    per_line = max((view.cells - 2) // width, 1)
    lines = [
        line("  ", *(Span(known.ljust(width)) for known in shown[start : start + per_line]))
        for start in range(0, len(shown), per_line)
    ]
    if len(terms) > len(shown):
        lines += labelled("", line(Span(f"and {len(terms) - len(shown):,} more: --verbose", Style.DIM)), view.cells)
    return [head, *[part for part in lines if line_width(part) > 2]]
