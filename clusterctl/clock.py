"""A clock for money: it follows the machine's uptime, so that a jump of the wall clock neither bills nor hides an
hour."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A moment on three clocks."""

    at: datetime
    boot_id: str
    uptime_seconds: float


def _utc_now() -> datetime:
    return datetime.now(tz=UTC)


class SteadyClock:
    """Time since the run's first beat: wall time then, uptime after.  A reboot starts from the wall clock.

    The last beat is in the ledger: the last moment at which somebody watched the run.
    """

    def __init__(self, last: Beat | None, *, wall: Callable[[], datetime] = _utc_now) -> None:
        self.last = last
        boot_id = this_boot()
        here = last is not None and last.boot_id == boot_id
        self._anchor = last if here and last is not None else Beat(at=wall(), boot_id=boot_id, uptime_seconds=uptime())

    def now(self) -> datetime:
        """Now, never before the last beat."""
        now = self._anchor.at + timedelta(seconds=uptime() - self._anchor.uptime_seconds)
        return max(now, self.last.at) if self.last is not None else now

    def beat(self) -> Beat:
        """This moment, from now on the last beat."""
        self.last = Beat(at=self.now(), boot_id=self._anchor.boot_id, uptime_seconds=uptime())
        return self.last


def seconds_since(beat: Beat) -> float:
    """How long ago a beat was, by the uptime of this machine if it is of this boot, else by the wall clock."""
    if beat.boot_id == this_boot():
        return uptime() - beat.uptime_seconds
    return (_utc_now() - beat.at).total_seconds()


def this_boot() -> str:
    """What tells this boot of this machine from others; empty where nothing does."""
    return BOOT_ID.read_text("ascii").strip() if BOOT_ID.exists() else ""


def uptime() -> float:
    """Seconds since boot, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
