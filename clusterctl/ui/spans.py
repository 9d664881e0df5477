"""Text with meaning: a line is spans, a span is text and why it stands out.  Colour is added last, or not at all.

Widths are terminal cells: wide characters count two, combining ones none.  Control characters of foreign text never
reach a terminal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from clusterctl.ui.streams import printable


class Style(Enum):
    """Why a span stands out; the value is its SGR code.  Nothing is said by colour alone."""

    PLAIN = ""
    STRONG = "1"
    DIM = "2"
    GOOD = "32"
    """Better than the choice, calibrated."""
    WARN = "33"
    """Look at this: money lost, old, uncalibrated, incomplete."""
    BAD = "1;31"
    """Cannot be had, or over a limit."""
    COMMAND = "36"
    """Can be typed."""
    GPU_TIME = "34"
    SANDBOX_TIME = "35"


class Span(NamedTuple):
    text: str
    style: Style = Style.PLAIN


Line = list[Span]


def better(change: float | None, otherwise: Style = Style.PLAIN) -> Style:
    """Of a number that changes: less is better; nobody knows of an unknown one."""
    return Style.GOOD if change is not None and change < 0 else otherwise


def stacked(sections: Iterable[list[Line]]) -> list[Line]:
    """Sections with an empty line between them; those with nothing to say don't appear."""
    lines: list[Line] = []
    for section in sections:
        lines += [*([[]] if lines and section else []), *section]
    return lines


def line(*parts: str | Span) -> Line:
    return [part if isinstance(part, Span) else Span(part) for part in parts]


def clean(text: str) -> str:
    """Foreign text as a part of one line: a name must not move the cursor or colour the page."""
    return text if text.isprintable() else printable(text).replace("\n", " ").replace("\t", " ")


def width(text: str) -> int:
    """Cells that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def line_width(spans: Line) -> int:
    return sum(width(span.text) for span in spans)


def clip(spans: Line, cells: int) -> Line:
    """The line cut to `cells`, with `…` where something is missing."""
    if line_width(spans) <= cells:
        return spans
    kept: Line = []
    room = cells - 1
    for span in spans:
        text = ""
        for character in span.text:
            if width(character) > room:
                return [*kept, Span(text.rstrip() + "…", span.style)]
            text += character
            room -= width(character)
        kept.append(Span(text, span.style))
    return kept


def wrap(spans: Line, cells: int, indent: int = 0) -> list[Line]:
    """The line broken at spaces into lines of at most `cells`; all but the first begin with `indent` spaces.

    A word that is longer than a line is broken where the line ends: no character of a source is lost.
    """
    if line_width(spans) <= cells:
        return [spans]
    lines: list[Line] = [[]]
    used = 0
    for word, style in _words(spans, max(cells - indent, 1)):
        size = width(word)
        if used and used + size > cells and word.strip():
            lines.append([Span(" " * indent)] if indent else [])
            used = indent
        if not word.strip() and ((len(lines) > 1 and used == indent) or used + size > cells):
            continue  # no spaces at the beginning of a continued line, nor beyond the end
        lines[-1].append(Span(word, style))
        used += size
    return lines


def _words(spans: Line, longest: int) -> list[tuple[str, Style]]:
    """Words and the spaces between them, no word longer than `longest`.  Two styles in a word make it two words."""
    words: list[tuple[str, Style]] = []
    for span in spans:
        for index, word in enumerate(span.text.split(" ")):
            if index:
                words.append((" ", span.style))
            step = longest if word.isascii() else max(longest // 2, 1)  # wide characters take two cells
            words += [(word[start : start + step], span.style) for start in range(0, len(word), step)]
    return words


def paint(lines: list[Line], *, colour: bool) -> str:
    """The lines as text, without spaces at their ends; escape codes only with `colour`."""
    return "\n".join(_painted(spans, colour=colour) for spans in lines) + "\n"


def _painted(spans: Line, *, colour: bool) -> str:
    texts = [clean(span.text) for span in spans]
    while texts and not texts[-1].strip():
        texts.pop()
    texts[-1:] = [text.rstrip() for text in texts[-1:]]
    codes = [span.style.value if colour and text.strip() else "" for span, text in zip(spans, texts, strict=False)]
    return "".join(f"\x1b[{code}m{text}\x1b[0m" if code else text for code, text in zip(codes, texts, strict=True))
