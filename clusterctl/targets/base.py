"""What a place must be able to do so that a run can live there.  Everything else is the same for all places.

docs/adr/0004-the-seam.md says why it is cut here, and where the supervisor of a run on other machines lives.
"""

# ruff: noqa: ARG002 - what a place need not say itself uses no argument

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clusterctl.errors import ClusterctlError
from clusterctl.fleet.stack import FleetEvent
from clusterctl.jobs import Job
from clusterctl.targets.role_logs import LogLine as LogLine  # noqa: PLC0414 - of the interface
from clusterctl.targets.role_logs import log_lines
from clusterctl.targets.run_ref import RunRef as RunRef  # noqa: PLC0414 - of the interface
from clusterctl.targets.run_ref import result_name as result_name  # noqa: PLC0414 - of the interface
from clusterctl.targets.supervisor_home import SupervisorHome
from planners.plan.value import Plan, Pool
from planners.runs.reconcile import Cause, Change, Instance, InstancePhase, Role
from planners.tags import TAG_PREFIX as TAG_PREFIX  # noqa: PLC0414 - of the interface

SUPERVISOR = "supervisor"
"""Role of the process that watches a run."""


class Unreachable(ClusterctlError):  # noqa: N818 - the word that people read
    """The place can't be asked now.  Nobody knows what is there: neither that something lives nor that it has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a place is asked."""

    observe_seconds: float
    """Between two observations."""
    bound_seconds: float
    """A call that has not returned by then is waited for in the background."""
    appear_seconds: float
    """From a launch that was accepted until the place must show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRequest:
    """A node of a pool that the run wants, under the id by which it is billed."""

    resource_id: str
    pool: Pool
    index: int
    since: datetime
    """When it was first asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is paid: one node, from its allocation to its release, whatever runs on it."""

    resource_id: str
    phase: InstancePhase
    cause: Cause = Cause.NONE
    since: datetime | None
    """From when on it is paid; None while it is queued, or where it was never had."""
    until: datetime | None = None
    """When it was released."""
    address: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All that is there of a run: complete, or `Unreachable` is raised instead.

    What has ended may be shown, with its cause and when; what is not shown is not there.
    """

    at: datetime
    instances: tuple[Instance, ...] = ()
    machines: tuple[Machine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something of ours that belongs to no live run."""

    kind: str
    """process, machine, sandbox, folder …"""
    address: str
    run_id: str
    """Empty where nobody can say."""
    role: str = ""
    since: datetime
    size_bytes: int = 0
    note: str = ""
    """Why it can't be removed, and until when it is paid; empty where it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is paid by the hour from when a run's cluster is made until that is removed."""

    slot: str
    """Its name in the bill."""
    what: str
    """Its type and name in the program that makes it: `aws:eks/cluster:Cluster rl-1`."""
    usd_per_hour: float | None
    """None = unknown."""
    price_source: str = ""
    lines: str = ""
    """Ids of the lines of the plan that it stands for, joined by +."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPreview:
    """What making a run's cluster would make."""

    standing: tuple[Standing, ...]
    lines: tuple[str, ...]
    """In short, for people."""
    steps: tuple[str, ...]
    """A line for each resource."""


class OwnCluster(Protocol):
    """Makes the place in which a run lives, and removes it: minutes, by this machine.  Both may be repeated after any
    crash, and go on then."""

    def preview(self, run_id: str, plan: Plan, earlier: Sequence[Plan] = ()) -> ClusterPreview:
        """What `make` would make, and its dollars; nothing is done."""

    def is_made(self, run: RunRef) -> bool:
        """Whether it is there and complete, as this machine knows it."""

    def make(self, run: RunRef, earlier: Sequence[Plan], tell: Callable[[FleetEvent], None]) -> None:
        """Make it, without any node for the run, or as the run's plan has it now; what has nodes of an earlier plan
        keeps them.  Raises ClusterctlError, LockHeldError where another one does."""

    def remove(self, run: RunRef, tell: Callable[[FleetEvent], None]) -> None:
        """Remove all of it.  Raises ClusterctlError."""


class Target(Protocol):
    """A place.  Every method may be called again after a crash in the middle of the last call; none waits for long.

    What takes minutes begins here and goes on in the place; `observe` shows how far it is.  Raises Unreachable.
    """

    pace: Pace
    """How it is asked."""
    standing_machine: str | None = None
    """The machine that is here before anybody asks for it, by the name under which telemetry knows it: it is paid only
    while a run uses it.  None where machines are rented: they are paid until they are released."""
    home: SupervisorHome
    """Where the supervisors of its runs live."""
    cluster_maker: OwnCluster | None = None
    """What makes and removes the place for each run; None where it is there already."""

    def check(self, plan: Plan, *, held: Plan | None = None) -> None:
        """Raises ClusterctlError where the plan can't be run here, with what would help.

        held: the plan of a live run, whose machines this one has already.
        """

    def preview(self, plan: Plan, *, seconds: float | None) -> Sequence[str]:
        """What its scheduler will be asked for, a line for each thing, in its own words; nothing is done.

        seconds: until a limit of the run must be reached; None where none must be.
        """
        return ()

    def roles(self, plan: Plan, stage: str) -> Sequence[Role]:
        """The roles that a run of the plan has here at a stage."""

    def jobs(self, run: RunRef, kept: Mapping[str, Mapping[str, str]]) -> Mapping[str, Job]:
        """How each role of the run's stage is started.  kept: tags of each role's last start."""

    def apply(self, run: RunRef, machines: Sequence[MachineRequest], *, make: bool) -> None:
        """Begin to release machines that are not named; make: and to make those that are named and missing."""

    def observe(self, run: RunRef) -> Observed:
        """What is there of the run.  Reads the place itself, never a note of ours."""

    def find(self, run: RunRef, resource_id: str) -> bool:
        """Whether an instance of this id is there, looked up by its own name: the second opinion on a listing."""

    def launch(self, run: RunRef, change: Change, job: Job) -> str:
        """Begin to start an instance and return its address.  Starting what is there already is a no-op."""

    def stop(self, run: RunRef, change: Change, *, force: bool) -> None:
        """Ask an instance to save its work and end; force: end it now, with everything that it started."""

    def set_deadline(self, run: RunRef, deadline: datetime | None, now: datetime) -> None:
        """From then on the place itself ends the run's instances, although none of us is alive; None = never.

        deadline, now: by the run's clock.
        """

    def fetch(self, run: RunRef) -> None:
        """Bring job reports, logs and result into the run's folder, from where the last call ended."""
        return  # jobs write there themselves

    def logs(self, run: RunRef, role: str, *, after: int = 0) -> Iterator[LogLine]:
        """Whole lines that the role has written after a position, kept after the run has ended."""
        return log_lines(run.folder, role, after=after)

    def leftovers(self, live_runs: frozenset[str], known_runs: frozenset[str]) -> Sequence[Leftover]:
        """Everything of ours that belongs to no live run.

        A run that is not known, and that a supervisor watches, is another ledger's: nothing of it is left over.
        """

    def remove(self, leftover: Leftover) -> None:
        """Remove one; what is gone already is success."""
