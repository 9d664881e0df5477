"""What the templates of a stage's jobs may use: docs/frameworks.md lists it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clusterctl.errors import SpecError
from clusterctl.jobs.batch_sizes import stage_sizes
from clusterctl.jobs.stage_layout import SANDBOX, stage_layout
from clusterctl.json_text import json_text
from planners.plan.value import Plan, Pool, StagePlan
from planners.spec.job_spec import JobSpec
from planners.spec.profiles import sandbox_need
from planners.spec.run_spec import RunSpec, Stage
from planners.spec.stages_rl import RlcefStage

PACKAGE = "clusterctl/"
"""Before the names of models that a job makes itself: those of smoke runs."""
SLOWEST_FABRIC_GBPS = 200.0
"""Of a node with GPUs: EFA of p4d has 400 Gb/s, one InfiniBand HDR port 200; Ethernet by TCP is slower."""
TOKEN_FILE = "sandbox.token"  # noqa: S105 - the name of a file


def template_context(plan: Plan, planned: StagePlan, spec: Stage, pools: Mapping[str, Pool]) -> dict[str, Any]:
    """What a template may use; docs/frameworks.md lists it."""
    job, model = job_of(spec), getattr(spec, "model", None)
    name = model if isinstance(model, str) else getattr(model, "name", "")
    sandbox, layout = pools.get(SANDBOX), stage_layout(plan, planned)
    need = sandbox_need(getattr(spec, "sandbox", None), default_profile="judge")
    return {
        "plan": plan,
        "stage": spec,
        "layout": layout,
        "size": None if job.command else stage_sizes(spec, planned, layout),
        "before": _stage_before(plan, spec.name),
        "pools": pools,
        "job": job,
        "fabric": layout.nodes > 1 and plans_fabric(plan, pools),
        "reward_settings": reward_settings(spec, _stage_before(plan, spec.name), gpus=bool(layout.nodes))
        if spec.kind == "rlcef" and not job.command
        else "",
        "weights": job.weights or name.removeprefix(PACKAGE),
        "sandbox": need,
        "sandboxes_per_node": max((sandbox.slots or 1) // sandbox.nodes, 1) if sandbox else 0,
        "token_file": TOKEN_FILE,
    }


def reward_settings(stage: RlcefStage, before: Stage | None, *, gpus: bool) -> str:
    """What the programs of the reward read in `reward.json`.

    Judges behind an API are asked at OPENAI_BASE_URL.  Self-hosted judges and critics have servers in the place, whose
    addresses stand in variables that `job.environment` names; without GPUs, roles of the run serve small ones.  Raises
    SpecError for parts that nobody serves.
    """
    need, known = sandbox_need(stage.sandbox, default_profile="judge"), job_of(stage).environment
    said: dict[str, Any] = {"seconds": need.time_limit_seconds or 10.0}

    def addresses(part: str, variable: str, served: bool) -> str:
        if not served and variable not in known:
            raise SpecError(
                f"stage `{stage.name}`: nobody serves {part}",
                hint=f"serve it in the place; job: {{environment: [{variable}]}} names the variable with its address",
            )
        return variable

    for number, judge in enumerate(stage.judges, 1):
        name, length = judge.name or f"judge-{number}", judge.response_tokens
        most = round(length.max or length.p95 or 2 * length.mean)
        row: dict[str, Any] = {"weight": judge.weight, "share": judge.share, "max_tokens": most}
        if judge.api is not None:
            row |= {"urls": addresses(f"judge {name}", "OPENAI_BASE_URL", served=False), "model": judge.api.name}
            row["key_variable"] = "OPENAI_API_KEY"
        elif not gpus and str(judge.model).startswith(PACKAGE):
            row["urls"] = "JUDGE_URLS"
        else:
            row["urls"] = addresses(f"judge {name}", f"JUDGE_{name.upper().replace('-', '_')}_URLS", served=False)
        said.setdefault("judges", []).append({"name": name, **row})
    if stage.outcome_critic is not None:
        here = not gpus and before is not None and before.kind == "reward-model"
        variable = addresses("the outcome critic", "CRITIC_URLS", served=here)
        said["outcome_critic"] = {"urls": variable, "replaced_share": stage.outcome_critic.replaced_share}
    return json_text(said)


def plans_fabric(plan: Plan, pools: Mapping[str, Pool]) -> bool:
    """Whether nodes with GPUs are to talk by EFA or InfiniBand: always, but where a slower network is stated."""
    machines = {each.name: each for each in RunSpec.model_validate(plan.spec).fleet.machines}
    stated = [machines[pool.instance_type].network_gbps for pool in pools.values() if pool.instance_type in machines]
    return not any(speed is not None and speed < SLOWEST_FABRIC_GBPS for speed in stated)


def _stage_before(plan: Plan, name: str) -> Stage | None:
    """The stage that runs before, whose results lie in the run's folder of checkpoints under its name."""
    stages = RunSpec.model_validate(plan.spec).stages
    at = next(number for number, stage in enumerate(stages) if stage.name == name)
    return stages[at - 1] if at else None


def job_of(spec: Stage) -> JobSpec:
    """What the spec says of how the stage is started."""
    return spec.job or JobSpec()
