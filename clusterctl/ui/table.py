"""The only drawer of tables for terminals: aligned columns that fit.

Optional columns go first, then prose wraps, then text is cut.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import zip_longest
from typing import Literal

from clusterctl.ui.formats import UNKNOWN
from clusterctl.ui.spans import Line, Span, Style, clip, line_width, paint, wrap
from clusterctl.ui.terminal import Terminal

GAP = 2
INDENT = 2
MIN_PROSE = 18
"""Narrowest column of wrapped prose, in cells."""
EASY_PROSE = 34
"""Prose this wide reads well; optional columns stay as long as it has that much."""


Cell = str | Line
"""A plain string, or spans."""


@dataclass(frozen=True, slots=True)
class Column:
    title: str = ""
    _: KW_ONLY
    align: Literal["left", "right"] = "left"
    drop: int = 0
    """0: always shown.  Else columns go, highest first, until the table fits."""
    prose: bool = False
    """Wraps onto further lines when it is too wide."""


def right(title: str = "", *, drop: int = 0) -> Column:
    """A column of numbers."""
    return Column(title, align="right", drop=drop)


def draw_text(
    columns: Sequence[Column | str], rows: Sequence[Sequence[Cell]], terminal: Terminal, *, indent: int = 0
) -> str:
    return paint(draw(columns, rows, terminal.columns, indent=indent), colour=terminal.colour)


def draw(
    columns_or_titles: Sequence[Column | str],
    rows: Sequence[Sequence[Cell]],
    cells: int,
    *,
    indent: int = INDENT,
    hide: Collection[str] = (),
) -> list[Line]:
    """Header and rows, no wider than `cells`.

    hide: titles of columns that are left out.
    No header line if no column has a title.  Empty without rows.  The plain string `unknown` is dim.
    """
    if not rows:
        return []
    columns = [Column(each) if isinstance(each, str) else each for each in columns_or_titles]
    table = [[_styled(each) if isinstance(each, str) else each for each in row] for row in rows]
    if any(column.title for column in columns):
        table.insert(0, [cell(column.title, Style.DIM) for column in columns])
    shown = [index for index, column in enumerate(columns) if not column.title or column.title not in hide]
    widths = [max(line_width(row[index]) for row in table) for index in range(len(columns))]
    wanted = [min(size, EASY_PROSE) if column.prose else size for size, column in zip(widths, columns, strict=True)]
    while _total(wanted, shown, indent) > cells:
        droppable = [index for index in shown if columns[index].drop]
        if not droppable:
            break
        shown.remove(max(droppable, key=lambda index: columns[index].drop))
    _narrow(columns, widths, shown, cells - indent)
    return [line for row in table for line in _row(columns, widths, shown, row, indent)]


def _styled(text: str) -> Line:
    return cell(text, Style.DIM if text == UNKNOWN else Style.PLAIN)


def _total(widths: Sequence[int], shown: Sequence[int], indent: int) -> int:
    return indent + sum(widths[index] for index in shown) + GAP * (len(shown) - 1)


def _narrow(columns: Sequence[Column], widths: list[int], shown: Sequence[int], cells: int) -> None:
    """Take the excess from the widest prose columns, then from the widest left-aligned ones.  Changes `widths`."""
    excess = _total(widths, shown, 0) - cells
    prose = [index for index in shown if columns[index].prose]
    left = [index for index in shown if columns[index].align == "left"]
    for narrowed, least in ((prose, MIN_PROSE), (left, 4)):
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
    for pieces in zip_longest(*parts, fillvalue=list[Span]()):
        out: Line = [Span(" " * indent)] if indent else []
        for index, piece in zip(shown, pieces, strict=True):
            gap = [Span(" " * GAP)] if index != shown[0] else []
            padding = Span(" " * (widths[index] - line_width(piece)))
            out += [*gap, padding, *piece] if columns[index].align == "right" else [*gap, *piece, padding]
        lines.append(out)
    return lines


def cell(text: str, style: Style = Style.PLAIN) -> Line:
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
