"""When lines of a log were written: beside `trainer.log`, the watcher notes in `trainer.times` how long it was when.

The roles write their logs themselves, so that nothing stands between them and the file; a line is dated by the first
look that found it, a second late at most.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

TAIL_BYTES = 4096


def note_times(logs: Path, now: datetime) -> None:
    """Notes the length of every log that has grown.  Raises OSError."""
    for log in logs.glob("*.log"):
        times = log.with_suffix(".times")
        size = log.stat().st_size
        if size > _last_size(times):
            with times.open("a", encoding="ascii") as out:
                out.write(f"{size} {now.isoformat()}\n")


def read_times(log: Path) -> list[tuple[int, datetime]]:
    """(length, moment) in order.  Unreadable lines, as a full disk leaves them, are left out."""
    times = log.with_suffix(".times")
    found = []
    for line in times.read_text("ascii", errors="replace").splitlines() if times.exists() else ():
        size, _, at = line.partition(" ")
        try:
            found.append((int(size), datetime.fromisoformat(at)))
        except ValueError:
            continue
    return found


def _last_size(times: Path) -> int:
    if not times.exists():
        return 0
    with times.open("rb") as lines:
        lines.seek(max(times.stat().st_size - 100, 0))
        tail = lines.read().splitlines()
    try:
        return int(tail[-1].partition(b" ")[0]) if tail else 0
    except ValueError:
        return 0


def last_error(log: Path) -> str:
    """The last `error: …` of a log, else its last line; empty where it says nothing."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(log.stat().st_size - TAIL_BYTES, 0))
        lines = [line.strip() for line in stream.read().decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1][:200]
