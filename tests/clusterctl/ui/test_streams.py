"""What reaches a terminal: foreign text made harmless, every encoding served, a failure to write said once."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.errors import OutputClosed, OutputError
from clusterctl.ui.spans import Span, Style, line, paint
from clusterctl.ui.streams import SafeStream, emit, emit_data, emit_json, printable, safe_streams
from clusterctl.ui.terminal import Redrawn, progress

ATTACK = "\x1b[2J\x1b]0;title\x07\x9b31m\r\u202etxt\x00\x7f"


def stream(encoding: str = "utf-8", errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors, newline="")


def written(to: io.TextIOWrapper) -> str:
    to.flush()
    return to.buffer.getvalue().decode(to.encoding)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – text ×\t5\n", "plain – text ×\t5\n"),
        ("\x1b[31mred", "␛[31mred"),
        ("\r\x08\x00\x7f", "␍␈␀␡"),
        ("\x9b31m", "�31m"),
        ("a\u202eb\u2066c\u200bd\u2028e\ufefff", "a�b�c�d�e�f"),
        ("10\N{NO-BREAK SPACE}000", "10 000"),
        ("file\udcff", "file�"),
    ],
)
def test_what_could_control_the_terminal_is_shown_by_a_sign(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_printable_text_is_harmless_and_as_long_as_before(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert all(each.isprintable() or each in "\n\t" for each in shown)
    assert printable(shown) == shown


@given(st.text(alphabet=st.characters()), st.sampled_from(["ascii", "latin-1", "cp1252", "utf-8", "koi8-r"]))
def test_every_text_can_be_written_to_every_encoding(text: str, encoding: str) -> None:
    to = stream(encoding)
    SafeStream(to, required=True).write(text)
    shown = written(to)
    assert not any(unicodedata.category(each) in {"Cc", "Cf", "Cs"} and each not in "\n\t" for each in shown)


def test_a_page_keeps_its_columns_in_ascii() -> None:
    to = stream("ascii")
    SafeStream(to, required=True).write("4 × p5 · 2–3 d\n███░░ ├─ └─ ≥ ␛[1m…")
    assert written(to) == "4 x p5 - 2-3 d\n###   |- `- ? ^[1m."


def test_our_colours_work_beside_foreign_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    to = stream()
    monkeypatch.setattr(sys, "stdout", SafeStream(to, required=True))
    emit(paint([line("label ", Span(ATTACK, Style.WARN))], colour=True))
    assert written(to) == f"label \x1b[{Style.WARN.value}m␛[2J␛]0;title␇�31m␍�txt␀␡\x1b[0m\n"


def test_lines_that_are_drawn_over_may_move_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    to = stream()
    to.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setenv("TERM", "xterm")
    seconds = iter([0.0, 3.0])
    with progress(
        f"reading {ATTACK}", 2, stream=SafeStream(to, required=False), clock=lambda: next(seconds)
    ) as advance:  # type: ignore[arg-type]
        advance(1)
    assert written(to).startswith("\r\x1b[Kreading ␛[2J")
    Redrawn(SafeStream(to, required=True)).show("one\ntwo")  # type: ignore[arg-type]
    assert written(to).endswith("\r" + "one\x1b[K\ntwo\x1b[K\n\x1b[J")


def test_data_is_exact_but_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, shown in ((False, ATTACK), (True, printable(ATTACK))):
        to = stream("ascii" if not terminal else "utf-8")
        to.isatty = lambda terminal=terminal: terminal  # type: ignore[method-assign, misc]
        monkeypatch.setattr(sys, "stdout", SafeStream(to, required=True))
        emit_data(f"a,{ATTACK}\n")
        to.flush()
        assert to.buffer.getvalue().decode("utf-8") == f"a,{shown}\n"  # type: ignore[attr-defined]


@given(st.text())
def test_json_says_the_same_without_a_control_character(text: str) -> None:
    to, kept = stream(), sys.stdout
    sys.stdout = SafeStream(to, required=True)  # type: ignore[assignment]
    try:
        emit_json(json.dumps({"label": text}, ensure_ascii=False))
    finally:
        sys.stdout = kept
    shown = written(to)
    assert shown.isprintable()
    assert json.loads(shown) == {"label": text}


@pytest.mark.parametrize(("failure", "kind"), [(BrokenPipeError, OutputClosed), (OSError(28, "No space"), OutputError)])
def test_a_failure_to_write_is_raised_again_until_somebody_listens(
    failure: OSError, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    to = stream()
    monkeypatch.setattr(to, "flush", lambda: (_ for _ in ()).throw(failure))
    safe = SafeStream(to, required=True)
    safe.write("a")
    for _ in range(2):
        with pytest.raises(kind):
            safe.flush()
    with pytest.raises(kind):
        safe.write("b")
    best_effort = SafeStream(to, required=False)
    best_effort.write("a")
    best_effort.flush()


def test_the_streams_are_put_back() -> None:
    before = sys.stdout, sys.stderr
    with safe_streams():
        assert isinstance(sys.stdout, SafeStream)
        assert os.fstat(sys.stdout.fileno())
    assert (sys.stdout, sys.stderr) == before


def test_coloured_pages_are_emitted(repo: Path) -> None:
    """`typer.echo` would have their colours shown by signs."""
    echoed = re.compile(r"typer\.echo\([^\n]*\b(paint|draw_text)\(")
    assert [
        file for file in (repo / "clusterctl").rglob("*.py") if echoed.search(file.read_text(encoding="utf-8"))
    ] == []
