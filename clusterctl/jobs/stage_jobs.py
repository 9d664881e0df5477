"""The roles of a stage and how each is started, from a plan and the templates of its framework."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clusterctl.errors import SpecError
from clusterctl.jobs import Job
from clusterctl.jobs.placement import check_placement
from clusterctl.jobs.role_template import RoleTemplate, frameworks_of, jobs_folder, module_text, render_role, role_files
from clusterctl.jobs.stage_layout import BOTH, ROLLOUT, SANDBOX, TRAINER, stage_pools
from clusterctl.jobs.template_context import TOKEN_FILE, job_of, template_context
from planners.plan.value import Plan, Pool, StagePlan
from planners.runs.reconcile import Role
from planners.spec.job_spec import JobSpec
from planners.spec.run_spec import RunSpec, Stage

OURS, OWN = "clusterctl", "own"
"""Folders of templates: roles of every framework, and a command of the user's own."""
DEFAULT_FRAMEWORKS = {
    "rlcef": "verl",
    "sft": "trl",
    "reward-model": "trl",
    "pretrain": "torchtitan",
    "synthesize": OURS,
    "evaluate": OURS,
    "rollout": "mini-swe-agent",
}
"""By kind of stage, where the spec names none."""
DEFAULT_FRAMEWORK_CPU = {"rlcef": "trl"}
"""The same on machines without GPUs."""
FIRST_PORT, NUM_PORTS = 20_000, 10_000
"""Below what Linux hands out by itself (32,768); a run takes a few in a row, chosen by its id."""
ENVIRONMENTS = "${CLUSTERCTL_ENVS:-$HOME/.clusterctl/envs}"
"""Folder of the frameworks' environments in a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    template: RoleTemplate
    pool: Pool | None

    @property
    def nodes(self) -> int:
        return self.pool.nodes if self.pool and self.template.nodes == "all" else 1

    @property
    def count(self) -> int:
        return self.pool.nodes if self.pool and self.template.nodes == "each" else 1


def stage_roles(plan: Plan, stage: str) -> tuple[Role, ...]:
    """The roles of a stage of the plan, in the order in which they start.  Raises SpecError where no template fits."""
    described = _described(plan, stage, run_id="")
    return tuple(
        Role(
            name=name,
            count=each.count,
            after=tuple(role for role in each.template.after if role in described),
            until_done=each.template.until_done,
            vital=each.template.vital,
        )
        for name, each in described.items()
    )


def stage_jobs(
    plan: Plan, stage: str, *, run_id: str, token: str, python: str = sys.executable, images: bool = True
) -> Mapping[str, Job]:
    """How each role of a stage is started.

    run_id: chooses the ports; token: that the run's sandboxes ask for; python: of our own code in the place; images:
    whether the place runs containers, else each framework gets its environment, whatever image the spec names.
    Raises SpecError where no template fits the stage, or a job doesn't fit its pool.
    """
    described = _described(plan, stage, run_id=run_id, python=python)
    ports = _ports(described, run_id, stage)
    own = job_of(_spec_stage(plan, stage)).model_copy(update={} if images else {"image": None})
    jobs = {
        name: _job(name, each, ports[name], own=own, token=token, roles=frozenset(described))
        for name, each in described.items()
    }
    for name, job in jobs.items():
        check_placement(plan, name, job, count=described[name].count)
    return jobs


def _described(plan: Plan, stage: str, **more: str) -> dict[str, _Described]:
    """Role -> its template, filled in, and its pool."""
    planned, spec = _stage_plan(plan, stage), _spec_stage(plan, stage)
    pools = stage_pools(plan, stage)
    context = template_context(plan, planned, spec, pools) | {"python": sys.executable} | more
    described = {}
    for role, file in _files(spec, pools).items():
        template = render_role(file, context | {"role": role})
        if template.when:
            described[role] = _Described(template=template, pool=_pool(pools, template.pool))
    return described


def _files(spec: Stage, pools: Mapping[str, Pool]) -> dict[str, Path]:
    framework = framework_of(spec, gpus=any(pool.gpus for pool in pools.values()))
    files = role_files(framework, "any" if framework == OWN else spec.kind)
    if not files:
        known = frameworks_of(spec.kind)
        raise SpecError(
            f"stage `{spec.name}` can be planned, not launched: no template of {framework or spec.kind}",
            hint=(f"framework: {' or '.join(known)}; " if known else "")
            + "a `job:` with a command of your own (docs/frameworks.md)",
        )
    return role_files(OURS, "any") | files


def framework_of(spec: Stage, *, gpus: bool) -> str:
    """Folder of the templates by which a stage runs; empty = nobody has any."""
    job = job_of(spec)
    if job.command is not None:
        return OWN
    stated = getattr(spec, "framework", None)
    usual = DEFAULT_FRAMEWORKS if gpus else DEFAULT_FRAMEWORKS | DEFAULT_FRAMEWORK_CPU
    return str(stated or usual.get(spec.kind, ""))


def _pool(pools: Mapping[str, Pool], name: str) -> Pool | None:
    """The pool for a purpose; machines without GPUs do all of it."""
    if not name:
        return None
    shared = {TRAINER: (TRAINER, BOTH, SANDBOX), ROLLOUT: (ROLLOUT, BOTH, SANDBOX)}.get(name, (name,))
    return next((pools[each] for each in shared if each in pools), None)


def _ports(described: Mapping[str, _Described], run_id: str, stage: str) -> dict[str, dict[str, int]]:
    first = FIRST_PORT + zlib.crc32(f"{run_id}/{stage}".encode()) % NUM_PORTS
    numbers: Iterator[int] = iter(range(first, first + NUM_PORTS))
    return {role: {port: next(numbers) for port in each.template.ports} for role, each in described.items()}


def _job(
    name: str, described: _Described, ports: Mapping[str, int], *, own: JobSpec, token: str, roles: frozenset[str]
) -> Job:
    template, pool = described.template, described.pool
    trains = template.until_done
    joins = any(named.partition(":")[0] == TRAINER for named in template.needs.values())
    alike = trains or joins  # Ray's workers of a reward run on any node
    modules = {f"{module}.py": module_text(module) for module in template.modules}
    setup = [make_environment(template)] if template.packages and not own.image else []
    setup += [template.setup] if template.setup else []
    setup += [own.setup] if own.setup and trains else []
    environment = template.environment | {
        f"CLUSTERCTL_PORT_{port.upper()}": str(number) for port, number in ports.items()
    }
    return Job(
        command=("bash", "-c", _script(template, own)),
        environment=environment,
        pool_id=pool.id if pool else "",
        nodes=described.nodes,
        gpus_per_node=pool.gpus_per_node if pool and (trains or name == ROLLOUT) else 0,
        image=own.image or "" if alike else "",
        setup="\n".join(setup),
        files=modules | template.files | {TOKEN_FILE: token},
        secrets=own.environment if alike else (),
        ports=ports,
        needs={variable: role for variable, role in template.needs.items() if role.partition(":")[0] in roles},
        ready_path=template.ready_path,
    )


def _script(template: RoleTemplate, own: JobSpec) -> str:
    """The command, with its environment's programs first on the path; absolute paths, since Ray's workers have folders
    of their own."""
    head = f'set -euo pipefail\nexport CLUSTERCTL_SANDBOX_TOKEN_FILE="$CLUSTERCTL_FOLDER/{TOKEN_FILE}"\n'
    if template.modules:
        head += 'export PYTHONPATH="$CLUSTERCTL_FOLDER"\n'
    if template.packages and not own.image:
        head += f'PATH="{ENVIRONMENTS}/{template.packages.name}/bin:$PATH"\n'
    return head + template.command


def make_environment(template: RoleTemplate) -> str:
    """Shell script that makes a role's Python environment where it is missing."""
    packages = template.packages
    assert packages is not None
    listed = "\n".join(packages.install)
    without = "\n".join(f"{name}; python_version < '0'" for name in packages.without)
    values = {"NAME": packages.name, "PYTHON": packages.python, "INSTALL": listed, "WITHOUT": without}
    script = (jobs_folder() / "lib" / "environment.sh").read_text("utf-8")
    for key, value in values.items():
        script = script.replace(f"@{key}@", value)
    return script


def _stage_plan(plan: Plan, name: str) -> StagePlan:
    return next(stage for stage in plan.stages if stage.name == name)


def _spec_stage(plan: Plan, name: str) -> Stage:
    return next(stage for stage in RunSpec.model_validate(plan.spec).stages if stage.name == name)
