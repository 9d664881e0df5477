"""What SkyPilot is asked for on Slurm: an allocation for a pool, and a job on it."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from clusterctl.jobs import Job
from clusterctl.targets.base import TAG_PREFIX, MachineRequest
from clusterctl.targets.cloud_sizes import rented_size
from clusterctl.targets.run_ref import RunRef
from clusterctl.targets.slurm_jobs import SlurmJob, comment, time_limit
from clusterctl.targets.slurm_supervisor import SlurmSupervisors
from planners.plan.value import Plan, Pool
from planners.spec.fleet import Machines
from planners.spec.run_spec import RunSpec

IDLE_MINUTES = 60
"""Without a job on it SkyPilot itself gives an allocation back then; roles come within minutes."""
GRACE_SECONDS = 900.0
"""Of an allocation beyond the run's limits: a backstop, not the limit."""
LONGEST_SECONDS = 30 * 86400.0
"""Where no limit says less."""
SPARE_CPUS, SPARE_GIB = 2.0, 4.0
"""Left free on a node: for the run's supervisor, with SkyPilot's server (1.2 GB) beside it."""


def launch_task(
    run: RunRef,
    *,
    cluster: str,
    name: str,
    requests: Sequence[MachineRequest],
    now: datetime,
    deadline: datetime | None,
    longest: float | None,
) -> dict[str, Any]:
    """An allocation without a job: all nodes of a pool at once."""
    pool = requests[0].pool
    cpus, memory_gib = node_size(run.plan, pool)
    start = requests[0].resource_id.rpartition("/")[2]
    seconds = allowed_seconds(run, now, deadline)
    expires = f"{now.timestamp() + seconds:.0f}"
    options: dict[str, Any] = {
        **site_options(run.plan, pool),
        "time": time_limit(seconds, longest),
        "comment": comment(run=run.run_id, pool=pool.id, n=start, expires=expires),
    }
    resources: dict[str, Any] = {"infra": f"slurm/{cluster}/{pool.instance_type}", "cpus": cpus, "memory": memory_gib}
    if pool.gpus_per_node:
        resources["accelerators"] = f"{pool.gpu}:{pool.gpus_per_node}"
    return {
        "name": name,
        "num_nodes": len(requests),
        "resources": resources,
        "config": {"slurm": {"sbatch_options": options}},
    }


def exec_task(
    cluster: str, pool: Pool, *, role: str, command: str, row: Mapping[str, Any], job: SlurmJob | None
) -> dict[str, Any]:
    """A job of an allocation: the ranks of a role.  One that takes fewer nodes than there are is sent to its own one.

    row: its `job.json`.  Without a number of CPUs SkyPilot would take all, and other roles would wait.
    """
    nodes, gpus, cpus = int(row["nodes"]), int(row["gpus_per_node"]), max(int(row["cpus"]), 1)
    resources: dict[str, Any] = {"infra": f"slurm/{cluster}/{pool.instance_type}", "cpus": cpus}
    run = f"exec {command}"
    if nodes == 1 and job is not None and len(job.nodes) > 1:
        resources["cpus"] = 1
        gres = f"--gres=gpu:{gpus} " if gpus else ""
        address = "$(getent ahostsv4 $(hostname) | head -n1 | cut -d' ' -f1)"
        there = f"export CLUSTERCTL_NODE_RANK=0 CLUSTERCTL_NODE_ADDRESSES={address}; {run}"
        run = (
            "unset $(compgen -v SLURM_ | grep -v ^SLURM_CONF)\n"
            f"exec srun --overlap --jobid={job.job_id} --nodelist={job.nodes[int(row['index']) % len(job.nodes)]} "
            f"--nodes=1 --ntasks=1 --cpus-per-task={cpus} --mem=0 --kill-on-bad-exit {gres}bash -c {shlex.quote(there)}"
        )
    elif gpus:
        resources["accelerators"] = f"{pool.gpu}:{gpus}"
    return {"name": role, "num_nodes": nodes, "resources": resources, "run": run}


def cpu_share(plan: Plan, pool: Pool, job: Job, others: Sequence[Job]) -> float:
    """vCPUs of a node for one rank of a job: what it states, else an equal part of what the pool's jobs leave."""
    if job.cpus is not None:
        return job.cpus
    mine = [other for other in others if other.pool_id == job.pool_id] or [job]
    stated = sum(other.cpus for other in mine if other.cpus is not None)
    return (node_size(plan, pool)[0] - stated) // max(sum(other.cpus is None for other in mine), 1)


