"""`--explain`: the arithmetic of one number down to its sources, or what was assumed and rejected.

The arithmetic of one number as a tree: value, formula, source, then the numbers that go into it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from clusterctl.errors import SpecError
from clusterctl.ui.formats import UNKNOWN, count, number, unit_price, usd
from clusterctl.ui.plan_page.context import PageContext, labelled
from clusterctl.ui.spans import Line, Span, Style, line, paint, stacked, wrap
from clusterctl.ui.table import Cell, Column, cell, draw, right
from clusterctl.ui.terminal import Terminal
from planners.plan.plan_rows import Term
from planners.plan.value import Plan

SHOWN_IDS = 60


def render_explanation(
    plan: Plan, terminal: Terminal, *, source: str, wanted: str | None = None, verbose: bool = False
) -> str:
    """The tree of the id `wanted`, else the overview.  Raises SpecError for an unknown id."""
    page = PageContext(source=source, cells=terminal.columns, verbose=verbose)
    if wanted is None:
        lines = stacked([_rejections(plan, page), _assumptions(plan, page), _ids(plan, page)])
    else:
        lines = draw_tree(plan.terms, wanted, page.cells, whole=verbose)
    return paint(lines, colour=terminal.colour)


def _rejections(plan: Plan, page: PageContext) -> list[Line]:
    rejected = sum(rejection.count for rejection in plan.rejections)
    head = line(Span(f"{rejected:,} offers and layouts rejected; {count(plan.candidates, 'candidate')}", Style.STRONG))
    rows: list[list[Cell]] = []
    for found in sorted(plan.rejections, key=lambda found: -found.count):
        rows.append([found.rule, f"{found.count:,}", found.reason])
        examples = found.examples if page.verbose else found.examples[:2]
        rows += [["", "", cell(example, Style.DIM)] for example in examples]
    return [head, *draw(("rule", right("rejected"), Column("why, and for example", prose=True)), rows, page.cells)]


def _assumptions(plan: Plan, page: PageContext) -> list[Line]:
    head = line(Span(f"{count(len(plan.assumptions), 'assumption')}, for what the spec leaves open", Style.STRONG))
    columns = [Column(title, prose=True) for title in ("what", "value", "source")]
    rows: list[list[Cell]] = [[found.name, found.value, cell(found.source, Style.DIM)] for found in plan.assumptions]
    return [head, *draw(columns, rows, page.cells)] if rows else []


def _ids(plan: Plan, page: PageContext) -> list[Line]:
    terms = plan.terms
    command = Span(f"{page.command} --explain ID", Style.COMMAND)
    head = line(Span("numbers that can be explained: ", Style.STRONG), command)
    shown = list(terms) if page.verbose else list(terms)[:SHOWN_IDS]
    width = max((len(known) for known in shown), default=0) + 2
    per_line = max((page.cells - 2) // width, 1)
    lines = [
        line("  ", *(Span(known.ljust(width)) for known in shown[start : start + per_line]))
        for start in range(0, len(shown), per_line)
    ]
    if len(terms) > len(shown):
        lines += labelled("", [line(Span(f"and {len(terms) - len(shown):,} more: --verbose", Style.DIM))], page.cells)
    return [head, *lines]


PAGE_LINES = 60
"""A longer tree is cut where it still fits, unless all of it is asked for."""
MAX_DEPTH = 40
TRIED_DEPTH = 8
MAX_LINES = 5_000
"""Bounds against a file whose terms form an endless tree."""


def draw_tree(terms: Mapping[str, Term], wanted: str, cells: int, *, whole: bool = False) -> list[Line]:
    """The tree of `wanted`; not `whole`: its trunk, then its branches as deep as PAGE_LINES allow.

    Raises SpecError for an unknown id, with the nearest.
    """
    if wanted not in terms:
        raise _unknown(wanted, terms)
    full = _Tree(terms, cells, MAX_DEPTH, MAX_DEPTH).drawn(wanted)
    if whole or len(full) <= PAGE_LINES:
        return full
    shown: list[Line] = []
    for branches in range(1, TRIED_DEPTH):
        for trunk in range(branches, branches + TRIED_DEPTH):
            deeper = _Tree(terms, cells, branches, trunk).drawn(wanted)
            if not shown or len(shown) < len(deeper) <= PAGE_LINES:
                shown = deeper
    more = f"all {len(full):,} lines: --verbose; or --explain an id that is shown here"
    return [*shown, line(Span(more, Style.DIM))]


def _unknown(wanted: str, terms: Mapping[str, Term]) -> SpecError:
    near = difflib.get_close_matches(wanted, terms, n=3, cutoff=0.4)
    near += [known for known in terms if wanted and wanted in known and known not in near][: 5 - len(near)]
    hint = f"nearest: {', '.join(f'`{known}`' for known in near)}; " if near else ""
    return SpecError(f"no number of this plan has the id `{wanted[:80]}`", hint=f"{hint}`--explain` alone lists all")


@dataclass(slots=True)
class _Tree:
    """One drawing: what is drawn already is named again, not unfolded again."""

    terms: Mapping[str, Term]
    cells: int
    depth: int
    """Levels of every branch."""
    trunk: int
    """Levels of the trunk: from the root always to the input that matters most."""
    lines: list[Line] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def drawn(self, wanted: str) -> list[Line]:
        self._grow(wanted, ("", ""), 0, self.trunk)
        return self.lines

    def _grow(self, wanted: str, stems: tuple[str, str], level: int, depth: int) -> None:
        """Add a term and what it is made of.  `stems`: what its first and its other lines begin with."""
        first, further = stems
        if len(self.lines) > MAX_LINES:
            return
        term = self.terms.get(wanted)
        if term is None:
            self.lines.append(line(Span(first, Style.DIM), wanted, Span("  is not explained further", Style.DIM)))
            return
        again = wanted in self.seen
        self.seen.add(wanted)
        cut = bool(term.inputs) and level >= depth
        note = "  as above" if again else f"  from {len(term.inputs)} more" if cut else ""
        head = line(Span(first, Style.DIM), term.label, "  ", Span(value_text(term), Style.STRONG))
        self.lines.append([*head, Span("  "), Span(term.id, Style.COMMAND), Span(note, Style.DIM)])
        if again:
            return
        self._reasons(term, further + ("   " if cut or not term.inputs else "│  "))
        if cut:
            return
        heaviest = self._heaviest(term) if depth == self.trunk else None
        for index, inner in enumerate(term.inputs):
            marks = ("└─ ", "   ") if index == len(term.inputs) - 1 else ("├─ ", "│  ")
            below = self.trunk if inner == heaviest else self.depth
            self._grow(inner, (further + marks[0], further + marks[1]), level + 1, below)

    def _heaviest(self, term: Term) -> str | None:
        """The largest input of the same unit that has inputs itself, else the first that has."""
        found = [inner for inner in term.inputs if inner in self.terms and self.terms[inner].inputs]
        alike = [inner for inner in found if self.terms[inner].unit == term.unit]
        return max(alike, key=self._size) if alike else next(iter(found), None)

    def _size(self, identity: str) -> float:
        value = self.terms[identity].value
        return value if isinstance(value, float) else 0.0

    def _reasons(self, term: Term, stem: str) -> None:
        """`= formula` and `from source`, wrapped with the tree's stem before each line."""
        for mark, text, style in (("= ", term.formula, Style.PLAIN), ("from ", term.source, Style.DIM)):
            if text:
                spans = line(Span(mark, Style.DIM), Span(text, style))
                parts = wrap(spans, max(self.cells - len(stem), 20), indent=2)
                self.lines += [[Span(stem, Style.DIM), *part] for part in parts]


def value_text(term: Term) -> str:
    """The value with its unit: dollars as `$15,437.20`, prices as `$55.04/node-hour`, others as `139 s`."""
    if term.value is None:
        return UNKNOWN
    if isinstance(term.value, str):
        return f"{term.value} {term.unit}".strip()
    unit = term.unit.strip()
    if unit == "USD":
        return f"${term.value:,.2f}" if abs(term.value) >= 1 else usd(term.value)
    if unit.startswith(("USD/", "USD per ")):
        return f"{unit_price(term.value)}{unit[3:].replace(' per ', '/')}"
    return f"{number(term.value, 4)} {unit}".strip()
