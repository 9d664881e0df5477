"""Logs of roles, and when their lines were written: beside `trainer.log`, the watcher notes in `trainer.times` how long
it was when.

The roles write their logs themselves, so that nothing stands between them and the file; a line is dated by the first
look that found it, a second late at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clusterctl.foreign_files import append, read_lines, read_tail

TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a role's log."""

    role: str
    text: str
    at: datetime | None
    """When it was written, a second late at most; None = not known yet, or nobody watched."""
    position: int
    """Where the log goes on after it."""


def log_file(folder: Path, role: str) -> Path:
    """Where a role's output is kept."""
    return folder / "logs" / f"{role}.log"


def log_lines(folder: Path, role: str, *, after: int = 0) -> Iterator[LogLine]:
    """Whole lines of the role's log after a position, dated by what its supervisor has noted beside it."""
    path = log_file(folder, role)
    times, number = read_times(path), 0
    for position, line in read_lines(path, after):
        while number < len(times) and times[number][0] <= after:
            number += 1
        at = times[number][1] if number < len(times) else None
        after = position
        yield LogLine(role=role, text=line.decode("utf-8", "replace").rstrip(), at=at, position=position)


def note_times(logs: Path, now: datetime) -> None:
    """Notes the length of every log that has grown.  Raises OSError."""
    for log in logs.glob("*.log"):
        times = log.with_suffix(".times")
        size = log.stat().st_size
        if log.is_file() and size > _last_size(times):
            append(times, f"{size} {now.isoformat()}\n".encode("ascii"))


def read_times(log: Path) -> list[tuple[int, datetime]]:
    """(length, moment) in order.  Unreadable lines, as a full disk leaves them, are left out."""
    times = []
    for _, line in read_lines(log.with_suffix(".times"), 0):
        size, _, at = line.decode("ascii", "replace").strip().partition(" ")
        try:
            times.append((int(size), datetime.fromisoformat(at)))
        except ValueError:
            continue
    return times


def last_error(log: Path) -> str:
    """The last `error: …` of a log, else its last line; empty where it says nothing."""
    lines = [line.strip() for line in read_tail(log, TAIL_BYTES).splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1][:200]


def _last_size(times: Path) -> int:
    tail = read_tail(times, 100).splitlines()
    size = tail[-1].partition(" ")[0] if tail else "0"
    return int(size) if size.isdecimal() else 0
