"""The run spec as data: defaults, rules between fields, and that any valid spec survives a round trip."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from planners.spec.run_spec import RunSpec

COUNT = st.integers(1, 10**6)
SHARE = st.floats(0.01, 0.99)


def rlcef(**fields: Any) -> dict[str, Any]:
    return {"kind": "rlcef", "model": "Qwen/Qwen2.5-Coder-32B-Instruct", "steps": 400, **fields}


def spec(*stages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "run", "stages": list(stages) or [rlcef()], **fields}


def own(**fields: Any) -> dict[str, Any]:
    return {"targets": ["local"], "machines": [{"vcpus": 8.0, "memory_gib": 64.0, **fields}]}


def problem(data: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        RunSpec.model_validate(data)
    return str(caught.value)


def test_a_spec_needs_a_name_and_one_stage_only() -> None:
    run = RunSpec.model_validate(spec())
    stage = run.stages[0]
    assert (stage.name, run.objective, run.limits.usd, run.fleet.targets) == (
        "rlcef",
        "cost",
        None,
        ("aws", "gcp", "azure"),
    )


def test_a_number_is_the_mean_of_a_length() -> None:
    run = RunSpec.model_validate(spec(rlcef(prompt_tokens=250, tool_seconds=1.5)))
    stage = run.stages[0]
    assert stage.kind == "rlcef"
    assert (stage.prompt_tokens.mean, stage.prompt_tokens.p95) == (250, None)
    assert stage.tool_seconds is not None
    assert stage.tool_seconds.mean == 1.5


@pytest.mark.parametrize(
    ("algorithm", "stated", "trains_critic", "uses_reference"),
    [
        ("grpo", {}, False, True),
        ("ppo", {}, True, True),
        ("dapo", {}, False, False),
        ("ppo", {"critic": False, "reference": False}, False, False),
        ("dapo", {"reference": True}, False, True),
    ],
)
def test_the_algorithm_decides_on_critic_and_reference(
    algorithm: str, stated: dict[str, bool], *, trains_critic: bool, uses_reference: bool
) -> None:
    stage = RunSpec.model_validate(spec(rlcef(algorithm=algorithm, **stated))).stages[0]
    assert stage.kind == "rlcef"
    assert (stage.trains_critic, stage.uses_reference) == (trains_critic, uses_reference)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (spec(rlcef(), rlcef()), "two stages are named 'rlcef'"),
        (spec(rlcef(response_tokens=9000)), "above max_response_tokens (8192)"),
        (spec(rlcef(schedule="colocated", staleness_steps=1)), "staleness_steps needs schedule async"),
        (spec(rlcef(schedule="colocated", rollout_share=0.5)), "rollout_share has no meaning"),
        (
            spec(rlcef(prompts_per_step=1, samples_per_prompt=2, optimizer_steps_per_step=3)),
            "above the samples of a step",
        ),
        (spec(rlcef(prompt_tokens={"mean": 5, "p95": 4})), "p95 (4) is below the mean (5)"),
        (spec(rlcef(prompt_tokens={"mean": 5, "max": 4})), "mean (5) is above the max (4)"),
        (spec({"kind": "sft", "model": "m"}), "give either tokens or samples"),
        (spec({"kind": "sft", "model": "m", "tokens": 5, "samples": 5}), "not both"),
        (spec({"kind": "sft", "model": "m", "samples": 5}), "samples also needs sample_tokens"),
        (spec({"kind": "rollout", "tasks": 3}), "give either model or api"),
        (spec({"kind": "synthesize", "teacher": {"model": "m"}}), "give either items or candidates"),
        (spec({"kind": "evaluate", "model": "m", "benchmark": "custom"}), "benchmark custom also needs tasks"),
        (spec(fleet={"targets": ["slurm:big"]}), "slurm:big needs machines"),
        (spec(fleet=own(usd_per_gpu_hour=2.5)), "usd_per_gpu_hour needs gpu"),
        (spec(fleet=own(gpu="H100", usd_per_gpu_hour=2.5, usd_per_hour=20.0)), "not both"),
        (spec(fleet={"nodes": {"min": 5, "max": 4}}), "min (5) is above max (4)"),
        (spec(rlcef(model={"name": "m", "layers": 2})), "needs hidden, heads, ffn, vocab"),
        (spec(rlcef(model={"name": "m", "params_total": 1e9, "experts": 8})), "come together"),
        (spec(rlcef(model={"name": "m", "params_total": 1e9, "params_active": 2e9})), "above params_total"),
        (spec(rlcef(model={"name": "m", "params_total": 1e9, "kv_lora_rank": 8})), "also needs rope_dim"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(data: dict[str, Any], expected: str) -> None:
    assert expected in problem(data)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 0, True, "400", None, [], {}, 10**400])
def test_steps_are_a_whole_positive_number(value: object) -> None:
    problem(spec(rlcef(steps=value)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0, True, "5", 1e300, 10**400])
def test_dollars_are_a_finite_positive_number(value: object) -> None:
    problem(spec(limits={"usd": value}))


def test_kept_share_multiplies_the_filters() -> None:
    stage = {"kind": "synthesize", "items": 10, "teacher": {"model": "m"}, "yields": {"a": 0.5, "b": 0.2}}
    found = RunSpec.model_validate(spec(stage)).stages[0]
    assert found.kind == "synthesize"
    assert found.kept_share == pytest.approx(0.1)


def test_a_spec_is_frozen() -> None:
    run = RunSpec.model_validate(spec())
    with pytest.raises(ValidationError):
        run.name = "other"  # type: ignore[misc]  # the point of the test


@st.composite
def stages(draw: st.DrawFn) -> dict[str, Any]:
    mean = draw(st.integers(1, 4000))
    lengths = draw(st.sampled_from([mean, {"mean": mean}, {"mean": mean, "p95": mean * 2, "max": mean * 3}]))
    common = {"model": draw(st.sampled_from(["a/b", {"name": "x", "params_total": 7e9}]))}
    kinds: dict[str, dict[str, Any]] = {
        "rlcef": {
            "steps": draw(COUNT),
            "samples_per_prompt": draw(COUNT),
            "response_tokens": lengths,
            "max_response_tokens": 8192,
        },
        "sft": {"tokens": draw(COUNT), "epochs": draw(st.floats(0.1, 10))},
        "pretrain": {"samples": draw(COUNT), "sample_tokens": lengths},
        "reward-model": {"samples": draw(COUNT)},
        "dpo": {"samples": draw(COUNT), "reference": draw(st.booleans())},
        "rollout": {"tasks": draw(COUNT), "turns": draw(COUNT), "observation_tokens": lengths},
        "evaluate": {"samples": draw(COUNT), "benchmark": "humaneval"},
    }
    kind = draw(st.sampled_from(sorted(kinds)))
    sandbox = (
        {"sandbox": {"cpus": draw(st.floats(0.1, 64)), "seconds": 3}}
        if kind in ("rlcef", "rollout", "evaluate")
        else {}
    )
    return {"kind": kind, **common, **kinds[kind], **sandbox}


@given(stages(), st.sampled_from(["cost", "time", "balanced"]), st.floats(1, 1e9))
def test_a_valid_spec_survives_a_round_trip(stage: dict[str, Any], objective: str, usd: float) -> None:
    run = RunSpec.model_validate(spec(stage, objective=objective, limits={"usd": usd}))
    assert RunSpec.model_validate(run.model_dump(mode="json")) == run
    assert RunSpec.model_validate_json(run.model_dump_json(exclude_unset=True)) == run
    assert json.loads(run.model_dump_json()) == run.model_dump(mode="json")


def test_auto_means_left_out_where_it_once_was_written() -> None:
    read = RunSpec.model_validate(spec(rlcef(train={"attention": "auto", "pipeline_schedule": "auto"})))
    train = read.stages[0].train  # type: ignore[union-attr]  # a stage that trains
    assert (train.attention, train.pipeline_schedule) == (None, None)
