"""A run's folder: plan, locks, logs, marks, checkpoint, result.  The job writes marks; everything else reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a job says when a step is done."""

    at: datetime
    stage: str
    step: int
    of: int
    phases: dict[str, float]
    """Seconds by phase."""
    metrics: dict[str, float]


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

    def marks(self, since_byte: int = 0) -> Iterator[tuple[int, Mark]]:
        """(position after it, mark) of every whole line from `since_byte` on; a torn last line waits for its end."""
        file = self.path / "marks.jsonl"
        if not file.exists():
            return
        with file.open("rb") as lines:
            position = since_byte if since_byte <= file.stat().st_size else 0  # a file that was cut is read anew
            lines.seek(position)
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                position += len(line)
                mark = _mark(line)
                if mark is not None:
                    yield position, mark

    def last_sign(self) -> datetime | None:
        """The last moment at which the job wrote anything."""
        times = [
            file.stat().st_mtime for file in self.path.rglob("*")
            if file.is_file() and not file.is_symlink()
            and not file.name.startswith(("supervisor", self.beat.name)) and file.suffix != ".times"
        ]  # fmt: skip
        return datetime.fromtimestamp(max(times)).astimezone() if times else None


def _mark(line: bytes) -> Mark | None:
    """A mark, or None for a line that isn't one: a job's bug must not end its run."""
    try:
        row: dict[str, Any] = json.loads(line)
        return Mark(
            at=datetime.fromisoformat(row["at"]), stage=str(row["stage"]), step=int(row["step"]), of=int(row["of"]),
            phases={str(k): float(v) for k, v in row.get("phases", {}).items()},
            metrics={str(k): float(v) for k, v in row.get("metrics", {}).items() if isinstance(v, int | float)},
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
