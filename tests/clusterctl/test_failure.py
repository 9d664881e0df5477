"""What a failure prints and the code it exits with."""

from __future__ import annotations

import errno

import pytest
import typer

from clusterctl import failure
from clusterctl.errors import (
    ClusterctlError,
    Infeasible,
    Interrupted,
    MachineError,
    OutputClosed,
    OutputError,
    PriceError,
    RunEnded,
    SpecError,
    StateError,
)


class PanicException(BaseException):
    """As polars raises it: no Exception."""


def _raise(error: BaseException) -> object:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClusterctlError("x"), 1),
        (SpecError("x"), 2),
        (Infeasible("x"), 3),
        (PriceError("x"), 4),
        (StateError("x"), 5),
        (RunEnded("x"), 6),
        (MachineError("x"), 71),
        (MemoryError(), 71),
        (PermissionError(errno.EACCES, "Permission denied", "/f"), 71),
        (PanicException("index out of bounds"), 70),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/f"), 70),
        (OutputError(OSError(errno.ENOSPC, "No space left on device")), 74),
        (Interrupted("x"), 130),
        (OutputClosed(), 141),
        (ZeroDivisionError("x"), 70),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(error: BaseException, code: int) -> None:
    assert failure.exit_code_of(lambda: _raise(error), []) == code


def test_message_and_hint_are_two_paragraphs_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    failure.exit_code_of(lambda: _raise(SpecError("`a.yaml` line 3: no", hint="say yes")), [])
    assert capsys.readouterr() == ("", "error: `a.yaml` line 3: no\n\nhint: say yes\n")


def test_without_a_hint_there_is_no_second_paragraph(capsys: pytest.CaptureFixture[str]) -> None:
    failure.exit_code_of(lambda: _raise(SpecError("no")), [])
    assert capsys.readouterr().err == "error: no\n"


def test_an_unexpected_error_is_one_message_that_says_how_to_see_more(capsys: pytest.CaptureFixture[str]) -> None:
    failure.exit_code_of(lambda: _raise(KeyError("H100")), ["plan", "my run.yaml"])
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown.startswith("error: this is a bug in clusterctl: KeyError: 'H100' (test_failure.py line ")
    assert "`clusterctl --debug plan 'my run.yaml'` shows the traceback" in shown


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    failure.exit_code_of(lambda: _raise(KeyError("H100")), ["--debug", "plan"])
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "shown"), [(["--debug", "prices"], True), (["plan", "--debug"], False), (["plan", "-v"], False)]
)
def test_debug_before_the_command_shows_the_cause_of_our_own_errors(
    args: list[str], shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    error = PriceError("the price source failed")
    error.__cause__ = OSError("connection reset")
    failure.exit_code_of(lambda: _raise(error), args)
    assert ("connection reset" in capsys.readouterr().err) is shown


def test_a_commands_own_exit_code_is_kept() -> None:
    assert failure.exit_code_of(lambda: 3, []) == 3
    assert failure.exit_code_of(lambda: None, []) == 0


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (MemoryError(), "there is no memory left", failure.NO_MEMORY),
        (ImportError("x.so: failed to map segment from shared object"), "there is no memory left", failure.NO_MEMORY),
        (RuntimeError("can't start new thread"), "this user may start no further thread", failure.NO_THREADS),
        (
            PanicException("could not spawn threads: code: 11"),
            "this user may start no further thread",
            failure.NO_THREADS,
        ),
        (BlockingIOError(errno.EAGAIN, "Try again", "/bin/x"), "/bin/x: Try again", failure.NO_THREADS),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "there is no memory left", failure.NO_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device", failure.NO_ROOM),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "/x: Read-only file system", failure.NO_ROOM),
        (
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
            "no temporary file can be written",
            "make room, or name a folder with TMPDIR",
        ),
    ],
)
def test_what_the_machine_refuses_is_no_bug_of_ours(
    error: BaseException, message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failure.exit_code_of(lambda: _raise(error), ["plan"]) == 71
    assert capsys.readouterr().err == f"error: {message}\n\nhint: {hint}\n"


def test_a_reader_who_has_gone_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.exit_code_of(lambda: _raise(OutputClosed()), []) == 141
    assert capsys.readouterr() == ("", "")
