"""The layout that a plan chose is what each framework's own parser reads in our configuration, over many plans."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from roles_here import CACHE

from clusterctl.errors import SpecError
from clusterctl.jobs import Job
from clusterctl.jobs.batch_sizes import batch_sizes
from clusterctl.jobs.stage_jobs import stage_jobs
from clusterctl.jobs.stage_layout import StageLayout, stage_layout
from planners.search.selection import NoFleetError
from planners.spec.run_spec import RunSpec
from planners.spec.stages_rl import RlcefStage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clusterctl" / "jobs"))
from planned import planned, rlcef

SMALL, LARGE = "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-Coder-32B-Instruct"
MOE = "Qwen/Qwen3-30B-A3B"
H200 = {"targets": ["aws"], "gpus": ["H200"]}
SHARDINGS = {
    "trl": ["fsdp", "zero2"],
    "verl": ["auto", "fsdp", "megatron"],
    "openrlhf": ["zero3", "zero2"],
    "skyrl": ["auto", "fsdp", "megatron"],
}
SCHEDULES = {
    "trl": ["colocated"],
    "verl": ["colocated", "async"],
    "openrlhf": ["colocated", "async"],
    "skyrl": ["colocated", "async"],
}
CHANGES: list[dict[str, Any]] = [
    {},
    {"model": LARGE, "optimizer_steps_per_step": 4},
    {"model": LARGE, "rollout": {"tp": 4, "eager": True}, "reference": False},
    {"samples_per_prompt": 16, "train": {"recompute": "full", "optimizer_offload": True}},
    {"train": {"recompute": "none", "micro_batch_samples": 2}, "rollout": {"tp": 1}, "max_response_tokens": 2048},
    {"train": {"lora_rank": 32}, "max_response_tokens": 1024, "response_tokens": 300},
]
MEGATRON: list[dict[str, Any]] = [
    {"model": LARGE, "train": {"tp": 4, "pp": 2}},
    {"model": LARGE, "train": {"tp": 2, "cp": 2, "recompute": "selective"}},
    {"model": MOE, "train": {"ep": 4}},
]
CRITIC: dict[str, Any] = {"algorithm": "ppo", "samples_per_prompt": 1, "prompts_per_step": 512}


def stages(framework: str) -> list[dict[str, Any]]:
    """Specs of a stage, as many as a framework takes."""
    changes = [
        *CHANGES,
        *(MEGATRON if "megatron" in SHARDINGS[framework] else []),
        *([] if framework == "trl" else [CRITIC]),
    ]
    made = []
    for change, sharding, schedule in product(changes, SHARDINGS[framework], SCHEDULES[framework]):
        degrees = any((change.get("train") or {}).get(name) for name in ("tp", "pp", "ep"))
        if degrees and sharding not in ("auto", "megatron"):
            continue
        train = {"sharding": sharding} | change.get("train", {})
        job = {"data": "/data/train.jsonl"}
        made.append(rlcef(**change | {"train": train, "framework": framework, "schedule": schedule, "job": job}))
    judge = {"judges": [{"name": "style", "model": LARGE}]}
    job = {"data": "/data/train.jsonl", "environment": ["JUDGE_STYLE_URLS"]}
    return [*made, rlcef(**judge, framework=framework, job=job)]


@cache
def planned_cases(framework: str) -> list[tuple[RlcefStage, StageLayout, Job]]:
    """Stage, layout and the trainer's job of every spec that has a plan which the framework can run."""
    cases = []
    for stage in stages(framework):
        try:
            plan = planned(stage, fleet=H200)
            job = stage_jobs(plan, "rlcef", run_id="r", token="t")["trainer"]
        except (NoFleetError, SpecError):
            continue
        spec = RunSpec.model_validate(plan.spec).stages[0]
        assert isinstance(spec, RlcefStage)
        cases.append((spec, stage_layout(plan, plan.stages[0]), job))
    return cases


