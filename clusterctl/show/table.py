"""Aligned columns that fit: optional columns go first, then prose wraps, then text is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clusterctl.show.spans import Line, Span, Style, clip, line_width, wrap

GAP = 2
INDENT = 2
MIN_PROSE = 18
"""Narrowest column of wrapped prose, in cells."""
EASY_PROSE = 34
"""Prose this wide reads well; optional columns stay as long as it has that much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    title: str = ""
    align: Literal["left", "right"] = "left"
    drop: int = 0
    """0: always shown.  Else columns go, highest first, until the table fits."""
    prose: bool = False
    """Wraps onto further lines when it is too wide."""


def draw(columns: Sequence[Column], rows: Sequence[Sequence[Line]], cells: int, *, indent: int = INDENT) -> list[Line]:
    """Header and rows, no wider than `cells`.  No header line if no column has a title.  Empty without rows."""
    if not rows:
        return []
    header = [[Span(column.title, Style.DIM)] for column in columns]
    titled = any(column.title for column in columns)
    table = [header, *rows] if titled else list(rows)
    shown = list(range(len(columns)))
    widths = [max(line_width(row[index]) for row in table) for index in shown]
    wanted = [min(size, EASY_PROSE) if column.prose else size for size, column in zip(widths, columns, strict=True)]
    while _total(wanted, shown, indent) > cells:
        droppable = [index for index in shown if columns[index].drop]
        if not droppable:
            break
        shown.remove(max(droppable, key=lambda index: columns[index].drop))
    _narrow(columns, widths, shown, cells - indent)
    return [line for row in table for line in _row(columns, widths, shown, row, indent)]


def _total(widths: Sequence[int], shown: Sequence[int], indent: int) -> int:
    return indent + sum(widths[index] for index in shown) + GAP * (len(shown) - 1)


def _narrow(columns: Sequence[Column], widths: list[int], shown: Sequence[int], cells: int) -> None:
    """Take the excess from the widest prose columns, then from the widest left-aligned ones.  Changes `widths`."""
    excess = _total(widths, shown, 0) - cells
    for kind, least in (("prose", MIN_PROSE), ("left", 4)):
        narrowed = [
            index for index in shown if kind == columns[index].align or (kind == "prose" and columns[index].prose)
        ]
        while excess > 0 and any(widths[index] > least for index in narrowed):
            widest = max(narrowed, key=lambda index: widths[index])
            widths[widest] -= 1
            excess -= 1


def _row(
    columns: Sequence[Column], widths: Sequence[int], shown: Sequence[int], row: Sequence[Line], indent: int
) -> list[Line]:
    parts = [
        wrap(row[index], widths[index]) if columns[index].prose else [clip(row[index], widths[index])]
        for index in shown
    ]
    lines: list[Line] = []
    for number in range(max(len(part) for part in parts)):
        out: Line = [Span(" " * indent)] if indent else []
        for position, index in enumerate(shown):
            cell = parts[position][number] if number < len(parts[position]) else []
            padding = Span(" " * (widths[index] - line_width(cell)))
            out += [padding, *cell] if columns[index].align == "right" else [*cell, padding]
            if position < len(shown) - 1:
                out.append(Span(" " * GAP))
        lines.append(out)
    return lines


def cell(text: str, style: Style = Style.PLAIN) -> Line:
    """A table cell of one span."""
    return [Span(text, style)]


_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, cells: int) -> str:
    """A bar of `share` (0..1) of `cells`, in eighths; anything above zero shows."""
    if share <= 0:
        return ""
    eighths = max(round(min(share, 1.0) * cells * 8), 1)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def range_bar(low: float, middle: float, high: float, span: tuple[float, float], cells: int) -> str:
    """`  ━━┃━━━━  `: where low..high lies within `span`, with a mark at `middle`."""
    start, end = span
    scale = (cells - 1) / (end - start) if end > start else 0.0
    first, mark, last = (round((min(max(value, start), end) - start) * scale) for value in (low, middle, high))
    out = [" "] * cells
    out[first : last + 1] = "━" * (last + 1 - first)
    out[mark] = "┃"
    return "".join(out)
