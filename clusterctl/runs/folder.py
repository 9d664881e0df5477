"""A run's folder: plan, locks, logs, marks, checkpoint, result.  The job writes marks; everything else reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clusterctl.runs.job_reports import CostReport, StepReport, read_report


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths and contents of one run's folder."""

    path: Path

    @property
    def plan(self) -> Path:
        """The plan that is being run."""
        return self.path / "plan.json"

    @property
    def beat(self) -> Path:
        """The supervisor's last beat."""
        return self.path / "beat.json"

    @property
    def logs(self) -> Path:
        """A log for each role, and when it grew."""
        return self.path / "logs"

    @property
    def port(self) -> Path:
        """Port of the sandbox server: chosen once, so that a restarted server is found again."""
        return self.path / "sandbox.port"

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
    def marks(self) -> Path:
        """A line for each step and reported cost, written by the job."""
        return self.path / "marks.jsonl"

    def read_marks(self, since_byte: int = 0) -> Iterator[tuple[int, StepReport | CostReport | str]]:
        """(position after it, what it says or why it says nothing) of every whole line from `since_byte` on; a torn
        last line waits for its end."""
        if not self.marks.exists():
            return
        with self.marks.open("rb") as lines:
            position = since_byte if since_byte <= self.marks.stat().st_size else 0  # a file that was cut is read anew
            lines.seek(position)
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                position += len(line)
                yield position, read_report(line)

    def marks_line(self, position: int) -> int:
        """Number of the line that ends at this position."""
        with self.marks.open("rb") as lines:
            return lines.read(position).count(b"\n")

    def last_sign(self) -> datetime | None:
        """The last moment at which the job wrote anything."""
        times = [
            file.stat().st_mtime
            for file in self.path.rglob("*")
            if file.is_file()
            and not file.is_symlink()
            and not file.name.startswith(("supervisor", self.beat.name))
            and file.suffix != ".times"
        ]
        return datetime.fromtimestamp(max(times)).astimezone() if times else None
