"""Roles and jobs of a stage: what a plan and a spec's `job:` make of the templates."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterctl.errors import SpecError
from clusterctl.jobs import Job
from clusterctl.jobs.placement import check_placement
from clusterctl.jobs.role_template import jobs_folder, module_text
from clusterctl.jobs.stage_jobs import stage_jobs, stage_roles
from clusterctl.jobs.stage_layout import stage_layout
from tests.clusterctl.jobs.planned import H100_NODES, planned, rlcef

TRL = {"framework": "trl", "train": {"sharding": "fsdp"}, "job": {"data": "train.jsonl"}}
OWN = {"command": "python train.py", "image": "trainer@sha256:1", "setup": "make", "environment": ["WANDB_API_KEY"]}


def jobs(**stage: Any) -> dict[str, Job]:
    plan = planned(rlcef(**stage))
    return dict(stage_jobs(plan, "rlcef", run_id="run-1", token="secret"))


def test_a_stage_has_a_sandbox_server_per_node_and_a_trainer_that_comes_after_them() -> None:
    plan = planned(rlcef(**TRL))
    sandbox, trainer = stage_roles(plan, "rlcef")
    pool = next(pool for pool in plan.pools if pool.role == "sandbox")
    assert (sandbox.name, sandbox.count, sandbox.until_done) == ("sandbox", pool.nodes, False)
    assert (trainer.name, trainer.count, trainer.until_done, trainer.after) == ("trainer", 1, True, ("sandbox",))


def test_the_sandbox_serves_as_many_at_once_as_planned_and_asks_for_the_token_in_a_file() -> None:
    plan = planned(rlcef(**TRL))
    pool = next(pool for pool in plan.pools if pool.role == "sandbox")
    job = jobs(**TRL)["sandbox"]
    assert f" {(pool.slots or 0) // pool.nodes} " in job.command[-1]
    assert job.files["sandbox.token"] == "secret"
    assert "secret" not in " ".join(job.command) + str(job.environment)
    assert (job.pool_id, job.ready_path, job.nodes) == (pool.id, "/v1/ping", 1)


def test_the_trainer_takes_all_nodes_of_its_pool_as_one_gang_and_asks_the_sandboxes() -> None:
    plan = planned(rlcef(**TRL))
    layout = stage_layout(plan, plan.stages[0])
    job = jobs(**TRL)["trainer"]
    assert (job.nodes, job.gpus_per_node) == (layout.train_nodes, 8)
    assert job.needs == {"CLUSTERCTL_SANDBOXES": "sandbox"}
    config = yaml.safe_load(job.files["accelerate.yaml"])
    assert (config["num_processes"], config["num_machines"]) == (layout.train_gpus, layout.train_nodes)
    assert "trl-1.16.0" in job.setup
    assert "trl-1.16.0/bin" in job.command[-1]


@pytest.mark.parametrize(("framework", "sharding"), [("trl", "fsdp"), ("openrlhf", "fsdp")])
def test_a_framework_without_megatron_is_planned_without_it(framework: str, sharding: str) -> None:
    plan = planned(rlcef(framework=framework, job={"data": "d.jsonl"}))
    assert stage_layout(plan, plan.stages[0]).sharding == sharding
    assert "trainer" in stage_jobs(plan, "rlcef", run_id="r", token="t")


def test_judges_and_critics_that_nobody_serves_are_refused() -> None:
    for part, said in (
        ({"judges": [{"name": "style", "model": "Qwen/Qwen2.5-7B-Instruct"}]}, "nobody serves judge style"),
        ({"judges": [{"api": {"name": "acme-coder-1"}}]}, "nobody serves judge judge-1"),
        ({"outcome_critic": {"model": "Qwen/Qwen2.5-7B-Instruct", "replaced_share": 0.5}}, "the outcome critic"),
    ):
        with pytest.raises(SpecError, match=said):
            jobs(**TRL | part)


@pytest.mark.parametrize("framework", ["verl", "openrlhf", "skyrl"])
@pytest.mark.parametrize("schedule", ["colocated", "disaggregated"])
def test_judges_are_asked_beside_every_framework_from_all_nodes_of_its_ray(framework: str, schedule: str) -> None:
    judge = {"name": "style", "model": "Qwen/Qwen2.5-7B-Instruct", "weight": 0.3}
    job = {"data": "d.parquet", "environment": ["JUDGE_STYLE_URLS"], "image": "trainer@sha256:1"}
    changes = {"judges": [judge], "train": {"sharding": "fsdp"}, "schedule": schedule, "job": job}
    fleet = H100_NODES | {"nodes": 2} if schedule == "disaggregated" else H100_NODES
    found = stage_jobs(planned(rlcef(framework=framework, **changes), fleet=fleet), "rlcef", run_id="r", token="t")
    assert ("rollout" in found) == (schedule == "disaggregated")
    for name in found.keys() - {"sandbox"}:
        job_ = found[name]
        assert json.loads(job_.files["reward.json"])["judges"][0]["urls"] == "JUDGE_STYLE_URLS"
        assert {"clusterctl_mixed_rewards.py", "clusterctl_judges.py", "clusterctl_execution.py"} <= job_.files.keys()
        assert (job_.secrets, job_.image) == (("JUDGE_STYLE_URLS",), "trainer@sha256:1")
    if framework == "verl":
        assert "reward.custom_reward_function.path" in found["trainer"].command[-1]
        assert "sandbox_fusion.url" not in found["trainer"].command[-1]


def test_judges_and_critics_of_the_place_are_asked_with_their_weights() -> None:
    served = {"environment": ["JUDGE_STYLE_URLS", "OPENAI_BASE_URL", "OPENAI_API_KEY", "CRITIC_URLS"], "data": "d"}
    judges = [
        {"name": "style", "model": "Qwen/Qwen2.5-7B-Instruct", "weight": 0.3, "share": 0.5},
        {"name": "safety", "api": {"name": "acme-coder-1"}},
    ]
    critic = {"model": "Qwen/Qwen2.5-7B-Instruct", "replaced_share": 0.8}
    trainer = jobs(**TRL | {"judges": judges, "outcome_critic": critic, "job": served})["trainer"]
    said = json.loads(trainer.files["reward.json"])
    assert said["outcome_critic"] == {"urls": "CRITIC_URLS", "replaced_share": 0.8}
    style, safety = said["judges"]
    assert style == {"name": "style", "weight": 0.3, "share": 0.5, "max_tokens": 400, "urls": "JUDGE_STYLE_URLS"}
    assert (safety["urls"], safety["model"], safety["weight"]) == ("OPENAI_BASE_URL", "acme-coder-1", 1.0)
    assert set(trainer.secrets) == set(served["environment"])


def test_ports_are_the_same_for_a_run_and_differ_between_runs_and_roles() -> None:
    plan = planned(rlcef(**TRL))
    first, again, other = (
        {name: job.ports for name, job in stage_jobs(plan, "rlcef", run_id=run, token="t").items()}
        for run in ("run-1", "run-1", "run-2")
    )
    assert first == again != other
    numbers = [number for ports in first.values() for number in ports.values()]
    assert len(numbers) == len(set(numbers))


def test_a_command_of_ones_own_replaces_the_framework() -> None:
    job = jobs(job=OWN, framework="verl")["trainer"]
    assert job.command[-1].endswith("\npython train.py")
    assert (job.image, job.setup, job.secrets) == ("trainer@sha256:1", "make", ("WANDB_API_KEY",))
    assert "clusterctl_reports.py" in job.files


def test_a_command_of_ones_own_may_do_what_frameworks_can_not() -> None:
    odd = {"prompts_per_step": 63, "samples_per_prompt": 3, "judges": [{"model": "Qwen/Qwen2.5-7B-Instruct"}]}
    assert "trainer" in jobs(job=OWN, **odd)


def test_weights_and_data_reach_a_command_by_name() -> None:
    job = jobs(job={"command": "true", "weights": "/models/w", "data": "/data/d.jsonl"})["trainer"]
    assert job.environment["CLUSTERCTL_WEIGHTS"] == "/models/w"
    assert job.environment["CLUSTERCTL_DATA"] == "/data/d.jsonl"


def test_weights_and_data_reach_a_framework_by_its_configuration() -> None:
    job = jobs(**TRL | {"job": {"weights": "/models/w", "data": "/data/d.jsonl"}})["trainer"]
    config = yaml.safe_load(job.files["grpo.yaml"])
    assert config["model_name_or_path"] == "/models/w"
    assert config["datasets"][0]["data_files"] == "/data/d.jsonl"


def test_an_image_has_its_packages_so_that_no_environment_is_made() -> None:
    job = jobs(**TRL | {"job": {"data": "d", "image": "trl@sha256:2"}})["trainer"]
    assert job.image == "trl@sha256:2"
    assert job.setup == ""
    assert "/bin:" not in job.command[-1]


@pytest.mark.parametrize(
    ("stage", "said", "hint"),
    [
        ({"framework": "slime"}, "no template of slime", "a `job:` with a command of your own"),
        ({"framework": "trl", "train": {"sharding": "fsdp"}}, "names no training data", "job: {data: FILE.jsonl}"),
        (TRL | {"train": {"tp": 2}}, "and the plan has megatron tp 2", "sharding: fsdp"),
        (TRL | {"prompts_per_step": 63, "samples_per_prompt": 3}, "data-parallel ranks", "prompts_per_step"),
    ],
)
def test_what_a_framework_can_not_do_is_one_message(stage: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(SpecError) as raised:
        jobs(**stage)
    assert said in raised.value.message
    assert hint in str(raised.value.hint)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"nodes": 9}, "needs 9 nodes"),
        ({"gpus_per_node": 16}, "needs 16 GPUs per node, and pool pool.rlcef.trainer+rollout has 8"),
        ({"cpus": 500.0}, "needs 500 vCPUs per node"),
        ({"memory_gib": 9999.0}, "GiB of memory per node"),
    ],
)
def test_a_bundle_that_can_not_fit_its_pool_is_refused_before_launch(asked: dict[str, Any], said: str) -> None:
    plan = planned(rlcef(**TRL), fleet=H100_NODES)
    with pytest.raises(SpecError, match="it would wait for ever") as raised:
        check_placement(plan, "trainer", Job(command=("true",), pool_id="pool.rlcef.trainer+rollout", **asked))
    assert said in raised.value.message


def test_modules_that_run_beside_a_framework_import_nothing_of_ours_and_suit_old_pythons() -> None:
    for file in (jobs_folder() / "lib").glob("clusterctl_*.py"):
        assert not re.search(r"\b(from|import) clusterctl[. ]", module_text(file.stem))


def test_an_environment_is_made_once_and_then_taken_as_it_is(tmp_path: Path) -> None:
    setup = jobs(**TRL)["trainer"].setup
    made = tmp_path / "trl-1.16.0" / "bin"
    made.mkdir(parents=True)
    (made / "python").touch(mode=0o755)
    run = subprocess.run(
        ["bash", "-c", setup],
        env={"PATH": "/usr/bin:/bin", "CLUSTERCTL_ENVS": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_nodes_that_come_at_once_make_an_environment_once(tmp_path: Path) -> None:
    setup = jobs(**TRL)["trainer"].setup
    programs = tmp_path / "bin"
    programs.mkdir()
    uv = 'echo "$1" >>"$CLUSTERCTL_ENVS.log"; [ "$1" = pip ] || { sleep 0.3; for made; do :; done; mkdir -p "$made/bin"; }\n'
    uv += '[ "$1" = pip ] && { touch "$CLUSTERCTL_ENVS/trl-1.16.0/bin/python"; chmod +x "$CLUSTERCTL_ENVS/trl-1.16.0/bin/python"; }\nexit 0\n'
    (programs / "uv").write_text("#!/bin/bash\n" + uv)
    (programs / "uv").chmod(0o755)
    (programs / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.1\n")
    (programs / "sleep").chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "CLUSTERCTL_ENVS": str(tmp_path / "envs")}
    nodes = [subprocess.Popen(["bash", "-c", setup], env=environment, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [node.wait(timeout=30) for node in nodes] == [0, 0, 0]
    assert (tmp_path / "envs.log").read_text().split() == ["venv", "pip"]
    assert [found.name for found in (tmp_path / "envs").iterdir()] == ["trl-1.16.0"]


def test_an_environment_that_can_not_be_made_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    setup = jobs(**TRL)["trainer"].setup
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "uv").write_text("#!/bin/sh\nexit 1\n")
    (programs / "uv").chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "CLUSTERCTL_ENVS": str(tmp_path / "envs")}
    run = subprocess.run(["bash", "-c", setup], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.count("error:") == 1
    assert list((tmp_path / "envs").iterdir()) == []
