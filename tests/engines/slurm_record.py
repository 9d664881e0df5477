"""What the scheduler of the test cluster says of its jobs, read by no code of the product."""

from __future__ import annotations

import contextlib
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from slurm import cluster

KILLS = cluster.FOLDER / "kills"
"""The folders of the stores in the place, on a disk that all machines share, under one path there and here."""
LIVE = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING")


@dataclass(frozen=True)
class Allocation:
    """One that the scheduler has made, as it tells it itself."""

    run: str
    pool: str
    start: str
    nodes: int
    since: float
    until: float

    @property
    def resources(self) -> list[str]:
        """Ids of its nodes in the ledger."""
        slots = [self.pool, *(f"{self.pool}-{number}" for number in range(2, self.nodes + 1))]
        return [f"{self.run}/{slot}/{self.start}" for slot in slots]


def records() -> list[dict[str, str]]:
    """Every job that the scheduler still knows."""
    shown = cluster.run("login", "scontrol", "--oneliner", "show", "jobs", timeout=90)
    return [dict(word.partition("=")[::2] for word in line.split()) for line in shown.splitlines() if "JobId=" in line]


def moment(text: str) -> float:
    """Of the scheduler's local time."""
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


def allocations(root: Path) -> list[Allocation]:
    """Those of the runs below a folder that have had nodes."""
    found = []
    for job in records():
        tags = dict(pair.partition("=")[::2] for pair in job.get("Comment", "").split(","))
        if not (root / "runs" / tags.get("run", "/none")).is_dir() or job["StartTime"] == "Unknown":
            continue
        ended = job["JobState"] not in LIVE
        if job["JobState"] == "PENDING" or (ended and job.get("NodeList") == "(null)"):
            continue
        since, until = moment(job["StartTime"]), moment(job["EndTime"]) if ended else time.time()
        nodes = int(job["NumNodes"].partition("-")[0])
        found.append(Allocation(tags["run"], tags["pool"], tags["n"], nodes, since, until))
    return found


def end_jobs() -> None:
    """Nothing is left for another test, whatever has failed."""
    for job in records():
        if job["JobState"] in LIVE:
            with contextlib.suppress(subprocess.CalledProcessError):
                cluster.run("login", "scancel", job["JobId"])
