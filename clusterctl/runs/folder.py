"""A run's folder: plan, logs, job reports, checkpoint, result.

The job writes here, so nothing here is believed: whatever a file has become (gone, a folder, a pipe, garbage, not
readable) is an answer and never an error.  What the run needs to be ended is in the ledger and in the place itself.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clusterctl.foreign_files import opened, read_lines


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths and contents of one run's folder."""

    path: Path

    @property
    def plan(self) -> Path:
        """The plan that is being run: a copy for people, the ledger has the one that counts."""
        return self.path / "plan.json"

    @property
    def logs(self) -> Path:
        """A log for each role, and when it grew."""
        return self.path / "logs"

    @property
    def metrics(self) -> Path:
        """Cost and progress in Prometheus' format, written by the supervisor, passed on by agents."""
        return self.path / "metrics.prom"

    @property
    def result(self) -> Path:
        """Written by the job when its work is complete."""
        return self.path / "result.json"

    @property
    def ended(self) -> Path:
        """Says that the run has ended and the folder is kept for its logs and results."""
        return self.path / "ended"

    @property
    def reports(self) -> Path:
        """A line for each step and cost, written by the job."""
        return self.path / "reports.jsonl"

    def report_lines(self, since_byte: int, *, most: int) -> Iterator[tuple[int, bytes]]:
        """(position after it, line) of at most `most` whole lines of the reports from `since_byte` on.

        A torn last line waits for its end.  Of a file that has become shorter nothing is read again: what it held
        has been recorded.
        """
        for position, line in read_lines(self.reports, since_byte):
            if most <= 0:
                return
            most -= 1
            yield position, line

    def reports_size(self) -> int | None:
        """Bytes of the reports; None where they can't be read."""
        with opened(self.reports) as file:
            return None if file is None else os.fstat(file).st_size

    def report_number(self, position: int) -> int:
        """Number of the line of the reports that ends at this position."""
        return sum(1 for after, _ in read_lines(self.reports, 0) if after <= position)

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
