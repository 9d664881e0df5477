"""`--explain`: the arithmetic of one number down to its sources, or what was assumed and rejected."""

from __future__ import annotations

from clusterctl.console import Terminal
from clusterctl.show.page.view import View, labelled
from clusterctl.show.rounding import count
from clusterctl.show.spans import Line, Span, Style, line, paint, stacked
from clusterctl.show.table import Cell, Column, cell, draw, right
from clusterctl.show.terms import OVERVIEW, all_terms
from clusterctl.show.tree import draw_tree
from planners.plan.value import Plan

SHOWN_IDS = 60


def render_explanation(plan: Plan, terminal: Terminal, *, source: str, wanted: str, verbose: bool = False) -> str:
    """The overview for OVERVIEW, else the tree of one id.  Raises SpecError for an unknown id."""
    view = View(source=source, cells=terminal.columns, verbose=verbose)
    if wanted == OVERVIEW:
        lines = stacked([_rejections(plan, view), _assumptions(plan, view), _ids(plan, view)])
    else:
        lines = draw_tree(all_terms(plan), wanted, view.cells, whole=verbose)
    return paint(lines, colour=terminal.colour)


def _rejections(plan: Plan, view: View) -> list[Line]:
    rejected = sum(rejection.count for rejection in plan.rejections)
    head = line(Span(f"{rejected:,} offers and layouts rejected; {count(plan.candidates, 'candidate')}", Style.STRONG))
    rows: list[list[Cell]] = []
    for found in sorted(plan.rejections, key=lambda found: -found.count):
        rows.append([found.rule, f"{found.count:,}", found.reason])
        examples = found.examples if view.verbose else found.examples[:2]
        rows += [["", "", cell(example, Style.DIM)] for example in examples]
    return [head, *draw(("rule", right("rejected"), Column("why, and for example", prose=True)), rows, view.cells)]


def _assumptions(plan: Plan, view: View) -> list[Line]:
    head = line(Span(f"{count(len(plan.assumptions), 'assumption')}, for what the spec leaves open", Style.STRONG))
    columns = [Column(title, prose=True) for title in ("what", "value", "source")]
    rows: list[list[Cell]] = [[found.name, found.value, cell(found.source, Style.DIM)] for found in plan.assumptions]
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
    return [head, *lines]
