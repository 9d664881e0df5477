"""The same run, told as a published case and as a run spec, takes the same seconds on the same layout."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from tiny_world import spec

from clusterctl.catalog.lookup import find_gpu, find_model, load_calibration
from clusterctl.catalog.published_names import published_gpu, published_model
from planners.physics.constants import Constants
from planners.physics.shape import gpu_columns
from planners.validation.case import Case, read_case
from planners.validation.layout import context_of
from planners.validation.predict import predict_cases
from planners.validation.prepare import Prepared, prepare
from planners.validation.work import stage_work_of
from planners.workload.layouts import TimingContext
from planners.workload.sandbox_work import exposed_seconds
from planners.workload.stage_builder import stage_work
from planners.workload.stage_work import StageWork
from planners.workload.timing import time_work

CONSTANTS = load_calibration().constants
YEAR = 2026.0
DENSE = "Qwen/Qwen2.5-7B"
MODELS = {
    "dense": DENSE,
    "tied": "meta-llama/Llama-3.2-1B",
    "sliding window": "google/gemma-2-9b",
    "mixture": "Qwen/Qwen3-30B-A3B",
    "FP8 mixture with MLA": "deepseek-ai/DeepSeek-V3",
    "MXFP4 mixture with windows": "openai/gpt-oss-120b",
    "linear attention": "Qwen/Qwen3.5-9B",
    "hybrid mixture": "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
}
ENGINES = ("vllm", "sglang", "trtllm", "hf")
SHARDINGS = ("fsdp", "megatron", "zero1", "zero2", "ddp")
SCHEDULES: dict[str, dict[str, Any]] = {
    "colocated": {"schedule": "colocated"},
    "lockstep": {"schedule": "disaggregated"},
    "async, no step behind": {"schedule": "async", "staleness_steps": 0},
    "async, 1 step behind": {"schedule": "async", "staleness_steps": 1},
    "async, 2 steps behind": {"schedule": "async", "staleness_steps": 2},
}
Fields = dict[str, Any]


def case_seconds(raw: Fields) -> float:
    ready = prepare(read(raw), published_model, published_gpu)
    assert isinstance(ready, Prepared)
    values, _ = predict_cases(CONSTANTS, [ready])
    return float(values[0])


def spec_seconds(stage: Fields, raw: Fields) -> float:
    """Seconds of a unit of the stage on the layout of the case."""
    work, at = on_the_layout_of(raw, stage)
    return float(np.squeeze(time_work(work, replace(at, constants=CONSTANTS)).unit_seconds(0.0)))


def on_the_layout_of(raw: Fields, stage: Fields) -> tuple[StageWork, TimingContext]:
    case, model, gpu = read(raw), find_model(raw["model"]), gpu_columns(find_gpu(raw["cluster"]["gpu"]))
    at = context_of(case, stage_work_of(case, model), model, gpu, year=YEAR)
    return stage_work(spec(stage).stages[0], find_model), at


def read(raw: Fields) -> Case:
    case = read_case(raw, 0)
    assert isinstance(case, Case), case
    return case


def a_case(kind: str, metric: str, model: str, *, gpus: int = 64, gpu: str = "H200", **sections: Fields) -> Fields:
    published = {"metric": metric, "value": 1}
    cluster = {"gpu": gpu, "gpus": gpus}
    return {
        "id": "x",
        "kind": kind,
        "year": YEAR,
        "model": model,
        "cluster": cluster,
        "published": published,
    } | sections


def same(raw: Fields, stage: Fields) -> None:
    assert case_seconds(raw) == pytest.approx(spec_seconds(stage, raw), rel=1e-9)


STEP_IN_CASE: Fields = {
    "prompts_per_step": 64,
    "samples_per_prompt": 16,
    "prompt_tokens": 300,
    "response_tokens": 1500,
    "max_tokens": 8192,
    "max_tokens_is": "response",
}
STEP_IN_SPEC: Fields = {
    "kind": "rlcef",
    "steps": 10,
    "prompts_per_step": 64,
    "samples_per_prompt": 16,
    "prompt_tokens": 300,
    "response_tokens": 1500,
    "max_response_tokens": 8192,
}


def same_step(
    model: str = DENSE,
    *,
    rollout: Fields | None = None,
    train: Fields | None = None,
    schedule: Fields | None = None,
    case: Fields | None = None,
    stage: Fields | None = None,
) -> None:
    """`rollout`, `train` and `schedule` are called the same in both; `case` (by section) and `stage` are not."""
    rollout, train, schedule, case, stage = rollout or {}, train or {}, schedule or {}, case or {}, stage or {}
    generates = STEP_IN_CASE | rollout | schedule | case.get("rollout", {})
    sections = {"rollout": generates, "train": {"sharding": "fsdp"} | train | case.get("train", {})}
    in_spec = STEP_IN_SPEC | schedule | {"model": model, "rollout": rollout, "train": {"sharding": "fsdp"} | train}
    spec_stage = {name: value for name, value in (in_spec | stage).items() if value is not None}
    sections |= {name: value for name, value in case.items() if name not in sections}
    same(a_case("rl_step", "step_seconds", model, **sections), spec_stage)


@pytest.mark.parametrize(("engine", "model"), list(product(ENGINES, MODELS)))
def test_an_rl_step_of_every_engine_and_model(engine: str, model: str) -> None:
    same_step(MODELS[model], rollout={"engine": engine})


@pytest.mark.parametrize(("sharding", "schedule"), list(product(SHARDINGS, SCHEDULES)))
def test_an_rl_step_of_every_sharding_and_schedule(sharding: str, schedule: str) -> None:
    for model in (DENSE, MODELS["mixture"]):
        same_step(model, train={"sharding": sharding}, schedule=SCHEDULES[schedule])


@pytest.mark.parametrize(
    "changes",
    [
        {"rollout": {"tp": 2}},
        {"rollout": {"tp": 4, "pp": 2}},
        {
            "rollout": {"tp": 1},
            "case": {"rollout": {"concurrency": 64 * 8}},
            "stage": {"rollout": {"tp": 1, "concurrency": 8}},
        },
        {"rollout": {"precision": "fp8"}},
        {"rollout": {"eager": True}},
        {"rollout": {"eager": False}},
        {"train": {"precision": "fp8"}},
        {"train": {"micro_batch_samples": 4}},
        {"train": {"lora_rank": 16}},
        {"train": {"optimizer_offload": True}},
        {"train": {"sharding": "megatron", "tp": 4, "pp": 2, "cp": 2}},
        {"case": {"train": {"recompute": "none"}}, "stage": {}},
        {"case": {"train": {"attention_kernel": "fa3"}}, "stage": {"train": {"sharding": "fsdp", "attention": "fa3"}}},
        {"case": {"train": {"compiled": True}}, "stage": {"train": {"sharding": "fsdp", "compile": True}}},
        {"case": {"train": {"packed": False}}, "stage": {"train": {"sharding": "fsdp", "packing": False}}},
        {"case": {"train": {"algorithm": "ppo"}}, "stage": {"algorithm": "ppo"}},
        {"case": {"train": {"algorithm": "dapo"}}, "stage": {"algorithm": "dapo"}},
        {"case": {"train": {"critic": True, "reference": False}}, "stage": {"critic": True, "reference": False}},
        {
            "case": {"train": {"optimizer_steps_per_rl_step": 4, "epochs_per_step": 2}},
            "stage": {"optimizer_steps_per_step": 4, "epochs_per_step": 2},
        },
        {"case": {"rollout": {"generated_per_used": 2}}, "stage": {"oversampling": 2.0}},
        {"case": {"rollout": {"turns": 8}}, "stage": {"turns": 8}},
        {
            "case": {"rollout": {"turns": 8}, "sandbox": {"seconds_per_call_mean": 5, "calls_per_rollout": 7}},
            "stage": {"turns": 8, "tool_seconds": 5.0},
        },
        {
            "case": {"rollout": {"turns": 8}, "sandbox": {"seconds_per_rollout_mean": 70}},
            "stage": {"turns": 8, "tool_seconds": 10.0},
        },
        {"case": {"framework": "trl"}, "stage": {"framework": "trl"}},
        {"case": {"framework": "skyrl"}, "stage": {"framework": "skyrl"}},
        {"case": {"train": {"old_log_prob": "rollout"}}, "stage": {"old_log_prob": "rollout"}},
        {"case": {"rollout": {"sync_method": "broadcast"}}, "stage": {"sync_method": "broadcast"}},
        {"case": {"rollout": {"sync_method": "sharded"}}, "stage": {"sync_method": "sharded"}},
        {"rollout": {"accepted_tokens": 2.0, "drafted_tokens": 3}},
        {"rollout": {"attention_dp": True}},
        {"case": {"rollout": {"requests": 4096}}, "stage": {"prompts_per_step": 256}},
        {"case": {"rollout": {"response_tokens_p95": 4000}}, "stage": {"response_tokens": {"mean": 1500, "p95": 4000}}},
        {"case": {"rollout": {"response_tokens": None}}, "stage": {"response_tokens": None}},
        {"case": {"rollout": {"max_tokens": 8492, "max_tokens_is": "total"}}},
        {"case": {"rollout": {"max_tokens": None}}, "stage": {"max_response_tokens": None}},
        {"case": {"rollout": dict.fromkeys(STEP_IN_CASE)}, "stage": dict.fromkeys(list(STEP_IN_SPEC)[2:])},
    ],
    ids=str,
)
def test_an_rl_step_with_every_other_statement(changes: Fields) -> None:
    same_step(**changes)
    same_step(MODELS["mixture"], **changes)


MEASURED: Fields = {"tuned": True}
"""A published rate comes from a run that somebody tuned; a spec says so."""
JOB_IN_CASE: Fields = {
    "requests": 4000,
    "prompt_tokens": 700,
    "response_tokens": 900,
    "response_tokens_p95": 2500,
    "max_tokens": 4096,
    "max_tokens_is": "response",
}
LENGTHS: Fields = {"mean": 900.0, "p95": 2500.0, "max": 4096.0}


def same_job(model: str = DENSE, *, case: Fields | None = None, lengths: Fields | None = None, **options: Any) -> None:
    """A job that synthesizes data, a rollout of one turn and a benchmark, each of the same samples."""
    rollout = JOB_IN_CASE | options | (case or {})
    raw = a_case("generate", "seconds", model, gpus=16, rollout=rollout)
    told: Fields = {"prompt_tokens": 700, "response_tokens": lengths or LENGTHS, "rollout": options}
    agent = {"model": model, "tasks": 4000, "turns": 1, "max_context_tokens": 4096 + 700}
    same(raw, {"kind": "synthesize", "candidates": 4000, "teacher": {"model": model}} | told)
    same(raw, {"kind": "rollout"} | agent | told)
    same(raw, {"kind": "evaluate", "benchmark": "custom", "model": model, "tasks": 4000} | told)


@pytest.mark.parametrize(("engine", "model"), list(product(ENGINES, MODELS)))
def test_generation_of_every_engine_and_model(engine: str, model: str) -> None:
    same_job(MODELS[model], engine=engine)


@pytest.mark.parametrize(
    "changes",
    [
        {"tp": 4},
        {"tp": 4, "pp": 2},
        {"precision": "fp8"},
        {"eager": True},
        {"case": {"response_tokens": 4096, "response_tokens_p95": None}, "lengths": {"mean": 4096.0, "max": 4096.0}},
        {"case": {"response_tokens_p95": None}, "lengths": {"mean": 900.0, "max": 4096.0}},
        {"case": {"max_tokens": 4796, "max_tokens_is": "total"}},
        {"case": {"requests": None, "output_tokens_total": 3_600_000}},
    ],
    ids=str,
)
def test_generation_with_every_other_statement(changes: Fields) -> None:
    same_job(**changes)
    same_job(MODELS["mixture"], **changes)


@pytest.mark.parametrize("concurrency", [1, 64, 700])
def test_generation_with_a_stated_concurrency(concurrency: int) -> None:
    """Of all replicas together in a case and a rollout, of each in the options of a spec."""
    raw = a_case("generate", "seconds", DENSE, gpus=2, rollout=JOB_IN_CASE | {"tp": 1, "concurrency": concurrency})
    told = {"model": DENSE, "tasks": 4000, "turns": 1, "prompt_tokens": 700, "response_tokens": LENGTHS}
    stage = {"kind": "rollout", "rollout": {"tp": 1}} | told
    same(raw, stage | {"concurrency": concurrency})
    if concurrency > 1:
        same(raw, stage | {"rollout": {"tp": 1, "concurrency": concurrency // 2}})


def test_generation_of_many_turns() -> None:
    """Tokens of all turns together in a case, of one turn in a rollout."""
    raw = a_case("generate", "seconds", DENSE, gpus=16, rollout=JOB_IN_CASE | {"turns": 5, "response_tokens_p95": None})
    told = {"model": DENSE, "tasks": 4000, "turns": 5, "prompt_tokens": 700, "response_tokens": 180.0}
    stage = told | {"kind": "rollout", "observation_tokens": 0.0, "max_context_tokens": 4096 + 700}
    same(raw, stage)
    same(
        raw | {"sandbox": {"seconds_per_rollout_mean": 24, "parallel": 100}},
        stage | {"tool_seconds": 6.0, "concurrency": 100},
    )


def test_a_stated_p95_counts_whatever_generates() -> None:
    """The longer the tail, the longer the last samples take."""
    for turns in (1, 10):
        job, step = JOB_IN_CASE | {"turns": turns}, STEP_IN_CASE | {"turns": turns}
        for kind, metric, told in (("generate", "seconds", job), ("rl_step", "step_seconds", step)):
            short, long = (
                case_seconds(a_case(kind, metric, DENSE, gpus=16, rollout=told | {"response_tokens_p95": p95}))
                for p95 in (1600, 4000)
            )
            assert long > 1.02 * short
    stage = {"kind": "synthesize", "candidates": 4000, "teacher": {"model": DENSE}, "prompt_tokens": 700}
    raw = a_case("generate", "seconds", DENSE, gpus=16, rollout=JOB_IN_CASE)
    short, long = (spec_seconds(stage | {"response_tokens": LENGTHS | {"p95": p95}}, raw) for p95 in (1000.0, 2500.0))
    assert long > 1.02 * short


def test_generation_of_unstated_length() -> None:
    """A cap without a mean: the longest response is four times the mean, the mean is the spec's."""
    usual = spec({"kind": "synthesize", "candidates": 1, "teacher": {"model": DENSE}}).stages[0]
    assert usual.kind == "synthesize"
    work = stage_work_of(read(a_case("generate", "seconds", DENSE, rollout={"requests": 10})), find_model(DENSE))
    assert work.generations[0].prompt_tokens == usual.prompt_tokens.mean
    assert work.generations[0].max_response_tokens == 4 * usual.response_tokens.mean
    assert np.isnan(work.generations[0].response_tokens)


