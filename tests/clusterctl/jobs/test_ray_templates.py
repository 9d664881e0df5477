"""Roles of the frameworks on Ray: nodes of two pools in one cluster, the all-reduce before, what each framework refuses."""

from __future__ import annotations

from typing import Any

import pytest

from clusterctl.errors import SpecError
from clusterctl.jobs.stage_jobs import stage_jobs, stage_roles
from clusterctl.jobs.stage_layout import stage_layout
from tests.clusterctl.jobs.planned import AWS, planned, rlcef

FRAMEWORKS = ["verl", "openrlhf", "skyrl"]
DATA = {"data": "/data/train.jsonl"}


def own(network_gbps: float | None) -> dict[str, Any]:
    gpus = {
        "name": "gpu",
        "gpu": "H100",
        "vcpus": 192.0,
        "memory_gib": 2048.0,
        "nodes": 8,
        "network_gbps": network_gbps,
    }
    cpus = {"name": "cpu", "vcpus": 96.0, "memory_gib": 384.0, "nodes": 2}
    return {"targets": ["slurm:mini"], "nodes": 2, "machines": [gpus, cpus]}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_nodes_of_the_rollout_pool_join_the_trainers_cluster_after_it(framework: str) -> None:
    plan = planned(rlcef(framework=framework, schedule="async", job=DATA), fleet=AWS)
    layout = stage_layout(plan, plan.stages[0])
    roles = {role.name: role for role in stage_roles(plan, "rlcef")}
    jobs = stage_jobs(plan, "rlcef", run_id="r", token="t")
    assert roles["rollout"].after == ("sandbox", "trainer")
    assert (jobs["trainer"].nodes, jobs["rollout"].nodes) == (layout.train_nodes, layout.rollout_nodes)
    assert jobs["rollout"].needs["CLUSTERCTL_RAY"] == "trainer:ray"
    assert f"--offset {layout.train_nodes}" in jobs["rollout"].command[-1]
    for job in (jobs["trainer"], jobs["rollout"]):
        assert f"--nodes {layout.nodes} --gpus 8" in job.command[-1]
        assert {"clusterctl_ray.py", "clusterctl_preflight.py", "clusterctl_sandboxes.py"} <= set(job.files)
        assert "ray stop" not in job.command[-1]


@pytest.mark.parametrize(("network_gbps", "planned_fabric"), [(None, True), (400.0, True), (100.0, False)])
def test_tcp_is_refused_unless_the_spec_says_that_there_is_no_fabric(
    network_gbps: float | None, planned_fabric: bool
) -> None:
    plan = planned(rlcef(framework="verl", job=DATA), fleet=own(network_gbps))
    command = stage_jobs(plan, "rlcef", run_id="r", token="t")["trainer"].command[-1]
    assert ("--fabric" in command) == planned_fabric


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({"framework": "openrlhf", "train": {"tp": 2}}, "OpenRLHF trains by DeepSpeed, and the plan has megatron tp 2"),
        ({"framework": "openrlhf", "rollout": {"engine": "sglang"}}, "OpenRLHF generates by vLLM"),
        ({"framework": "openrlhf", "train": {"precision": "fp8"}}, "OpenRLHF trains and generates in bf16"),
        ({"framework": "verl", "train": {"sharding": "zero2"}}, "verl shards by fsdp or megatron"),
        ({"framework": "verl", "train": {"sharding": "fsdp", "precision": "fp8"}}, "verl trains in fp8 with megatron"),
        ({"framework": "skyrl", "rollout": {"engine": "sglang"}}, "SkyRL generates by vllm"),
        ({"framework": "skyrl", "algorithm": "dapo"}, "SkyRL trains by grpo"),
    ],
)
def test_what_a_framework_would_refuse_once_it_runs_is_refused_before(stage: dict[str, Any], said: str) -> None:
    plan = planned(rlcef(**stage | {"job": DATA}))
    with pytest.raises(SpecError, match=said):
        stage_jobs(plan, "rlcef", run_id="r", token="t")
