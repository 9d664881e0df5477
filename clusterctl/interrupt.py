"""Ctrl-C: once, and the act in progress is finished and the command ends cleanly; twice, and it ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Self

from clusterctl.errors import Interrupted

AT_ONCE = "stopped at once; `clusterctl status` shows what there is, `clusterctl up` or `down` completes it"


class Interrupt:
    """While it is entered, the first Ctrl-C (SIGINT) or SIGTERM sets `asked`; the second ends the process.

    >>> with Interrupt() as interrupt:
    ...     interrupt.asked
    False
    """

    def __init__(self) -> None:
        self.asked = False
        self._old: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._old = {number: signal.signal(number, self._on) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what `signal` returned it takes again

    def wanted(self) -> bool:
        """Whether to go on."""
        return not self.asked

    def _on(self, number: int, _: FrameType | None) -> None:
        if self.asked:
            # no exception: it could be caught, or wait for a lock.  The next command completes what was in progress
            _tell(f"{Interrupted.word}: {AT_ONCE}")
            os._exit(Interrupted.exit_code)
        self.asked = True
        if number == signal.SIGINT:
            _tell("finishing what is in progress; Ctrl-C again stops at once")


def _tell(text: str) -> None:
    """On stderr, past its buffer, which the signal may have found half written.  It may be closed."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"\n{text}\n".encode())
