"""How a page is asked for, and the labelled lines that its sections are made of."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from clusterctl.ui.spans import Line, Span, Style, line_width, wrap


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContext:
    """What the person asked for."""

    source: str
    """The file as typed, for the first line and for commands to copy."""
    cells: int
    verbose: bool = False

    @property
    def command(self) -> str:
        """`clusterctl plan FILE`, ready for a shell."""
        return f"clusterctl plan {shlex.quote(self.source)}"


LABEL_CELLS = 11


def labelled(label: str, parts: list[Line], cells: int, style: Style = Style.DIM) -> list[Line]:
    """`label     part · part`, broken between parts and wrapped under the first; empty without parts."""
    if not parts:
        return []
    first, *rest = parts
    start = [Span("  "), Span(label.ljust(LABEL_CELLS), style), Span(" " if len(label) >= LABEL_CELLS else "")]
    return flow([[*start, *first], *rest], cells, indent=2 + LABEL_CELLS)


def flow(parts: list[Line], cells: int, *, indent: int = 2, separator: str = " · ") -> list[Line]:
    """Parts on one line with a dim separator, broken between parts; a part that is too long alone is wrapped."""
    lines: list[Line] = []
    for part in parts:
        if lines and line_width(lines[-1]) + len(separator) + line_width(part) <= cells:
            lines[-1] += [Span(separator, Style.DIM), *part]
        else:
            lines += wrap([Span(" " * indent), *part] if lines else [*part], cells, indent=indent)
    return lines