def preview_lines(
    plan: Plan, seconds: float | None, longest: Callable[[str], float | None], *, images: bool = True
) -> Sequence[str]:
    """What sbatch will be asked for.  longest: seconds that a partition allows; images: whether they are used."""
    asked = []
    wanted_seconds = (
        min(LONGEST_SECONDS if seconds is None else seconds, LONGEST_SECONDS - GRACE_SECONDS) + GRACE_SECONDS
    )
    for pool in plan.pools:
        cpus, memory_gib = node_size(plan, pool)
        gpus = f", {pool.gpus_per_node} × {pool.gpu}" if pool.gpus_per_node else ""
        node = f"{pool.nodes} node{'s' * (pool.nodes > 1)} of {cpus:g} CPUs, {memory_gib:g} GiB{gpus}"
        options = {"time": time_limit(wanted_seconds, longest(pool.instance_type)), **site_options(plan, pool)}
        said = " ".join(f"--{name}={value}" for name, value in options.items())
        at = (
            "a price that nobody has stated"
            if pool.usd_per_node_hour is None
            else f"${pool.usd_per_node_hour:g} a node-hour"
        )
        asked.append(f"{pool.stage} {pool.role}: partition {pool.instance_type}, {node}, {said}, at {at}")
    asked.append("supervisor: 1 CPU, 3 GiB, unpaid, until the run has ended")
    return [*asked, *(() if images else unused_images(plan))]


def unused_images(plan: Plan) -> list[str]:
    """What is said of each stage whose image a place without containers does not use."""
    stages = [(stage.name, stage.job) for stage in RunSpec.model_validate(plan.spec).stages if stage.job is not None]
    needs = "bash, python3 (3.9 or newer) and"
    return [
        f"{name}: the image {job.image} is not used: jobs of a Slurm cluster run on its nodes, which need {needs} "
        + ("what `job.command` calls" if job.command else "a package index, or the framework's environment in envs/")
        for name, job in stages
        if job.image
    ]


def node_size(plan: Plan, pool: Pool) -> tuple[float, float]:
    """vCPUs and memory that are asked for on each node: a little less than it has."""
    machines = machines_of(plan, pool)
    if machines is None and (rented := rented_size(pool.cloud, pool.instance_type)) is not None:
        return rented
    cpus, memory = (float(machines.vcpus), float(machines.memory_gib)) if machines is not None else (4.0, 16.0)
    return max(cpus - SPARE_CPUS, 1.0), max(memory - SPARE_GIB, min(memory, 1.0))


def machines_of(plan: Plan, pool: Pool) -> Machines | None:
    """What the spec says of a pool's machines."""
    spec = RunSpec.model_validate(plan.spec)
    named = [m for m in spec.fleet.machines if m.name == pool.instance_type and m.target in {None, pool.cloud}]
    return named[0] if named else None


def supervisors_of(plan: Plan) -> SlurmSupervisors:
    """Supervisors of the plan's runs: on a partition without GPUs where the spec has one, with its options."""
    spec = RunSpec.model_validate(plan.spec)
    places = {pool.cloud for pool in plan.pools}
    machines = [m for m in spec.fleet.machines if m.target is None or m.target in places]
    first = min(machines, key=lambda m: m.gpu is not None, default=None)
    if first is None:
        return SlurmSupervisors()
    return SlurmSupervisors(first.name or "", [f"--{name}={value}" for name, value in first.sbatch.items()])


def site_options(plan: Plan, pool: Pool) -> Mapping[str, str]:
    """Account, QOS and whatever else the site wants of sbatch."""
    machines = machines_of(plan, pool)
    return dict(machines.sbatch) if machines is not None else {}


def allowed_seconds(run: RunRef, now: datetime, deadline: datetime | None) -> float:
    """How long an allocation may live: until the run's limit in hours or dollars must be reached, and a little."""
    tags, rate = run.tags, sum((pool.usd_per_node_hour or 0.0) * pool.nodes for pool in run.plan.pools)
    limits = [LONGEST_SECONDS - GRACE_SECONDS]
    if deadline is not None:
        limits.append((deadline - now).total_seconds())
    with contextlib.suppress(ValueError, TypeError):  # no limit in hours
        limits.append((datetime.fromisoformat(tags.get(f"{TAG_PREFIX}/expires-at", "")) - now).total_seconds())
    with contextlib.suppress(ValueError, ZeroDivisionError):  # no limit in dollars, or no price
        limits.append(float(tags.get(f"{TAG_PREFIX}/budget", "")) / rate * 3600)
    return max(min(limits), 0.0) + GRACE_SECONDS
