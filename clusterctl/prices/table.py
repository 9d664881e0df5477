"""Rows as a table for people: a ruled table on a terminal, plain aligned columns in a pipe."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clusterctl.console import Terminal

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.  It is left out when the terminal is narrower than `from_columns`.

    Numbers (`right`) and `keep` columns are never cut; of the others a `fold` column wraps, the rest end in `…`.
    """

    title: str
    right: bool = False
    from_columns: int = 0
    fold: bool = False
    keep: bool = False


def draw(columns: Sequence[Column], rows: Iterable[Sequence[str]], terminal: Terminal) -> str:
    """The table as text, no wider than the terminal; colours only if the terminal wants them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = list(rows)
    shown = [index for index, column in enumerate(columns) if terminal.columns >= column.from_columns]
    table = Table(box=box.SIMPLE_HEAD if terminal.interactive else None, pad_edge=False, header_style="bold")
    for index in shown:
        column = columns[index]
        table.add_column(
            column.title,
            min_width=_width(column.title, cells, index) if column.right or column.keep else None,
            justify="right" if column.right else "left",
            overflow="fold" if column.fold else "ellipsis",
            no_wrap=not column.fold,
        )
    for row in cells:
        table.add_row(*(Text(row[index], style="dim" if row[index] == UNKNOWN else "") for index in shown))
    out = io.StringIO()
    console = Console(
        file=out,
        width=terminal.columns,
        force_terminal=terminal.colour,
        no_color=not terminal.colour,
        color_system="standard" if terminal.colour else None,
        legacy_windows=False,
    )
    console.print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _width(title: str, cells: Sequence[Sequence[str]], index: int) -> int:
    return max(len(title), *(len(row[index]) for row in cells)) if cells else len(title)


def dollars(usd: float | None) -> str:
    """`$3.93`, `$0.0384`, `unknown`: three significant digits at least, no more than four decimals."""
    if usd is None:
        return UNKNOWN
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:,.4f}"


def age(days: int | None) -> str:
    """`12 d`, `19 mo`, `unknown`."""
    if days is None:
        return UNKNOWN
    return f"{days} d" if days < 90 else f"{days / 30.44:.0f} mo"


def number(value: float | None) -> str:
    """A count or size without needless decimals; `-` for what a machine doesn't have."""
    return "-" if value is None else f"{value:,.3g}" if value != int(value) else f"{int(value):,}"


def sparkline(values: Sequence[float]) -> str:
    """One character per value, lowest to highest."""
    low, high = min(values), max(values)
    if high == low:
        return "▄" * len(values)
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) / (high - low) * 7)] for value in values)
