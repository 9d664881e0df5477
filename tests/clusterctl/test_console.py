"""Width, colour and progress are decided in one place."""

from __future__ import annotations

import io
import os
import signal
import sys

import pytest

from clusterctl.interrupt import Interrupt
from clusterctl.ui.terminal import MAX_COLUMNS, MIN_COLUMNS, PIPED_COLUMNS, progress, terminal


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Tty(), {}, True),
        (Tty(), {"NO_COLOR": "1"}, False),
        (Tty(), {"NO_COLOR": ""}, True),
        (Tty(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_needs_a_terminal_and_obeys_no_color(stream: io.StringIO, environ: dict[str, str], colour: bool) -> None:
    assert terminal(stream, environ).colour is colour


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("120", 120),
        ("40", MIN_COLUMNS),
        ("999", MAX_COLUMNS),
        ("wide", PIPED_COLUMNS),
        ("", PIPED_COLUMNS),
        ("0", PIPED_COLUMNS),
    ],
)
def test_width_follows_columns_within_bounds(columns: str, expected: int) -> None:
    assert terminal(io.StringIO(), {"COLUMNS": columns}).columns == expected


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_quick_work_shows_no_progress() -> None:
    stream, clock = Tty(), Clock()
    with progress("reading", total=2, stream=stream, clock=clock) as advance:
        clock.seconds = 1.9
        advance(1)
    assert stream.getvalue() == ""


def test_slow_work_keeps_one_line_up_to_date_and_removes_it() -> None:
    stream, clock = Tty(), Clock()
    with progress("reading AWS", total=4, stream=stream, clock=clock) as advance:
        clock.seconds = 3.0
        advance(1)
    drawn = stream.getvalue()
    assert "reading AWS ██████░░░░░░░░░░░░░░░░░░ 1/4 (3 s, 9 s left)" in drawn
    assert "\n" not in drawn
    assert drawn.endswith("\r\x1b[K")


def test_nobody_watching_means_no_progress() -> None:
    stream, clock = io.StringIO(), Clock()
    with progress("reading", total=4, stream=stream, clock=clock) as advance:
        clock.seconds = 30.0
        advance(1)
    assert stream.getvalue() == ""


def test_ctrl_c_is_heard_though_stderr_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed, Interrupt() as interrupt:
        monkeypatch.setattr(sys, "stderr", closed)
        signal.raise_signal(signal.SIGINT)
        monkeypatch.undo()
        assert interrupt.asked
