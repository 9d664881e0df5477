"""What a place must be able to do so that a run can live there.  Everything else is the same for all places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from planners.runs.reconcile import Change, Instance, Role

TAG_PREFIX = "clusterctl.dev"
"""Tags on everything that we start: /run, /role, /team, /plan-id, /budget, /expires-at, and the spec's labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """How to start a role: the command, its environment (no secrets: they are read by name), its folder."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRef:
    """A run as a target sees it."""

    run_id: str
    folder: Path
    """Where logs, marks, checkpoints and results of the run lie."""
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something of ours that belongs to no live run."""

    kind: str
    """process, sandbox, folder …"""
    address: str
    run_id: str
    """Empty where nobody can say."""
    role: str = ""
    since: datetime
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a role's log."""

    role: str
    text: str
    at: datetime | None
    """When it was written, a second late at most; None = not known yet, or nobody watched."""
    position: int
    """Where the log goes on after it."""


class Target(Protocol):
    """A place.  Every method may be called again after a crash in the middle of the last call."""

    def roles(self) -> Sequence[Role]:
        """The roles that a run has here."""

    def observe(self, run: RunRef) -> Sequence[Instance]:
        """What is live of the run.  Reads the place itself, never a note of ours."""

    def launch(self, run: RunRef, change: Change, job: Job) -> str:
        """Starts an instance and returns its address as soon as it is accepted.  Starting what is live already is a
        no-op."""

    def stop(self, run: RunRef, change: Change, *, grace_seconds: float) -> bool:
        """Asks an instance to save its work and end; after the grace ends it, with everything that it started.

        Whether it ended within the grace; what is gone already has.
        """

    def logs(self, run: RunRef, role: str, *, after: int = 0) -> Iterator[LogLine]:
        """Whole lines that the role has written after a position, kept after the run has ended."""

    def leftovers(self, live_runs: frozenset[str], known_runs: frozenset[str]) -> Sequence[Leftover]:
        """Everything of ours that belongs to no live run.

        A run that is not known, and that a supervisor watches, is another ledger's: nothing of it is left over.
        """

    def remove(self, leftover: Leftover) -> None:
        """Removes one; what is gone already is success."""
