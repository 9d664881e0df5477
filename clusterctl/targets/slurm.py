"""A Slurm cluster as a target: SkyPilot makes one allocation for each pool and starts the roles on it.

What is there the scheduler and the ranks themselves say, never SkyPilot: its notes may be lost at any moment.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from clusterctl.jobs import Job
from clusterctl.targets.base import Leftover, MachineRequest, Observed, Pace, Target, Unreachable
from clusterctl.targets.in_place import home_here
from clusterctl.targets.places import recall, remember
from clusterctl.targets.remote_home import RemoteHome
from clusterctl.targets.role_folder import folder_name, job_file
from clusterctl.targets.run_ref import RunRef, result_name
from clusterctl.targets.shell import LocalShell, Shell, SshShell
from clusterctl.targets.sky_client import SkyPilot
from clusterctl.targets.slurm_access import client_config, in_place, own_python, place_config
from clusterctl.targets.slurm_check import check_cluster
from clusterctl.targets.slurm_jobs import PREFIX, newest, user_id
from clusterctl.targets.slurm_place import SlurmPlace
from clusterctl.targets.slurm_run import SlurmRun, clusters, left_over
from clusterctl.targets.slurm_supervisor import SlurmSupervisors
from clusterctl.targets.slurm_tasks import IDLE_MINUTES, cpu_share, exec_task, launch_task, preview_lines
from clusterctl.targets.supervisor_home import SupervisorHome
from planners.plan.value import Plan
from planners.runs.reconcile import Change, InstancePhase, Role

ROOT = "~/.clusterctl"
"""Our folder in the user's home on the cluster, which all nodes see."""
PLACE_VARIABLE, PYTHON_VARIABLE = "CLUSTERCTL_PLACE", "CLUSTERCTL_PLACE_PYTHON"
"""Another folder there; and a Python there that has our requirements, where nodes have no internet to make one."""


