"""What the terminal can show: width, colour, and the lines that are drawn over: progress, `status --watch`.

Every drawing function takes a `Terminal`, so that tests draw for any width without a terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from clusterctl.errors import SpecError
from clusterctl.ui.streams import draw, printable

MIN_COLUMNS = 80
MAX_COLUMNS = 200
PIPED_COLUMNS = 100
"""Width when nobody watches and COLUMNS says nothing: fits a code block in a pull request."""

PROGRESS_AFTER_SECONDS = 2.0
"""Work that is done sooner shows no progress line."""
REDRAW_SECONDS = 0.1
BAR_COLUMNS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    columns: int
    """Between MIN_COLUMNS and MAX_COLUMNS, whatever the window's real width."""
    colour: bool
    interactive: bool
    """A person watches: progress lines and questions make sense."""


def terminal(stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> Terminal:
    """What `stream` (stdout if None) can show, by the environment's own wishes first.

    Colour: NO_COLOR forbids it (unless empty), FORCE_COLOR asks for it, else it needs a terminal that isn't "dumb".
    Width: COLUMNS, then the window, then PIPED_COLUMNS.
    """
    stream = sys.stdout if stream is None else stream
    environ = os.environ if environ is None else environ
    interactive = stream.isatty() and environ.get("TERM") != "dumb"
    colour = not environ.get("NO_COLOR") and (bool(environ.get("FORCE_COLOR")) or interactive)
    return Terminal(columns=_columns(stream, environ), colour=colour, interactive=interactive)


def _columns(stream: TextIO, environ: Mapping[str, str]) -> int:
    asked = environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked) > 0:
        columns = int(asked)
    elif stream.isatty():
        columns = shutil.get_terminal_size((PIPED_COLUMNS, 24)).columns
    else:
        columns = PIPED_COLUMNS
    return min(max(columns, MIN_COLUMNS), MAX_COLUMNS)


def ask(question: str, *, yes: bool) -> bool:
    """Whether the person agrees; `yes` answers for them.  Raises SpecError where nobody is there to ask."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise SpecError("cannot ask: stdin is not a terminal", hint="pass --yes to go on without asking")
    import typer

    signal.siginterrupt(signal.SIGINT, True)  # polars has it restart what it interrupts: Ctrl-C would wait for Enter
    return typer.confirm(question, default=False, err=True)


class Redrawn:
    """A text that is shown again and again in its own place: written over, line by line, so that nothing flickers.

    Where nobody watches, each text that differs from the last is printed below it.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._num_lines, self._text = 0, ""

    def show(self, text: str) -> None:
        """The text, whose foreign parts are printable, in place of the last one."""
        if not terminal(self._stream).interactive:
            if text != self._text:
                draw(self._stream, f"{text}\n")
        else:
            window = shutil.get_terminal_size()
            lines = [_cut(line, window.columns) for line in text.split("\n")[: window.lines - 1]]
            up = f"\x1b[{self._num_lines}A" if self._num_lines else ""
            draw(self._stream, f"\r{up}" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
            self._num_lines = len(lines)
        self._text = text
        self._stream.flush()


def _cut(line: str, columns: int) -> str:
    """The line without what would wrap.  A coloured line that is too long loses its colour."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", line)
    return line if len(plain) <= columns else plain[:columns]


@contextmanager
def progress(
    label: str, total: int, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], None]]:
    """Yield `advance(count)`; after two seconds it keeps one line on stderr up to date, if a person watches.

    >>> with progress("reading AWS prices", total=34) as advance:
    ...     advance(1)
    """
    stream = sys.stderr if stream is None else stream
    watched = terminal(stream).interactive
    started = drawn_at = clock()
    done = 0

    def advance(count: int = 1) -> None:
        nonlocal done, drawn_at
        done += count
        now = clock()
        if watched and now - started >= PROGRESS_AFTER_SECONDS and now - drawn_at >= REDRAW_SECONDS:
            drawn_at = now
            draw(stream, f"\r\x1b[K{_progress_line(printable(label), done, total, now - started)}")
            stream.flush()

    try:
        yield advance
    finally:
        if drawn_at != started:
            draw(stream, "\r\x1b[K")
            stream.flush()


def _progress_line(label: str, done: int, total: int, seconds: float) -> str:
    share = min(done / total, 1.0) if total else 0.0
    bar = ("█" * round(share * BAR_COLUMNS)).ljust(BAR_COLUMNS, "░")
    left = f", {seconds * (1 - share) / share:.0f} s left" if share > 0 else ""
    return f"{label} {bar} {done}/{total} ({seconds:.0f} s{left})"