def options_of(framework: str, job: Job) -> list[str]:
    """The words of the framework's command line that don't come from its file."""
    if framework == "verl":
        words = shlex.split(job.command[-1].replace("\\\n", " "))
        return [word for word in words if word.startswith(("model_engine=", "reward."))]
    if framework == "openrlhf":
        return [*job.files["openrlhf.args"].splitlines(), "--reward.remote_url=rewards.py"]
    return job.files["skyrl.args"].splitlines() if framework == "skyrl" else []


def parsed(framework: str) -> list[dict[str, Any]]:
    """What the framework's parser makes of every case."""
    python = CACHE / framework / "bin" / "python"
    if not (CACHE / framework / "made-from.lock").exists():
        pytest.skip(f"no environment {framework}: tests/engines/install.sh makes it")
    asked = [
        {"files": dict(job.files), "options": options_of(framework, job)} for _, _, job in planned_cases(framework)
    ]
    run = subprocess.run(
        [python, Path(__file__).with_name("framework_parsers.py"), framework],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/tmp", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    answers: list[dict[str, Any]] = json.loads(run.stdout)
    return answers


def expected(stage: RlcefStage, layout: StageLayout) -> dict[str, Any]:
    """What the plan says, by the names of the parsers' answers; a parser answers those that its framework has."""
    size, megatron = batch_sizes(stage, layout), layout.sharding == "megatron"
    share = layout.train_gpus // (layout.tp * layout.pp * layout.cp)
    assert size.micro_batch * size.accumulation * share == size.mini_batch
    recompute: Any = layout.recompute != "no"
    if megatron and stage.framework == "verl":
        recompute = None if layout.recompute == "no" else layout.recompute
    offload = stage.train.optimizer_offload or (stage.framework == "verl" and layout.colocated)
    return {
        "weights": stage.model,
        "data": "/data/train.jsonl",
        "sharding": layout.sharding,
        "zero_stage": {"fsdp": 3, "zero2": 2}.get(layout.sharding),
        "tp": layout.tp,
        "pp": layout.pp,
        "cp": layout.cp,
        "ep": layout.ep,
        "train_nodes": layout.train_nodes,
        "train_gpus": layout.train_gpus,
        "gpus_per_node": layout.gpus_per_node,
        "rollout_nodes": layout.rollout_nodes,
        "colocated": layout.colocated,
        "async": layout.schedule == "async",
        "engine": stage.rollout.engine,
        "engines": layout.engines,
        "engine_tp": layout.engine_tp,
        "engine_pp": layout.engine_pp,
        "engine_memory_share": 0.65 if layout.colocated else 0.9,
        "engine_fp8": stage.rollout.precision == "fp8",
        "eager": bool(stage.rollout.eager),
        "prompts": stage.prompts_per_step,
        "samples_per_prompt": stage.samples_per_prompt,
        "samples": stage.prompts_per_step * stage.samples_per_prompt,
        "mini_batch": stage.prompts_per_step * stage.samples_per_prompt // stage.optimizer_steps_per_step,
        "micro_batch": size.micro_batch,
        "accumulation": size.accumulation,
        "updates": stage.steps * stage.optimizer_steps_per_step,
        "recompute": recompute,
        "offload": False if stage.framework == "skyrl" and megatron else offload,
        "reference": stage.uses_reference,
        "critic": stage.trains_critic,
        "steps": stage.steps,
        "max_response_tokens": stage.max_response_tokens,
        "lora_rank": stage.train.lora_rank,
        "bf16": True,
        "precision": "bf16",
        "sandbox_url": None if stage.judges else "http://127.0.0.1:$CLUSTERCTL_PORT_SANDBOX/run_code",
        "reward_file": "$CLUSTERCTL_FOLDER/clusterctl_mixed_rewards.py" if stage.judges else None,
    }


@pytest.mark.parametrize("framework", list(SHARDINGS))
def test_a_framework_reads_the_planned_layout_in_its_own_configuration(framework: str) -> None:
    cases, answers = planned_cases(framework), parsed(framework)
    assert len(cases) >= 8, "too few plans to say much"
    for (stage, layout, _), answer in zip(cases, answers, strict=True):
        wanted = expected(stage, layout)
        assert answer == {name: wanted.get(name, answer[name]) for name in answer}, (stage, layout)
        assert "error" not in answer, answer
