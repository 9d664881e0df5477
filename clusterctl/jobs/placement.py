"""Whether a job fits the pool on which it is to run: a bundle that can't fit would wait for ever."""

from __future__ import annotations

from clusterctl.errors import SpecError
from clusterctl.jobs import Job
from planners.plan.value import Plan, Pool
from planners.spec.fleet import Machines
from planners.spec.run_spec import RunSpec


def check_placement(plan: Plan, role: str, job: Job, *, count: int = 1) -> None:
    """Raises SpecError where a role asks for more nodes, GPUs, CPUs or memory than its pool has.

    count: instances of the role, each on nodes of its own where it is a gang.
    """
    if not job.pool_id:
        return
    pool = next((each for each in plan.pools if each.id == job.pool_id), None)
    if pool is None:
        raise SpecError(f"role `{role}` wants pool {job.pool_id}, which the plan does not have")
    machine = _machine(plan, pool)
    bundles: tuple[tuple[float | None, float | None, str], ...] = (
        (job.nodes if job.nodes > 1 else count, pool.nodes, "nodes"),
        (job.gpus_per_node, pool.gpus_per_node, "GPUs per node"),
        (job.cpus, machine.vcpus if machine else None, "vCPUs per node"),
        (job.memory_gib, machine.memory_gib if machine else None, "GiB of memory per node"),
    )
    for asked, there, what in bundles:
        if asked is not None and there is not None and asked > there:
            raise SpecError(
                f"role `{role}` needs {asked:g} {what}, and pool {pool.id} has {there:g}: it would wait for ever",
                hint=f"plan with larger machines than {pool.instance_type}, or ask for less",
            )


def _machine(plan: Plan, pool: Pool) -> Machines | None:
    """What the spec says of the pool's machines; clouds' are known by their type alone."""
    machines = RunSpec.model_validate(plan.spec).fleet.machines
    return next((each for each in machines if each.name == pool.instance_type), None)
