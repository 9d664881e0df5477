"""A clock for money: it follows the machine's uptime, so that a jump of the wall clock neither bills nor hides an
hour."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from clusterctl.specfile.write import write_atomic

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A moment on three clocks."""

    boot_id: str
    uptime_seconds: float
    at: datetime


def _utc_now() -> datetime:
    return datetime.now(tz=UTC)


class SteadyClock:
    """Time since the run's first beat: wall time then, uptime after.  Survives its process; a reboot starts from the
    wall clock.

    The last beat is also the last moment at which somebody watched the run, and keeps what the next watcher must know.
    """

    def __init__(self, file: Path, *, wall: Callable[[], datetime] = _utc_now) -> None:
        self._file = file
        self._boot_id = BOOT_ID.read_text("ascii").strip() if BOOT_ID.exists() else ""
        self.marks_byte = 0
        """How much of the marks has been recorded."""
        self.progress_at: datetime | None = None
        """When the last step was seen."""
        self.last = self._read()
        same_boot = self.last is not None and self.last.boot_id == self._boot_id
        self._anchor = self.last if same_boot and self.last is not None else self._moment(wall())

    def now(self) -> datetime:
        """Now, never before the last beat."""
        now = self._anchor.at + timedelta(seconds=_uptime() - self._anchor.uptime_seconds)
        return max(now, self.last.at) if self.last is not None else now

    def beat(self) -> None:
        """Remember now.  Raises ClusterctlError when the disk is full."""
        self.last = self._moment(self.now())
        row = {
            "boot_id": self.last.boot_id,
            "uptime_seconds": self.last.uptime_seconds,
            "at": self.last.at.isoformat(),
            "marks_byte": self.marks_byte,
            "progress_at": self.progress_at.isoformat() if self.progress_at else None,
        }
        write_atomic(self._file, json.dumps(row))

    def _moment(self, at: datetime) -> Beat:
        return Beat(boot_id=self._boot_id, uptime_seconds=_uptime(), at=at)

    def _read(self) -> Beat | None:
        try:
            row: dict[str, Any] = json.loads(self._file.read_text("utf-8"))
            self.marks_byte = int(row.get("marks_byte", 0))
            progress_at = row.get("progress_at")
            self.progress_at = datetime.fromisoformat(progress_at) if progress_at else None
            return Beat(
                boot_id=row["boot_id"], uptime_seconds=row["uptime_seconds"], at=datetime.fromisoformat(row["at"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None  # no beat yet, or one torn by a full disk: the wall clock is all there is


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
