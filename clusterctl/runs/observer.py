"""Asks a place what is there of a run, in a thread: a tick never waits longer than the place's pace allows."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clusterctl.targets.base import Machine, Observed, RunRef, Target, Unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The last complete observation, or why there is none that is new enough."""

    observed: Observed | None
    why: str = ""
    since: datetime
    """When the place was last seen whole, or first could not be."""


class Observer:
    """The observations of one run."""

    def __init__(self, target: Target, run: RunRef) -> None:
        self._target, self._run = target, run
        self._thread: threading.Thread | None = None
        self._last: Observed | None = None
        self._asked = float("-inf")
        self._error, self._error_since = "", datetime.now(tz=UTC)

    def look(self, *, anew: bool = False) -> Look:
        """What is there: a new observation when it is time for one, else the last one.

        anew: also when it is not time yet.  A place that does not answer in time is unreachable until it does.
        """
        pace = self._target.pace
        if self._thread is None and (anew or time.monotonic() - self._asked >= pace.observe_seconds):
            self._asked = time.monotonic()
            self._thread = threading.Thread(target=self._observe, daemon=True)
            self._thread.start()
        if self._thread is not None:
            self._thread.join(pace.bound_seconds)
            if self._thread.is_alive():
                self._fail(f"it has not answered for {time.monotonic() - self._asked:.0f} s")
            else:
                self._thread = None
        if self._error:
            return Look(observed=None, why=self._error, since=self._error_since)
        return Look(observed=self._last, since=self._last.at if self._last else self._error_since)

    def machines(self) -> Sequence[Machine]:
        """The machines as last seen."""
        return self._last.machines if self._last else ()

    def _observe(self) -> None:
        try:
            self._last, self._error = self._target.observe(self._run), ""
        except Unreachable as error:
            self._fail(error.message)
        except Exception as error:  # noqa: BLE001 - a place's library may raise anything, and nothing of it means "gone"
            self._fail(f"{type(error).__name__}: {error}")

    def _fail(self, why: str) -> None:
        if not self._error:
            self._error_since = datetime.now(tz=UTC)
        self._error = why