@pytest.mark.parametrize(("sharding", "model"), list(product(SHARDINGS, MODELS)))
def test_an_update_of_every_sharding_and_model(sharding: str, model: str) -> None:
    for kind in ("sft", "pretrain"):
        train = {"sharding": sharding}
        raw = a_case(kind, "step_seconds", MODELS[model], train=train | {"global_batch_samples": 128, "seq_len": 2048})
        stage = {"kind": kind, "model": MODELS[model], "tokens": 10**12, "global_batch_samples": 128, "seq_len": 2048}
        same(raw, stage | {"train": train | MEASURED})


@pytest.mark.parametrize(
    ("told", "also"),
    [
        ({}, {}),
        ({"lora_rank": 16}, {}),
        ({"precision": "fp8"}, {}),
        ({"micro_batch_samples": 2}, {}),
        ({"optimizer_offload": True}, {}),
        ({"sharding": "megatron", "tp": 2, "pp": 4, "cp": 2}, {}),
        ({"attention_kernel": "fa2"}, {"attention": "fa2"}),
        ({"compiled": True}, {"compile": True}),
        ({"recompute": "selective"}, {}),
        ({"virtual_stages": 1, "sharding": "megatron", "pp": 4}, {"pipeline_schedule": "1f1b"}),
    ],
    ids=str,
)
def test_an_update_with_every_other_statement(told: Fields, also: Fields) -> None:
    """Nothing of the batch and the sequences is stated: both have the same."""
    only_case = {"attention_kernel", "compiled", "recompute", "virtual_stages"}
    options = {name: value for name, value in told.items() if name not in only_case} | also
    for kind, model in product(("sft", "pretrain"), (DENSE, MODELS["mixture"])):
        same(
            a_case(kind, "step_seconds", model, gpus=16, train=told),
            {"kind": kind, "model": model, "tokens": 10**12, "train": options | MEASURED},
        )


