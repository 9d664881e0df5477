"""Stages of models that run on CPUs ask for no GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tiny_world import EVALUATE, SFT, SYNTHESIZE, changed, world

from planners.domain import ModelShape
from planners.spec.run_spec import RunSpec
from planners.workload.on_host import CPU_MODELS
from planners.workload.stage_builder import stage_work
from planners.workload.stage_work import StageWork

SMALL = "clusterctl/smoke-tiny"


def find_model(name: Any) -> ModelShape:
    shape = world().find_model("Qwen/Qwen2.5-7B-Instruct")
    return replace(shape, name=str(name))


def work(base: dict[str, Any], **changes: Any) -> StageWork:
    stage = RunSpec.model_validate({"name": "x", "stages": [changed(base, **changes)]}).stages[0]
    return stage_work(stage, find_model)


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        (SFT, {"model": SMALL}),
        (EVALUATE, {"model": SMALL}),
        (SYNTHESIZE, {"teacher": {"model": SMALL}, "student": {"model": SMALL}}),
    ],
    ids=["sft", "evaluate", "synthesize"],
)
def test_small_models_need_a_machine_and_no_gpus(base: dict[str, Any], changes: dict[str, Any]) -> None:
    small = work(base, **changes)
    assert not small.needs_gpus
    assert small.sandbox_work is not None
    assert small.host is not None
    assert small.host.generate_seconds + small.host.train_seconds > 0
    assert work(base).needs_gpus


def test_the_seconds_are_tokens_times_seconds_per_token() -> None:
    small = work(SFT, model=SMALL, global_batch_samples=8)
    tokens = 8 * 4096
    assert small.host is not None
    assert small.host.train_seconds == pytest.approx(tokens * CPU_MODELS[SMALL].train_seconds)


def test_a_large_model_beside_a_small_one_keeps_both_on_gpus() -> None:
    mixed = work(SYNTHESIZE, student={"model": SMALL})
    assert mixed.needs_gpus
    assert len(mixed.generations) == 2
