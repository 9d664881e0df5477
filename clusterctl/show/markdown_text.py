"""Markdown that survives foreign text: escaped cells, tables, folded blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from clusterctl.show.spans import clean

MAX_CELL = 200
"""Longer cells are cut in the middle: both ends of a name tell most."""
_ENTITIES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "|": "&#124;",
    "`": "&#96;",
    "*": "&#42;",
    "[": "&#91;",
    "]": "&#93;",
    "@": "&#64;",
    "#": "&#35;",
    "~": "&#126;",
}
_TABLE = str.maketrans(_ENTITIES)
_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Inside a word it is no mark-up."""


def escape(text: str) -> str:
    """Text that shows as itself: no mark-up, no mention of people, no line break."""
    text = clean(text)
    if len(text) > MAX_CELL:
        half = MAX_CELL // 2 - 1
        text = f"{text[:half]}…{text[-half:]}"
    return _UNDERSCORE.sub("&#95;", text.translate(_TABLE))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int]) -> str:
    """A table of ready Markdown cells; `right` are the columns of numbers."""
    rule = ["---:" if index in right else "---" for index in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def folded(summary: str, body: str) -> str:
    """A block that opens on a click."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"
