"""This machine as a target: roles are supervised processes, found by their tags; nothing is installed, nothing is
remote."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from clusterctl.clock import uptime
from clusterctl.errors import ClusterctlError
from clusterctl.foreign_files import replace_whole
from clusterctl.jobs import Job
from clusterctl.jobs.quickstart import check_quickstart, make_token, quickstart_jobs
from clusterctl.json_text import json_text
from clusterctl.paths import user_data_dir
from clusterctl.sandbox.orphaned_sandboxes import end_orphans, orphans
from clusterctl.targets import base, processes
from clusterctl.targets.base import SUPERVISOR, Leftover, Machine, Observed, Pace, RunRef, Target, Unreachable
from clusterctl.targets.holder import NAME
from clusterctl.targets.home import environment_of, supervisor_command, supervisor_environment
from clusterctl.targets.in_place import home_here
from clusterctl.targets.processes import RESOURCE_TAG, ROLE_TAG, RUN_TAG, Process, tagged
from clusterctl.targets.role_logs import log_file
from planners.plan.value import Plan
from planners.runs.reconcile import Change, Instance, InstancePhase, Role

SANDBOX, TRAINER, TELEMETRY = "sandbox", "trainer", "telemetry"
HOLDER = Path(__file__).with_name("holder.py")
HERE = os.uname().nodename
KEPT_MARK = "ended"
"""File that says: this run has ended and its folder is kept for its logs and results."""


class LocalTarget(Target):
    """Runs live in folders of `store`; their processes carry its path as a tag, so that stores don't see each
    other's runs."""

    pace = Pace(observe_seconds=0.0, bound_seconds=10.0, appear_seconds=0.0)

    def __init__(self, store: Path) -> None:
        self.store, self.home, self.standing_machine = store, home_here(store), HERE
        self._machines: dict[str, tuple[base.MachineRequest, ...]] = {}

    def check(self, plan: Plan, *, held: Plan | None = None) -> None:  # noqa: ARG002 - what is there stays there
        """Refuses what needs more than this machine, or another trainer than the quickstart's."""
        nodes = sum(pool.nodes for pool in plan.pools)
        if nodes > 1:
            raise ClusterctlError(
                f"`{plan.name}` is planned on {nodes} machines, and `local` is this machine alone",
                hint="set nodes: 1 under fleet.machines, or plan it for a cluster",
            )
        check_quickstart(plan)

    def roles(self, plan: Plan, stage: str) -> Sequence[Role]:  # noqa: ARG002 - other places go by the plan
        """A sandbox server, an agent that measures, and a trainer that asks the sandbox."""
        trainer = Role(name=TRAINER, after=(SANDBOX,), until_done=True)
        return (Role(name=SANDBOX), Role(name=TELEMETRY, vital=False), trainer)

    def jobs(self, run: RunRef, kept: Mapping[str, Mapping[str, str]]) -> Mapping[str, Job]:
        """The quickstart's commands.  The sandbox's port is chosen once and kept with its resource."""
        return quickstart_jobs(run.plan, run.folder, store=user_data_dir(), port=kept.get(SANDBOX, {}).get("port"))

    def apply(self, run: RunRef, machines: Sequence[base.MachineRequest], *, make: bool) -> None:  # noqa: ARG002
        """This machine is there already: it is the run's from when it was asked for until it is released."""
        self._machines[run.run_id] = tuple(machines)

    def observe(self, run: RunRef) -> Observed:
        """The session leaders of its roles.  What they have started themselves is no instance."""
        now, asked = datetime.now(tz=UTC), self._machines.get(run.run_id, ())
        machines = tuple(
            Machine(resource_id=m.resource_id, phase=InstancePhase.READY, since=m.since, address=HERE) for m in asked
        )
        instances = tuple(_instance(process) for process in self._processes(run) if process.leads)
        return Observed(at=now, instances=instances, machines=machines)

    def find(self, run: RunRef, resource_id: str) -> bool:
        """Whether a process of this resource lives."""
        return any(p.leads and p.tags.get(RESOURCE_TAG) == resource_id for p in self._processes(run))

    def launch(self, run: RunRef, change: Change, job: Job) -> str:
        """Starts the role's holder in a session of its own.  It takes the role's lock, which no second one can."""
        for process in self._processes(run):
            if process.leads and process.tags.get(RESOURCE_TAG) == change.resource_id:
                return process.address
        make_token(run.folder)
        environment = environment_of(run, self.store, change.role, change.resource_id)
        environment |= dict(job.environment)
        command = [sys.executable, "-S", str(HOLDER), self._lock(run, change.role), str(run.folder / "lease.json")]
        command += ["--", *supervisor_command(self.store, run.run_id), "--", *job.command]
        log = processes.log_or_nothing(log_file(run.folder, change.role))
        told = json_text(supervisor_environment()).encode()
        return processes.spawn(command, folder=run.folder, environment=environment, log=log, told=told)

    def stop(self, run: RunRef, change: Change, *, force: bool) -> None:
        """TERM to the whole session; force: KILL, and whatever else of the instance is left, sandboxes included."""
        if not force:
            processes.ask(change.address)
            return
        if change.address:
            processes.end(change.address, grace_seconds=0.0)
        for process in self._processes(run):
            if process.tags.get(RESOURCE_TAG) == change.resource_id:
                processes.kill(process)
        end_orphans()

    def set_deadline(self, run: RunRef, deadline: datetime | None, now: datetime) -> None:
        """Into the lease, which each role's holder reads: until when it may live, and that somebody watches, by the
        machine's uptime, so that no clock that jumps shortens or prolongs it."""
        here = uptime()
        expires = None if deadline is None else here + (deadline - now).total_seconds()
        row = {"expires_uptime_seconds": expires, "watched_uptime_seconds": here}
        replace_whole(run.folder / "lease.json", json_text(row).encode("ascii"))

    def leftovers(self, live_runs: frozenset[str], known_runs: frozenset[str]) -> Sequence[Leftover]:
        """Processes of no live run, sandboxes whose owner is no more, folders without a run.

        The folder of a run that has ended is kept: it holds logs and results.
        """
        mine = [process for process in tagged(self.store) if RUN_TAG in process.tags]
        others = {p.tags[RUN_TAG] for p in mine if p.tags.get(ROLE_TAG) == SUPERVISOR} - known_runs
        kept = live_runs | others
        left = [_process_left(process) for process in mine if process.tags[RUN_TAG] not in kept]
        left += [
            Leftover(kind="sandbox", address=address, run_id="", since=processes.started_at(address))
            for address in map(processes.address_of, orphans())
            if address
        ]
        folders = self.store / "runs"
        for folder in sorted(folders.iterdir()) if folders.is_dir() else ():
            if folder.name not in kept | known_runs and not (folder / KEPT_MARK).exists():
                left.append(_folder_left(folder))
        return left

    def remove(self, leftover: Leftover) -> None:
        """Ends a process with its session, or a sandbox, or deletes a folder of this store."""
        if leftover.kind != "folder":
            processes.end(leftover.address, grace_seconds=2.0 if leftover.kind == "process" else 0.0)
            return
        folder = Path(leftover.address)
        if folder.parent == self.store / "runs" and folder.exists():
            shutil.rmtree(folder)

    def _processes(self, run: RunRef) -> list[Process]:
        """All live processes of the run but its supervisors.  Raises Unreachable where they can't be listed."""
        try:
            found = [process for process in tagged(self.store) if process.tags.get(RUN_TAG) == run.run_id]
        except OSError as error:
            raise Unreachable(f"the processes of this machine can't be listed: {error.strerror}") from error
        return [process for process in found if process.tags.get(ROLE_TAG) != SUPERVISOR]

    def _lock(self, run: RunRef, role: str) -> str:
        """Name of the role's lock: the same for all who know the store and the run, and short enough for a socket."""
        return "clusterctl/" + hashlib.sha256(f"{self.store}\0{run.run_id}\0{role}".encode()).hexdigest()[:32]


def _instance(process: Process) -> Instance:
    """A session leader as an instance: ready once it holds its role."""
    return Instance(
        role=process.tags.get(ROLE_TAG, ""),
        resource_id=process.tags.get(RESOURCE_TAG, ""),
        address=process.address,
        started_at=process.started_at,
        phase=InstancePhase.READY if process.name == NAME.decode() else InstancePhase.STARTING,
    )


def _process_left(process: Process) -> Leftover:
    role, since = process.tags.get(ROLE_TAG, ""), process.started_at
    return Leftover(kind="process", address=process.address, run_id=process.tags[RUN_TAG], role=role, since=since)


def _folder_left(folder: Path) -> Leftover:
    since = datetime.fromtimestamp(folder.stat().st_mtime, tz=UTC)
    size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return Leftover(kind="folder", address=str(folder), run_id=folder.name, since=since, size_bytes=size_bytes)