class SlurmTarget(Target):
    """One cluster, named in `~/.slurm/config`."""

    pace = Pace(observe_seconds=4.0, bound_seconds=10.0, appear_seconds=240.0)
    kind, has_containers = "slurm", False

    def __init__(
        self, store: Path, cluster: str, *, shell: Shell | None = None, supervisors: SlurmSupervisors | None = None
    ) -> None:
        self.store, self.cluster = store, cluster
        here = LocalShell() if in_place() else SshShell(cluster, client_config())
        root = str(store) if in_place() else os.environ.get(PLACE_VARIABLE) or recall(f"slurm:{cluster}", store) or ROOT
        self.place = SlurmPlace(shell or here, root)
        self.home: SupervisorHome = home_here(store)
        if not in_place():
            python, jobs = os.environ.get(PYTHON_VARIABLE, ""), supervisors or SlurmSupervisors()
            self.home = RemoteHome(store, self.place.shell, jobs, root, python=python, extras=("remote",))
        self._runs: dict[str, SlurmRun] = {}

    def check(self, plan: Plan, *, held: Plan | None = None) -> None:  # noqa: ARG002 - what is there stays there
        """Refuses what no template can launch, and what the cluster can't have: partition, nodes, GPUs."""
        self._check_jobs(plan)
        check_cluster(self.place.shell, self.cluster, plan)
        remember(f"slurm:{self.cluster}", self.store, root=self.place.root)

    def preview(self, plan: Plan, *, seconds: float | None) -> Sequence[str]:
        """An allocation for each pool, and a CPU for the supervisor.  Raises Unreachable."""
        return preview_lines(plan, seconds, self.place.longest, images=self.has_containers)

    def roles(self, plan: Plan, stage: str) -> Sequence[Role]:
        """Those of the stage."""
        from clusterctl.jobs.stage_jobs import stage_roles

        return stage_roles(plan, stage)

    def _check_jobs(self, plan: Plan) -> None:
        from clusterctl.jobs.stage_jobs import stage_jobs

        for stage in plan.stages:
            stage_jobs(plan, stage.name, run_id="", token="")

    def jobs(self, run: RunRef, kept: Mapping[str, Mapping[str, str]]) -> Mapping[str, Job]:  # noqa: ARG002
        """As the templates of the stage's framework say."""
        from clusterctl.jobs.quickstart import run_token
        from clusterctl.jobs.stage_jobs import stage_jobs

        state, own = self._state(run), {"run_id": run.run_id, "token": run_token(run.folder), "python": own_python()}
        state.jobs = stage_jobs(run.plan, run.stage, **own, images=self.has_containers)
        return state.jobs

    def apply(self, run: RunRef, machines: Sequence[MachineRequest], *, make: bool) -> None:
        """Asks for the allocations of pools that lack one, all at once; gives back what is not named."""
        state, wanted = self._state(run), clusters(run.run_id, machines, self.place.most_letters)
        state.want(wanted)
        if state.seen is None:
            return
        jobs = newest(state.seen.jobs)
        for name, job in jobs.items():
            useless = not job.ended and (name not in wanted or state.failure(name))
            if job.tags.get("run") == run.run_id and (useless or job.is_broken):
                if (gently := state.release_gently(job.job_id)) is not None:
                    self.place.release(job, now=not gently)
            elif (seconds := state.lower_limit(job)) is not None:
                self.place.shorten(job, seconds)
        for name in wanted if make else ():
            launched = state.sky.state(f"launch {name}") is not None or name in state.seen.ready
            if not launched and (name not in jobs or not jobs[name].ended):
                self._make(run, state, name)
        for lost in state.unstarted() if make else ():
            self._start(run, state, lost.name, lost.job)

    def observe(self, run: RunRef) -> Observed:
        """The scheduler's listing and what the ranks say, in one look."""
        state = self._state(run)
        ready, history = state.became_ready(), state.has_forgotten()
        return state.observed(self.place.look(run.run_id, ready=ready, deadline=state.deadline, history=history))

    def find(self, run: RunRef, resource_id: str) -> bool:
        """Whether ranks of this instance live, or its launch is on its way."""
        state, name = self._state(run), folder_name(resource_id)
        seen = self.place.look(run.run_id, ready=(), deadline=state.deadline, history=False)
        folders = [folder for folder in seen.folders if folder.name == name]
        return any(state.instance(folder, seen).phase is not InstancePhase.ENDED for folder in folders)

    def launch(self, run: RunRef, change: Change, job: Job) -> str:
        """Writes the role's folder, and asks SkyPilot to start its ranks; whoever comes first of two attempts runs."""
        state = self._state(run)
        name = state.cluster_of(job.pool_id)
        if not name or state.seen is None:
            raise Unreachable(f"{job.pool_id or 'its pool'} has no machines yet")
        folder = self.place.folder(run.run_id)
        text = job_file(
            job,
            change,
            run_id=run.run_id,
            stage=run.stage,
            result=result_name(run.plan, run.stage),
            run_folder=folder,
            secrets_folder=f"{self.place.root}/secrets",
            cluster=name,
            environment=self.environment(),
            agent=self.place.agent(folder),
            cpus=cpu_share(run.plan, state.requests[name][0].pool, job, list(state.jobs.values())),
            folders=state.seen.folders,
            now=state.seen.now,
        )
        role = folder_name(change.resource_id)
        self.place.put(run.run_id, role, job.files, text)
        self._start(run, state, role, json.loads(text))
        return f"{name}:{role}"

    def stop(self, run: RunRef, change: Change, *, force: bool) -> None:
        """Tells its ranks, which pass it on; what is not started yet is withdrawn."""
        role = folder_name(change.resource_id)
        self._state(run).sky.cancel(f"exec {role}")
        self.place.stop(run.run_id, role, now=force)

    def set_deadline(self, run: RunRef, deadline: datetime | None, now: datetime) -> None:
        """Each rank reads it, once the next look has written it; the scheduler's own limit is the allocation's."""
        state = self._state(run)
        there = None if deadline is None or state.seen is None else state.seen.now + (deadline - now)
        if there is None or state.deadline is None or abs(there - state.deadline) > timedelta(seconds=10):
            state.deadline = there

    def fetch(self, run: RunRef) -> None:
        """Job reports, logs and result, by byte offset, where the run's folder here is not the place's own."""
        state = self._state(run)
        if time.monotonic() - state.fetched >= self.pace.observe_seconds:
            state.fetched = time.monotonic()
            results = [result_name(run.plan, stage.name) for stage in run.plan.stages]
            self.place.fetch(run.run_id, run.folder, results)
            state.account(run, self.place)

    def leftovers(self, live_runs: frozenset[str], known_runs: frozenset[str]) -> Sequence[Leftover]:
        """Our allocations of runs that this ledger knows and that don't live, and of any run whose time is over."""
        return left_over(self.place.jobs(), live_runs, known_runs)

    def remove(self, leftover: Leftover) -> None:
        """Cancels its job, unless the number belongs to another one by now."""
        number = leftover.address.rpartition(":")[2]
        for job in self.place.jobs():
            if job.job_id == number and job.name.startswith(PREFIX) and not job.ended:
                self.place.release(job, now=True)

    def _make(self, run: RunRef, state: SlurmRun, name: str) -> None:
        """Ask SkyPilot for an allocation; one that is there already it makes its own."""
        task = self.launch_task(run, state, name)
        state.sky.ask(f"launch {name}", "launch", name=name, task=task, idle_minutes=IDLE_MINUTES)

    def _start(self, run: RunRef, state: SlurmRun, role: str, row: Mapping[str, Any]) -> None:
        """Ask SkyPilot, once, to start the ranks of a role whose folder is written; row: its `job.json`."""
        name, folder = str(row["cluster"]), self.place.folder(state.run_id)
        if state.sky.state(f"launch {name}") is None:  # another server made it, which this one does not know
            self._make(run, state, name)
        command = f"python3 {folder}/node_agent.py {folder}/roles/{role} {secrets.token_hex(4)}"
        task = self.exec_task(state, name, role=role, command=command, row=row)
        state.sky.ask(f"exec {role}", "exec", after=f"launch {name}", name=name, task=task)

    def launch_task(self, run: RunRef, state: SlurmRun, name: str) -> dict[str, Any]:
        """What SkyPilot is asked for, for a pool."""
        assert state.seen is not None
        requests = state.requests[name]
        return launch_task(
            run,
            cluster=self.cluster,
            name=name,
            requests=requests,
            now=state.seen.now,
            deadline=state.deadline,
            longest=self.place.longest(requests[0].pool.instance_type),
        )

    def exec_task(
        self, state: SlurmRun, name: str, *, role: str, command: str, row: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What SkyPilot is asked for, for a role."""
        assert state.seen is not None
        job = newest(state.seen.jobs).get(name)
        return exec_task(self.cluster, state.requests[name][0].pool, role=role, command=command, row=row, job=job)

    def environment(self) -> dict[str, str]:
        """What every role sees of the place."""
        return {"HOME": self.place.home, "CLUSTERCTL_ENVS": f"{self.place.root}/envs"}

    def skypilot(self, home: Path, user: str) -> SkyPilot:
        """A server that reaches the place."""
        return SkyPilot(home, user, lambda: place_config(self.cluster, home))

    def _state(self, run: RunRef) -> SlurmRun:
        if run.run_id not in self._runs:
            # its server is beside the supervisor, with a home that may be lost; two ledgers may have a run of one id
            home = Path(tempfile.gettempdir()) / f"clusterctl-{os.getuid()}" / "skypilot"
            sky = self.skypilot(home / user_id(f"{self.store}/{run.run_id}"), user_id(run.run_id))
            if in_place():
                sky.end_family()  # of a supervisor before this one
            self._runs[run.run_id] = SlurmRun(run.run_id, sky)
        return self._runs[run.run_id]
