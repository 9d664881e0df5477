"""Sandbox profiles and benchmarks: what is filled in, from where, and that what is stated wins."""

from __future__ import annotations

from dataclasses import fields

import pytest

from planners.spec.benchmarks import BENCHMARKS, evaluate_need
from planners.spec.lengths import Durations
from planners.spec.options import SandboxSpec
from planners.spec.profiles import PROFILES, SandboxNeed, sandbox_need
from planners.spec.stages_agent import BenchmarkName, EvaluateStage


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_fills_every_field(profile: str) -> None:
    stated = {"profile", "serial", "concurrency", "assumed"}
    assert set(PROFILES[profile]) == {field.name for field in fields(SandboxNeed)} - stated  # type: ignore[index]  # the keys are the profiles
    assert set(PROFILES[profile]) == set(SandboxSpec.model_fields) - {"profile", "serial", "concurrency"}  # type: ignore[index]


def test_what_is_stated_wins_and_the_rest_is_named_with_its_source() -> None:
    need = sandbox_need(SandboxSpec(cpus=3, concurrency=7, serial=True), default_profile="judge")
    assert (need.cpus, need.memory_gib, need.concurrency, need.serial, need.stateful) == (3, 1.0, 7, True, False)
    named = {assumed.name: assumed for assumed in need.assumed}
    assert "sandbox.cpus" not in named
    assert named["sandbox.memory_gib"].value == "1"
    assert "memory_limit_mb" in named["sandbox.memory_gib"].source


def test_the_spec_chooses_the_profile_over_the_stage() -> None:
    assert sandbox_need(SandboxSpec(profile="browser"), default_profile="judge").max_per_node == 80
    assert sandbox_need(None, default_profile="swe").stateful is True


@pytest.mark.parametrize("benchmark", [name for name in BENCHMARKS if name != "custom"])
def test_a_benchmark_needs_only_its_name(benchmark: BenchmarkName) -> None:
    need = evaluate_need(EvaluateStage(kind="evaluate", model="m", benchmark=benchmark))
    assert need.tasks > 0
    assert need.response_tokens.mean > 0
    assert all(assumed.source for assumed in need.assumed)
    assert need.sandbox.stateful is benchmark.startswith("swebench")


def test_every_issue_has_an_image_of_its_own() -> None:
    assert evaluate_need(EvaluateStage(kind="evaluate", model="m", benchmark="swebench-lite")).sandbox.images == 300
    stated = EvaluateStage(kind="evaluate", model="m", benchmark="swebench-lite", sandbox=SandboxSpec(images=12))
    assert evaluate_need(stated).sandbox.images == 12


def test_a_benchmark_gives_way_to_what_is_stated() -> None:
    sandbox = SandboxSpec(seconds=Durations(mean=7), cpus=4)
    stage = EvaluateStage(kind="evaluate", model="m", benchmark="humaneval", tasks=10, samples=3, sandbox=sandbox)
    need = evaluate_need(stage)
    assert (need.tasks, need.samples, need.sandbox.seconds.mean, need.sandbox.cpus) == (10, 3, 7, 4)
    assert {"tasks", "sandbox.seconds", "sandbox.cpus"}.isdisjoint(assumed.name for assumed in need.assumed)
