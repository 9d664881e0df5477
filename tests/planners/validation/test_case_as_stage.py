"""A published case and a stage of a run spec that say the same become the same columns."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from tiny_world import spec

from clusterctl.catalog.lookup import find_gpu, find_model
from planners.physics.columns import Workload
from planners.physics.shape import gpu_columns
from planners.physics.workload_rows import GROUPS, take_rows
from planners.validation.case import Case, read_case
from planners.validation.layout import context_of
from planners.validation.work import workload_of
from planners.workload.stage_builder import stage_work
from planners.workload.work_columns import training_workload

MODEL = "Qwen/Qwen2.5-7B-Instruct"
RL_CASE: dict[str, Any] = {
    "id": "case",
    "kind": "rl_step",
    "model": MODEL,
    "cluster": {"gpu": "H100", "gpus": 16},
    "train": {"algorithm": "grpo", "critic": False, "sharding": "fsdp", "optimizer_steps_per_rl_step": 4},
    "rollout": {
        "engine": "vllm",
        "prompts_per_step": 64,
        "samples_per_prompt": 16,
        "prompt_tokens": 300,
        "response_tokens": 1500,
        "response_tokens_p95": 4000,
        "max_tokens": 8192,
        "max_tokens_is": "response",
        "tp": 2,
    },
}
RL_STAGE: dict[str, Any] = {
    "kind": "rlcef",
    "model": MODEL,
    "steps": 10,
    "prompts_per_step": 64,
    "samples_per_prompt": 16,
    "prompt_tokens": 300,
    "response_tokens": {"mean": 1500, "p95": 4000},
    "max_response_tokens": 8192,
    "optimizer_steps_per_step": 4,
    "rollout": {"tp": 2},
    "train": {"sharding": "fsdp"},
}
SFT_CASE: dict[str, Any] = {
    "id": "case",
    "kind": "sft",
    "model": MODEL,
    "cluster": {"gpu": "H100", "gpus": 8},
    "train": {
        "sharding": "zero1",
        "precision": "fp8",
        "seq_len": 2048,
        "global_batch_samples": 64,
        "lora_rank": 16,
        "attention_kernel": "fa2",
        "compiled": True,
    },
}
SFT_STAGE: dict[str, Any] = {
    "kind": "sft",
    "model": MODEL,
    "tokens": 10**8,
    "seq_len": 2048,
    "global_batch_samples": 64,
    "train": {"sharding": "zero1", "precision": "fp8", "lora_rank": 16, "attention": "fa2", "compile": True},
}


@pytest.mark.parametrize(("raw", "stage"), [(RL_CASE, RL_STAGE), (SFT_CASE, SFT_STAGE)], ids=["rl", "sft"])
def test_a_case_and_a_stage_that_say_the_same_become_the_same_columns(
    raw: dict[str, Any], stage: dict[str, Any]
) -> None:
    case = read_case(raw, 0)
    assert isinstance(case, Case)
    gpu, model = gpu_columns(find_gpu("H100")), find_model(MODEL)
    at = context_of(case, model, gpu, year=2026.0)
    work = stage_work(spec(stage).stages[0], find_model)
    from_stage = training_workload(work, at)
    assert _values(workload_of(case, model, gpu, year=2026.0)) == _values(take_rows(from_stage, 0))


def _values(workload: Workload) -> dict[str, float | None]:
    """Every column by name; None = unknown.  Packing has no part in supervised work."""
    columns = {
        f"{group}.{field.name}": float(np.asarray(getattr(getattr(workload, group), field.name)))
        for group in GROUPS
        for field in fields(getattr(workload, group))
    }
    return {name: None if np.isnan(value) else value for name, value in columns.items()}


@pytest.mark.parametrize("offload", [True, False])
def test_an_offloaded_optimizer_of_a_case_counts(offload: bool) -> None:
    case = read_case(SFT_CASE | {"train": SFT_CASE["train"] | {"optimizer_offload": offload}}, 0)
    assert isinstance(case, Case)
    assert workload_of(case, find_model(MODEL), gpu_columns(find_gpu("H100")), year=2026.0).train.offload == offload
