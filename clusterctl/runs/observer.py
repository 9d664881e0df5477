"""Asks a place what is there of a run, in a thread: a tick never waits longer than the place's pace allows."""

from __future__ import annotations

import threading
import time

from clusterctl.targets.base import Observed, RunRef, Target, Unreachable


class Observer:
    """The observations of one run."""

    def __init__(self, target: Target, run: RunRef) -> None:
        self._target, self._run = target, run
        self._thread: threading.Thread | None = None
        self._asked = float("-inf")
        self._answer: Observed | str = ""
        """The last complete observation, or why there is none."""

    def observe(self, *, anew: bool = False) -> Observed:
        """What is there: a new observation when it is time for one, else the last one.

        anew: also when it is not time yet.  Raises Unreachable for a place that does not answer in time, until it does.
        """
        pace = self._target.pace
        if self._thread is None and (anew or time.monotonic() - self._asked >= pace.observe_seconds):
            self._asked = time.monotonic()
            self._thread = threading.Thread(target=self._ask, daemon=True)
            self._thread.start()
        if self._thread is not None:
            self._thread.join(pace.bound_seconds)
            if self._thread.is_alive():
                raise Unreachable(f"it has not answered for {time.monotonic() - self._asked:.0f} s")
            self._thread = None
        if isinstance(self._answer, str):
            raise Unreachable(self._answer)
        return self._answer

    def _ask(self) -> None:
        try:
            self._answer = self._target.observe(self._run)
        except Unreachable as error:
            self._answer = error.message
        except Exception as error:  # noqa: BLE001 - a place's library may raise anything, and nothing of it means "gone"
            self._answer = f"{type(error).__name__}: {error}"