def test_a_run_that_nobody_tuned() -> None:
    """A whole published run without a layout, and every spec that does not say otherwise: a degree that a person states
    is no faster than the same degree that the search finds."""
    raw = a_case("pretrain", "wall_clock_hours", DENSE, gpus=16, train={"tokens": 1e12})
    tuned = case_seconds(raw | {"train": {"tokens": 1e12, "tuned": True}})
    assert 1.2 < case_seconds(raw) / tuned < 1.4
    stage: Fields = {"kind": "pretrain", "model": DENSE, "tokens": 10**12}
    plain, stated, laid_out = (spec_seconds(stage | {"train": t}, raw) for t in ({}, MEASURED, {"tp": 1}))
    assert plain > 1.2 * stated
    assert plain == pytest.approx(laid_out)


def test_an_update_of_a_reward_model_and_of_dpo() -> None:
    for reference in (None, True, False):
        told = {"sharding": "fsdp"}
        raw = a_case("sft", "step_seconds", DENSE, gpus=8, train=told | {"algorithm": "dpo", "reference": reference})
        stage: Fields = {
            "kind": "dpo",
            "model": DENSE,
            "samples": 10**6,
            "sample_tokens": 2048,
            "train": told | MEASURED,
        }
        same(raw, stage | ({} if reference is None else {"reference": reference}))
    told = {"sharding": "fsdp", "global_batch_samples": 64}
    raw = a_case("sft", "step_seconds", DENSE, gpus=8, train=told | {"algorithm": "reward_model", "seq_len": 1500})
    stage = {"kind": "reward-model", "model": DENSE, "samples": 10**6, "sample_tokens": 1500, "train": MEASURED}
    same(raw, stage | {"global_batch_samples": 64})


