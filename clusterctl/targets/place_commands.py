"""How a supervisor is started, found and ended in a place: what differs between schedulers, by a shell alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from clusterctl.targets.shell import Shell

COMMAND_SECONDS, FIND_SECONDS = 60.0, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSupervisor:
    """A supervisor's job, as its scheduler shows it."""

    address: str
    running_seconds: float | None
    """None while it waits."""
    message: str = ""
    """What the scheduler says of one that waits."""


class PlaceCommands(Protocol):
    """Every call raises ClusterctlError with the scheduler's own words, or Unreachable."""

    node_folder: str
    """Shell expression of a folder on the node's own disk, in which `$run` is the run's id."""

    def start(self, shell: Shell, run_id: str, script: str, log: str) -> str:
        """Start the script (its path) as a job named after the run, and return its address."""

    def find(self, shell: Shell, run_id: str) -> Sequence[FoundSupervisor]:
        """The jobs of this name, the oldest first."""

    def end(self, shell: Shell, address: str) -> None:
        """End one at once; gone is success."""


class ProcessCommands:
    """A place without a scheduler: supervisors are processes of the machine on which the shell is."""

    def __init__(self, root: str) -> None:
        self.node_folder = f"{shlex.quote(root)}/node/$run"

    def start(self, shell: Shell, run_id: str, script: str, log: str) -> str:  # noqa: ARG002 - found by its path
        """A session of its own, which outlives the shell."""
        start = f"setsid -f bash {shlex.quote(script)} </dev/null >>{shlex.quote(log)} 2>&1 9>&-"
        shell.must(start, seconds=COMMAND_SECONDS, what="its supervisor can't be started")
        return script

    def find(self, shell: Shell, run_id: str) -> Sequence[FoundSupervisor]:
        """By their command lines: the script's, and that of what it has started."""
        listing = shell.must("ps -eww -o pid=,etimes=,args=", seconds=FIND_SECONDS, what="processes can't be listed")
        found = []
        for line in listing.splitlines():
            pid, age, command = line.split(maxsplit=2)
            words = command.split()
            script = words[:1] == ["bash"] and words[-1].endswith(f"/runs/{run_id}/supervisor.sh")
            if script or ("clusterctl.runs.supervisor" in words and words[-1] == run_id):
                found.append(FoundSupervisor(address=pid, running_seconds=float(age)))
        return sorted(found, key=lambda each: -(each.running_seconds or 0.0))

    def end(self, shell: Shell, address: str) -> None:
        """KILL."""
        shell.run(f"kill -KILL {int(address)}", seconds=COMMAND_SECONDS)
