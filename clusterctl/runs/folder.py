"""A run's folder: plan, logs, job reports, checkpoint, result.

The job writes here, so nothing here is believed: whatever a file has become (gone, a folder, a pipe, garbage, not
readable) is an answer and never an error.  What the run needs to be ended is in the ledger and in the place itself.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from clusterctl.foreign_files import opened, read_lines

MIB = 1 << 20
MOST_REPORT_BYTES = 16 << 20
"""Of job reports, read at once."""


class RunFolder:
    """Paths and contents of one run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.json"
        """The plan that is being run: a copy for people, the ledger has the one that counts."""
        self.logs = path / "logs"
        """A log for each role, and when it grew."""
        self.metrics = path / "metrics.prom"
        """Cost and progress in Prometheus' format, written by the supervisor, passed on by agents."""
        self.reports = path / "reports.jsonl"
        """A line for each step and cost, written by the job."""
        self.ended = path / "ended"
        """Says that the run has ended and the folder is kept for its logs and results."""

    def report_lines(self, since_byte: int, *, most: int) -> Iterator[tuple[int, bytes]]:
        """(position after it, line) of at most `most` whole lines of the reports from `since_byte` on, and of
        MOST_REPORT_BYTES and one line.

        A torn last line waits for its end.  Of a file that has become shorter nothing is read again: what it held
        has been recorded.
        """
        for position, line in read_lines(self.reports, since_byte):
            yield position, line
            most -= 1
            if most <= 0 or position - since_byte >= MOST_REPORT_BYTES:
                return

    def reports_size(self) -> int | None:
        """Bytes of the reports; None where they can't be read."""
        with opened(self.reports) as file:
            return None if file is None else os.fstat(file).st_size

    def report_number(self, position: int) -> int:
        """Number of the line of the reports that ends at this position."""
        return sum(1 for after, _ in read_lines(self.reports, 0) if after <= position)

    def free_mib(self) -> float | None:
        """Room on its disk; None where nobody can say."""
        try:
            return shutil.disk_usage(self.path).free / MIB
        except OSError:
            return None

    def last_sign(self) -> datetime | None:
        """The last moment at which the job wrote anything."""
        times = []
        for folder, _, names in os.walk(self.path):
            for name in names:
                if not name.startswith(("supervisor", "lease.json")) and not name.endswith(".times"):
                    times.append(_written_at(Path(folder) / name))
        newest = max((at for at in times if at is not None), default=None)
        return None if newest is None else datetime.fromtimestamp(newest).astimezone()


def _written_at(path: Path) -> float | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime if stat.S_ISREG(found.st_mode) else None
