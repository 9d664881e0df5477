"""stdout and stderr of a command: what is written to them can neither control the terminal nor fail on its encoding.

Text that isn't ours (logs, notes, labels, names of files, a provider's words) reaches the terminal only through
`printable`.  All that is written to stdout and stderr passes it, but for what `emit` and `draw` write: there the
foreign parts have passed it already, and the rest is ours, with colours and moves of the cursor.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

from clusterctl.errors import OutputClosed, OutputError

TO_LOOK_AT = re.compile(r"[^\n\t -~]+")
"""All but plain ASCII, which most text is."""

STAND_INS = (
    dict.fromkeys("·–—−─", "-")
    | dict.fromkeys("█▉▊▋▌", "#")
    | dict.fromkeys("▍▎▏░", " ")
    | dict.fromkeys("┃│├", "|")
    | {"×": "x", "…": ".", "━": "=", "└": "`", "▸": ">", "Δ": "d", "±": "~", "→": ">"}
    | {chr(0x2400 + code): "^" for code in range(0x22)}
)
"""ASCII for what our pages are made of, one character for one, so that columns stay."""
ENCODING_ERRORS = "clusterctl.stand_ins"


def printable(text: str) -> str:
    """Foreign text as a terminal may see it, as long as before: `␛` for ESC, `�` for what has no sign of its own.

    Line feeds and tabs stay.
    """
    return TO_LOOK_AT.sub(lambda found: "".join(map(_sign, found[0])), text)


def _sign(character: str) -> str:
    """Itself, unless it is a control character, or takes no room, reorders text or can't be encoded."""
    code = ord(character)
    if character.isprintable():
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return " " if unicodedata.category(character) == "Zs" else "�"


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(STAND_INS.get(each, "?") for each in error.object[error.start : error.end]), error.end


codecs.register_error(ENCODING_ERRORS, _stand_in)


class SafeStream:
    """stdout or stderr while a command runs; stands for the stream that it wraps.

    A failure to write to stdout raises OutputError, or OutputClosed where its reader has gone; stderr is best effort.
    """

    encoding = "utf-8"
    """All text may be written: what the wrapped stream can't encode gets a stand-in."""

    def __init__(self, stream: TextIO, *, required: bool) -> None:
        self._stream, self._required = stream, required
        self._failure: OutputClosed | OutputError | None = None
        """The first; raised again by whatever is written later, should somebody have caught it."""

    def write(self, text: str) -> int:
        """Write text, made printable."""
        return self.draw(printable(text))

    def draw(self, text: str) -> int:
        """Write text as it is, control codes included."""
        encoding = self._stream.encoding or "utf-8"
        self._attempt(lambda: self._stream.write(text.encode(encoding, ENCODING_ERRORS).decode(encoding)))
        return len(text)

    def write_bytes(self, content: bytes) -> None:
        self.flush()
        self._attempt(lambda: self._stream.buffer.write(content))

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, act: Callable[[], object]) -> None:
        if self._failure is None:
            try:
                act()
            except OSError as error:
                self._failure = OutputClosed() if isinstance(error, BrokenPipeError) else OutputError(error)
                # what is still buffered goes nowhere, or the interpreter would complain about it when it ends
                with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
                    os.dup2(nowhere.fileno(), self._stream.fileno())
        if self._failure is not None and self._required:
            raise self._failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def safe_streams() -> Iterator[None]:
    """Have stdout and stderr be SafeStreams."""
    _open_what_is_closed()
    kept = sys.stdout, sys.stderr
    safe = SafeStream(sys.stdout, required=True), SafeStream(sys.stderr, required=False)
    sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", safe)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = kept


def _open_what_is_closed() -> None:
    """Open /dev/null in place of a standard stream that is closed (`>&-`): stdin is empty then, stderr goes nowhere,
    and writing to stdout fails.

    Else the next file that is opened, the ledger say, gets the stream's number, and what is printed is written into it.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free
    sys.stdin = sys.stdin or os.fdopen(0, "r", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False, encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False, encoding="utf-8")


def draw(stream: TextIO, text: str) -> None:
    """Write text whose control codes are ours, and whose foreign parts were made printable."""
    if isinstance(stream, SafeStream):
        stream.draw(text)
    else:
        stream.write(text)


def emit(text: str) -> None:
    """Print a page of `ui.spans.paint`, whose foreign text is printable, with the colours that were asked for."""
    draw(sys.stdout, text)


def emit_data(content: str | bytes, stream: TextIO | None = None) -> None:
    """Print what another program reads to stdout, or `stream`: as it is, in UTF-8 whatever the locale.

    To a terminal it is made printable.
    """
    stream = sys.stdout if stream is None else stream
    if stream.isatty():
        draw(stream, printable(content if isinstance(content, str) else content.decode("utf-8", "replace")))
        return
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if isinstance(stream, SafeStream):
        stream.write_bytes(data)
    else:
        stream.flush()
        stream.buffer.write(data)


def emit_json(text: str) -> None:
    """Print JSON in UTF-8, with what a terminal must not see escaped: the same values."""
    emit_data(TO_LOOK_AT.sub(_escaped, text))


def _escaped(found: re.Match[str]) -> str:
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in found[0])
