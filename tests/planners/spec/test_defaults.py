"""Sandbox profiles and benchmarks: what is filled in, from where, and that what is stated wins."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from planners.spec.benchmarks import BENCHMARKS
from planners.spec.distributions import Durations
from planners.spec.profiles import PROFILES, Assumed, SandboxNeed, sandbox_need
from planners.spec.stage_options import SandboxSpec
from planners.spec.stages_agent import BenchmarkName, EvaluateStage, RolloutStage
from planners.workload.rollouts import benchmark_rollout


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_fills_every_field(profile: str) -> None:
    stated = {"profile", "disk_gib", "serial", "concurrency", "assumed"}
    assert set(PROFILES[profile]) == {field.name for field in fields(SandboxNeed)} - stated  # type: ignore[index]  # the keys are the profiles
    assert set(PROFILES[profile]) == set(SandboxSpec.model_fields) - stated  # type: ignore[index]


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


def rollout(benchmark: BenchmarkName, **stated: Any) -> tuple[RolloutStage, tuple[Assumed, ...], SandboxNeed]:
    """The rollout that an evaluation stands for, what was assumed, and its sandbox."""
    stage, assumed = benchmark_rollout(EvaluateStage(kind="evaluate", model="m", benchmark=benchmark, **stated))
    sandbox = sandbox_need(stage.sandbox, default_profile="swe")
    return stage, (*assumed, *sandbox.assumed), sandbox


@pytest.mark.parametrize("benchmark", [name for name in BENCHMARKS if name != "custom"])
def test_a_benchmark_needs_only_its_name(benchmark: BenchmarkName) -> None:
    stage, assumed, sandbox = rollout(benchmark)
    assert stage.tasks > 0
    assert stage.response_tokens.mean > 0
    assert all(row.source for row in assumed)
    assert sandbox.stateful is benchmark.startswith("swebench")


def test_a_benchmark_becomes_a_whole_rollout() -> None:
    stage, _, _ = rollout("swebench-lite")
    assert RolloutStage.model_validate(stage.model_dump()) == stage


def test_a_benchmark_gives_way_to_what_is_stated() -> None:
    sandbox = SandboxSpec(seconds=Durations(mean=7), cpus=4)
    stage, assumed, need = rollout("humaneval", tasks=10, samples=3, sandbox=sandbox)
    assert (stage.tasks, stage.attempts, need.seconds.mean, need.cpus) == (10, 3, 7, 4)
    assert {"tasks", "sandbox.seconds", "sandbox.cpus"}.isdisjoint(row.name for row in assumed)