@pytest.mark.parametrize("schedule", list(SCHEDULES))
@pytest.mark.parametrize(
    ("told", "stated"),
    [
        ({"seconds_per_call_mean": 5, "parallel": 64}, {"seconds": 5.0, "concurrency": 64}),
        ({"seconds_per_rollout_mean": 40, "parallel": 8}, {"seconds": 40.0, "concurrency": 8}),
        ({"seconds_per_call_mean": 2, "parallel": 1}, {"seconds": 2.0, "serial": True}),
        (
            {"seconds_per_call_mean": 20, "timeout_seconds": 600, "parallel": 256},
            {"seconds": 20.0, "time_limit_seconds": 600.0, "concurrency": 256},
        ),
        (
            {"seconds_per_call_mean": 5, "parallel": 32, "create_per_second": 4},
            {"seconds": 5.0, "concurrency": 32, "stateful": True, "starts_per_second_per_node": 4.0},
        ),
    ],
    ids=str,
)
def test_judging_in_sandboxes_is_waited_for_alike(told: Fields, stated: Fields, schedule: str) -> None:
    """At the prior constants: a fit does not move what the sandboxes of a published run take."""
    sections = {"rollout": STEP_IN_CASE | SCHEDULES[schedule], "train": {"sharding": "fsdp"}, "sandbox": told}
    raw = a_case("rl_step", "step_seconds", DENSE, **sections)
    ready = prepare(read(raw), published_model, published_gpu)
    assert isinstance(ready, Prepared)
    stage = STEP_IN_SPEC | SCHEDULES[schedule] | {"model": DENSE, "train": {"sharding": "fsdp"}, "sandbox": stated}
    work, at = on_the_layout_of(raw, stage)
    assert work.sandbox_work is not None
    timing, slots = time_work(work, at), np.array([work.sandbox_work.most_at_once])
    waited = exposed_seconds(work, timing, slots)
    assert float(predict_cases(Constants(), [ready])[0][0]) == pytest.approx(
        float(timing.unit_seconds(waited)[0]), rel=1e-9
    )
    assert waited > 0


def test_a_run_that_is_published_as_asynchronous_is_one_step_behind() -> None:
    rollout = STEP_IN_CASE | {"schedule": "async"}
    seconds = [
        case_seconds(a_case("rl_step", "step_seconds", DENSE, rollout=rollout | {"staleness_steps": told}))
        for told in (None, 1)
    ]
    assert seconds[0] == seconds[1]


def test_a_packing_width_and_facts_that_only_a_case_states_count() -> None:
    base = a_case("rl_step", "step_seconds", DENSE, train={"sharding": "megatron"}, rollout=STEP_IN_CASE)
    seconds = case_seconds(base)
    assert case_seconds(base | {"train": {"sharding": "megatron", "seq_len": 65_536}}) < seconds
    assert case_seconds(base | {"train": {"sharding": "megatron", "evaluation_share": 0.5}}) > seconds
    assert case_seconds(base | {"rollout": STEP_IN_CASE | {"concurrency": 8}}) > seconds
