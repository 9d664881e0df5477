"""Templates of stages that make data, train on it or measure a model: what they say for a plan, with GPUs and without."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from clusterctl.errors import SpecError
from clusterctl.jobs import Job
from clusterctl.jobs.stage_jobs import stage_jobs, stage_roles
from clusterctl.jobs.stage_layout import stage_layout
from clusterctl.paths import bundle_root
from planners.plan.value import Plan
from tests.clusterctl.jobs.planned import AWS, planned, tiny_world

DATA = {"job": {"data": "/data/rows.jsonl"}}
API = {"name": "acme-coder-1"}


def stage(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return tiny_world.changed(base, **changes)


def jobs(plan: Plan, number: int = 0) -> Mapping[str, Job]:
    return stage_jobs(plan, plan.stages[number].name, run_id="run-1", token="t")


def settings(job: Job, name: str) -> dict[str, Any]:
    return dict(json.loads(job.files[name])["settings"])


def test_teacher_and_student_are_served_on_every_node_and_the_writer_asks_them() -> None:
    plan = planned(stage(tiny_world.SYNTHESIZE, **DATA))
    rollout, writer = jobs(plan)["rollout"], jobs(plan)["writer"]
    layout = stage_layout(plan, plan.stages[0])
    assert rollout.gpus_per_node == 8
    assert f"--tensor-parallel-size {layout.engine_tp}" in rollout.command[-1]
    assert set(rollout.ports) >= {"teacher"}
    assert writer.needs["TEACHER_URLS"] == "rollout:teacher"
    spec = plan.spec["stages"][0]
    assert settings(writer, "synthesize.json")["seeds"] == "/data/rows.jsonl"
    assert spec["teacher"]["model"] in rollout.command[-1]


def test_a_teacher_behind_an_api_needs_no_server() -> None:
    plan = planned(stage(tiny_world.SYNTHESIZE, teacher={"api": API}, student=None, **DATA))
    assert "rollout" not in jobs(plan)
    assert json.loads(jobs(plan)["writer"].files["synthesize.json"])["teacher"] == {
        "urls": "OPENAI_BASE_URL",
        "model": "acme-coder-1",
        "key_variable": "OPENAI_API_KEY",
        "examples": False,
        "max_tokens": 3000,
    }


def test_wanted_items_become_candidates_by_their_yields() -> None:
    plan = planned(
        stage(tiny_world.SYNTHESIZE, candidates=None, items=100, yields={"parses": 0.5, "not_trivial": 0.5}, **DATA)
    )
    said = settings(jobs(plan)["writer"], "synthesize.json")
    assert (said["candidates"], said["items"], said["most_solved_share"]) == (400, 100, 0.99)


def test_sft_says_the_layout_that_was_planned() -> None:
    plan = planned(stage(tiny_world.SFT, train={"sharding": "fsdp"}, global_batch_samples=96, **DATA))
    layout, job = stage_layout(plan, plan.stages[0]), jobs(plan)["trainer"]
    config, accelerate = yaml.safe_load(job.files["sft.yaml"]), yaml.safe_load(job.files["accelerate.yaml"])
    assert config["per_device_train_batch_size"] * config["gradient_accumulation_steps"] * layout.dp == 96
    assert config["per_device_train_batch_size"] == plan.stages[0].layout["micro batch"]
    assert (accelerate["num_processes"], accelerate["distributed_type"]) == (layout.train_gpus, "FSDP")
    assert config["max_steps"] == pytest.approx(plan.stages[0].units, abs=1)
    assert config["assistant_only_loss"] is True
    assert config["gradient_checkpointing"] is (layout.recompute != "no")
    assert job.nodes == layout.train_nodes


def test_a_reward_model_learns_from_padded_pairs_with_centred_scores() -> None:
    said = {
        "kind": "reward-model",
        "model": tiny_world.SFT["model"],
        "samples": 960,
        "global_batch_samples": 96,
        "epochs": 2.0,
    }
    job = jobs(planned(said | {"train": {"sharding": "fsdp"}} | DATA))["trainer"]
    config = yaml.safe_load(job.files["reward.yaml"])
    assert (config["max_steps"], config["center_rewards_coefficient"]) == (20, 0.01)
    assert "clusterctl_trl reward" in job.command[-1]


def test_sft_takes_what_the_stage_before_has_synthesized() -> None:
    plan = planned(
        stage(tiny_world.SYNTHESIZE, **DATA), stage(tiny_world.SFT, train={"sharding": "fsdp"}, global_batch_samples=96)
    )
    config = yaml.safe_load(jobs(plan, 1)["trainer"].files["sft.yaml"])
    made = settings(jobs(plan)["writer"], "synthesize.json")["output"]
    assert (
        config["datasets"][0]["data_files"].replace("@CHECKPOINTS@", "$CLUSTERCTL_CHECKPOINTS") == f"{made}/sft.jsonl"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "names no training data"),
        ({"train": {"sharding": "megatron", "tp": 2}, "global_batch_samples": 96} | DATA, "has megatron tp 2"),
        ({"train": {"sharding": "fsdp"}, "global_batch_samples": 97} | DATA, "data-parallel ranks"),
    ],
)
def test_what_sft_can_not_do_is_one_message(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        jobs(planned(stage(tiny_world.SFT, **({"global_batch_samples": 96} | changes))))


def test_a_stated_batch_is_shared_evenly_by_the_ranks_that_are_planned() -> None:
    for batch in (64, 96, 40):
        for objective in ("cost", "time"):
            fleet = AWS | {"nodes": {"max": 7}}
            changes = {"train": {"sharding": "fsdp"}, "global_batch_samples": batch} | DATA
            plan = tiny_world.plan(stage(tiny_world.SFT, **changes), fleet=fleet, objective=objective)
            config, ranks = yaml.safe_load(jobs(plan)["trainer"].files["sft.yaml"]), plan.stages[0].layout["dp"]
            assert config["per_device_train_batch_size"] * config["gradient_accumulation_steps"] * ranks == batch


def test_a_batch_that_nobody_states_is_one_that_the_ranks_share() -> None:
    plan = planned(stage(tiny_world.SFT, train={"sharding": "fsdp"}, **DATA), fleet=AWS | {"nodes": 3})
    config = yaml.safe_load(jobs(plan)["trainer"].files["sft.yaml"])
    assert config["per_device_train_batch_size"] * config["gradient_accumulation_steps"] * 24 == 264, "256 is usual"
    assert config["max_steps"] == math.ceil(plan.stages[0].units * 256 / 264)


def test_a_benchmark_is_answered_by_the_model_and_scored_in_the_sandboxes() -> None:
    plan = planned(stage(tiny_world.EVALUATE, benchmark="humaneval", samples=20))
    roles = stage_roles(plan, plan.stages[0].name)
    assert [role.name for role in roles] == ["sandbox", "rollout", "scorer"]
    assert roles[-1].after == ("sandbox", "rollout")
    assert settings(jobs(plan)["scorer"], "evaluate.json")["problems"] == ""
    scorer = jobs(planned(stage(tiny_world.EVALUATE, benchmark="humaneval", samples=20, **DATA)))["scorer"]
    assert settings(scorer, "evaluate.json")["problems"] == "/data/rows.jsonl"
    assert scorer.needs == {"CLUSTERCTL_SANDBOXES": "sandbox", "MODEL_URLS": "rollout:http"}
    assert settings(scorer, "evaluate.json")["samples"] == 20


@pytest.mark.parametrize(
    ("base", "changes", "said"),
    [
        (tiny_world.EVALUATE, {"benchmark": "livecodebench"}, "no harness of ours runs livecodebench"),
        (tiny_world.EVALUATE, {"benchmark": "swebench-verified"}, "names no tasks"),
        (tiny_world.ROLLOUT, {}, "names no tasks"),
        (tiny_world.SYNTHESIZE, {}, "names no seeds"),
    ],
)
def test_what_is_missing_is_one_message(base: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        jobs(planned(stage(base, **changes)))


def test_agents_are_served_with_tool_calls_and_take_their_limits_from_the_plan() -> None:
    plan = planned(stage(tiny_world.ROLLOUT, turns=200, attempts=3, **DATA))
    assert "--enable-auto-tool-choice" in jobs(plan)["rollout"].command[-1]
    said = settings(jobs(plan)["runner"], "agents.json")
    assert (said["step_limit"], said["attempts"], said["tasks"]) == (400, 3, "/data/rows.jsonl")
    api = planned(stage(tiny_world.API_ROLLOUT, **DATA))
    assert "rollout" not in jobs(api)
    assert json.loads(jobs(api)["runner"].files["agents.json"])["model"] == {
        "model": tiny_world.API_ROLLOUT["api"]["name"]
    }


@pytest.mark.parametrize(
    "file", sorted((bundle_root() / "templates" / "specs").glob("smoke-*.yaml")), ids=lambda file: file.stem
)
def test_smoke_sizes_run_without_gpus_on_one_machine(file: Any) -> None:
    from datetime import UTC, datetime

    from clusterctl.plan_service import load_world
    from planners.plan.build import build_plan
    from planners.spec.run_spec import RunSpec

    checked = RunSpec.model_validate(yaml.safe_load(file.read_text("utf-8")))
    plan = build_plan(checked, load_world(checked), now=datetime(2026, 11, 30, tzinfo=UTC))
    assert all(not pool.gpus and pool.nodes == 1 for pool in plan.pools)
    for number in range(len(plan.stages)):
        (last,) = [role for role in stage_roles(plan, plan.stages[number].name) if role.until_done]
        for name, job in jobs(plan, number).items():
            assert job.gpus_per_node == 0, name
            assert "vllm" not in job.command[-1]
        assert last.count == 1
