"""No field of a run spec without effect: each is changed once, and the plan changes with it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from unittest import mock

import pytest
from tiny_world import API_ROLLOUT, EVALUATE, NOW, RLCEF, ROLLOUT, SFT, SYNTHESIZE, changed, world

from planners.plan.build import build_plan
from planners.search.selection import NoFleetError
from planners.spec import distributions, fleet, models, stage_options, stages_agent, stages_data, stages_rl
from planners.spec.run_spec import RunSpec
from planners.spec.spec_model import SpecModel

QWEN = "Qwen/Qwen2.5-7B-Instruct"
LARGER = "Qwen/Qwen2.5-14B-Instruct"
SPREAD = {"mean": 5, "p95": 20}
MOE = {
    "name": "moe",
    "layers": 32,
    "hidden": 4096,
    "heads": 32,
    "kv_heads": 8,
    "head_dim": 128,
    "ffn": 1536,
    "vocab": 100_000,
    "experts": 64,
    "experts_per_token": 4,
    "shared_experts": 1,
    "shared_ffn": 2048,
    "dense_layers": 2,
    "dense_ffn": 8192,
    "kv_lora_rank": 512,
    "q_lora_rank": 1024,
    "rope_dim": 64,
    "nope_dim": 128,
    "v_dim": 128,
}
SMALL = {"name": "small", "layers": 32, "hidden": 4096, "heads": 32, "ffn": 11_008, "vocab": 32_000}
QUANTIZED = SMALL | {"weight_dtype": "int4", "window": 2048}
AWS_RATE = {"cloud": "aws", "instance_type": "p5.48xlarge", "usd_per_hour": 40.0}
OWN_NODES = {
    "target": "local",
    "name": "box",
    "gpu": "H100",
    "vcpus": 192.0,
    "memory_gib": 2048.0,
    "usd_per_hour": 20.0,
    "nodes": 2,
}
OWN_BY_GPU = {name: value for name, value in OWN_NODES.items() if name != "usd_per_hour"} | {"usd_per_gpu_hour": 2.5}
OWN_CPUS = {"target": "local", "vcpus": 96.0, "memory_gib": 384.0}
AGENT = changed(RLCEF, turns=4, tool_seconds=2, observation_tokens=500, sandbox={"profile": "swe"})
ONE_CLOUD = {"gpus": ["H100"], "targets": ["aws"]}
"""Of specs that name no fleet: a small search."""
BASES: dict[str, dict[str, Any]] = {
    "rl": {"stages": [RLCEF]},
    "any fleet": {"stages": [RLCEF], "fleet": {}},
    "all kept": {"stages": [changed(RLCEF, checkpoint={"every_steps": 10, "keep": 0})]},
    "agent": {"stages": [AGENT]},
    "megatron": {"stages": [changed(RLCEF, train={"sharding": "megatron", "pp": 2})]},
    "async": {"stages": [changed(RLCEF, schedule="async", staleness_steps=1)]},
    "judged": {"stages": [changed(RLCEF, judges=[{"model": QWEN}])]},
    "critic": {"stages": [changed(RLCEF, outcome_critic={"model": QWEN, "replaced_share": 0.5})]},
    "evaluated": {"stages": [changed(RLCEF, evaluate={"every_steps": 10})]},
    "moe": {"stages": [changed(SFT, model=MOE)]},
    "moe rollout": {"stages": [changed(ROLLOUT, model=MOE)]},
    "hybrid": {"stages": [changed(RLCEF, model=SMALL)]},
    "quantized": {"stages": [changed(ROLLOUT, model=QUANTIZED)]},
    "sft": {"stages": [SFT]},
    "sft by tokens": {"stages": [changed(SFT, tokens=10**8, samples=None, sample_tokens=None)]},
    "pretrain": {"stages": [changed(SFT, kind="pretrain", tokens=10**9, samples=None, sample_tokens=None)]},
    "reward-model": {"stages": [{"kind": "reward-model", "model": QWEN, "samples": 50_000}]},
    "dpo": {"stages": [{"kind": "dpo", "model": QWEN, "samples": 50_000}]},
    "synthesize": {"stages": [changed(SYNTHESIZE, student={"model": QWEN})]},
    "synthesize items": {"stages": [changed(SYNTHESIZE, candidates=None, items=5_000)]},
    "rollout": {"stages": [ROLLOUT]},
    "api": {"stages": [API_ROLLOUT]},
    "evaluate": {"stages": [changed(EVALUATE, turns=3)]},
    "evaluate by api": {"stages": [changed(EVALUATE, turns=3, model=None, api={"name": "acme-coder-1"})]},
    "limited": {"stages": [RLCEF], "limits": {"usd": 900.0}},
    "own machines": {"stages": [RLCEF], "fleet": {"targets": ["local"], "machines": [OWN_NODES, OWN_CPUS]}},
    "own, by GPU": {"stages": [RLCEF], "fleet": {"targets": ["local"], "machines": [OWN_BY_GPU, OWN_CPUS]}},
    "own rate": {"stages": [SFT], "fleet": {"gpus": ["H100"]}, "prices": {"rates": [AWS_RATE]}},
    "discount": {"stages": [SFT], "fleet": {"gpus": ["H100"]}, "prices": {"discounts": [{"percent": 50.0}]}},
    "reservation": {
        "stages": [SFT],
        "fleet": {"gpus": ["H100"], "capacity": ["on_demand", "reserved_1y"]},
        "prices": {"reservations": [AWS_RATE | {"region": "us-east-2", "nodes": 2}]},
    },
    "nodes": {"stages": [SFT], "fleet": {"nodes": {"min": 1, "max": 4}}},
    "valued": {"stages": [ROLLOUT], "economics": {"usd_per_outcome": 3.0}},
}
"""Specs in which every field below has a part."""

TRAINING: Mapping[str, Any] = {
    "name": "other",
    "model": LARGER,
    "epochs": 2.0,
    "train.lora_rank": 16,
    "checkpoint.keep": 50,
    "seq_len": 1024,
    "global_batch_samples": 64,
}
STAGE_AND_GENERATION: Mapping[str, Any] = {
    "name": "other",
    "model": LARGER,
    "turns": 20,
    "prompt_tokens": 9000,
    "response_tokens": 900,
    "observation_tokens": 2000,
    "tool_seconds": 60,
    "resolve_rate": 0.9,
    "concurrency": 8,
    "rollout.precision": "fp8",
    "sandbox.cpus": 8,
}
API_PRICES: Mapping[str, Any] = {
    "name": "other",
    "input_usd_per_million_tokens": 9.0,
    "cached_input_usd_per_million_tokens": 5.0,
    "cache_write_usd_per_million_tokens": 7.0,
    "batch": True,
    "output_usd_per_million_tokens": 50.0,
    "output_tokens_per_second": 5.0,
    "requests_in_flight": 2,
    "tokens_per_minute": 1000,
}

Changes = Mapping[str, Any]
CHANGES: dict[tuple[type[SpecModel], str], dict[str, Changes]] = {
    (stages_rl.RlcefStage, "stages.0"): {
        "rl": {
            "name": "other", "model": LARGER, "algorithm": "dapo", "steps": 200, "prompts_per_step": 128,
            "samples_per_prompt": 16, "prompt_tokens": 3000, "response_tokens": 500, "max_response_tokens": 4096,
            "turns": 4, "epochs_per_step": 2, "optimizer_steps_per_step": 8, "critic": True, "reference": False,
            "judges": [{"model": QWEN}], "outcome_critic": {"model": QWEN, "replaced_share": 0.5}, "oversampling": 2.0,
            "rollout.precision": "fp8", "train.lora_rank": 16, "schedule": "async", "sandbox.cpus": 8,
            "evaluate.every_steps": 5, "checkpoint.keep": 50, "framework": "trl", "old_log_prob": "rollout",
            "sync_method": "broadcast",
        },
        "agent": {"tool_seconds": 60, "observation_tokens": 3000},
        "async": {"staleness_steps": 4, "rollout_share": 0.3},
    },
    (stages_rl.Judge, "stages.0.judges.0"): {
        "judged": {
            "name": "style", "model": LARGER, "api": {"name": "acme-coder-1"}, "prompt_tokens": 9000,
            "response_tokens": 900, "share": 0.1, "weight": 0.0,
        },
    },
    (stages_rl.OutcomeCritic, "stages.0.outcome_critic"): {"critic": {"model": LARGER, "replaced_share": 0.9}},
    (stage_options.Evaluation, "stages.0.evaluate"): {"evaluated": {"every_steps": 5, "prompts": 5000, "samples": 8}},
    (stage_options.Checkpointing, "stages.0.checkpoint"): {"rl": {"keep": 50}, "all kept": {"every_steps": 7}},
    (stage_options.RolloutOptions, "stages.0.rollout"): {
        "rl": {
            "engine": "hf", "precision": "fp8", "kv_cache_dtype": "fp8", "tp": 2, "eager": True, "concurrency": 4, "pp": 2,
            "accepted_tokens": 2.0, "drafted_tokens": 4,
        },
        "moe rollout": {"attention_dp": True},
        "agent": {"prefix_cache_hit_share": 0.1},
    },
    (stage_options.TrainOptions, "stages.0.train"): {
        "rl": {
            "sharding": "megatron", "precision": "fp8", "cp": 8, "micro_batch_samples": 64, "recompute": "full",
            "lora_rank": 16, "packing": False, "optimizer_offload": True, "attention": "fa2", "compile": True,
        },
        "megatron": {"tp": 8, "pp": 4, "pipeline_schedule": "interleaved"},
        "moe": {"ep": 16},
        "sft": {"tuned": True},
    },
    (stage_options.SandboxSpec, "stages.0.sandbox"): {
        "rl": {
            "profile": "swe", "cpus": 8, "memory_gib": 32, "seconds": 20, "time_limit_seconds": 5, "calls_per_sample": 4,
            "stateful": True, "serial": True, "failure_share": 0.5, "concurrency": 2, "start_seconds": SPREAD,
            "starts_per_second_per_node": 0.01, "max_per_node": 2, "image_gib": 60, "disk_gib": 50,
        },
    },
    (models.InlineModel, "stages.0.model"): {
        "moe": {
            "name": "other", "layers": 16, "hidden": 2048, "heads": 16, "ffn": 768, "ffn_matrices": 2, "vocab": 200_000,
            "tied_embeddings": True, "experts": 32, "experts_per_token": 8, "shared_experts": 3, "shared_ffn": 8192,
            "dense_layers": 8, "dense_ffn": 30_000, "kv_lora_rank": 1024, "q_lora_rank": 4096, "rope_dim": 128,
            "nope_dim": 256, "v_dim": 256, "params_total": 9e10, "params_active": 9e9,
        },
        "hybrid": {"kv_heads": 4, "head_dim": 64, "attention_layers": 4},
        "quantized": {
            "weight_dtype": "fp8", "weight_group": 16, "unquantized_params": 5e9, "kv_dtype": "fp8", "window": 256,
            "window_layers": 4, "state_bytes": 1e9, "max_context": 1000, "note": "one tower is left out",
        },
    },
    (models.ApiModel, "stages.0.api"): {"api": API_PRICES},
    (models.Served, "stages.0.teacher"): {"synthesize": {"model": LARGER, "api": {"name": "acme-coder-1"}}},
    (stages_data.Student, "stages.0.student"): {
        "synthesize": {"model": LARGER, "api": {"name": "acme-coder-1"}, "attempts": 16, "response_tokens": 5000},
    },
    (stages_data.SynthesizeStage, "stages.0"): {
        "synthesize": {
            "name": "other", "candidates": 40_000, "teacher": {"model": LARGER}, "student": {"model": LARGER},
            "prompt_tokens": 9000, "response_tokens": 5000, "reasoning_tokens": 9000, "yields": {"tests_pass": 0.1},
            "rollout.precision": "fp8", "sandbox.cpus": 8,
        },
        "synthesize items": {"items": 10_000},
    },
    (stages_data.SftStage, "stages.0"): {
        "sft": TRAINING | {"samples": 90_000, "sample_tokens": 900, "packing_share": 0.5},
        "sft by tokens": {"tokens": 10**9},
    },
    (stages_data.PretrainStage, "stages.0"): {
        "pretrain": TRAINING | {"tokens": 10**10, "packing_share": 0.5},
        "sft": {"samples": 90_000, "sample_tokens": 900},
    },
    (stages_data.RewardModelStage, "stages.0"): {"reward-model": TRAINING | {"samples": 90_000, "sample_tokens": 900}},
    (stages_data.DpoStage, "stages.0"): {
        "dpo": TRAINING | {"samples": 90_000, "sample_tokens": 900, "seq_len": 512, "reference": False},
    },
    (stages_agent.RolloutStage, "stages.0"): {
        "rollout": STAGE_AND_GENERATION
        | {"api": {"name": "acme-coder-1"}, "tasks": 900, "attempts": 9, "max_context_tokens": 99_000},
        "api": {"cached_share": 0.1},
    },
    (stages_agent.EvaluateStage, "stages.0"): {
        "evaluate": STAGE_AND_GENERATION
        | {"api": {"name": "acme-coder-1"}, "benchmark": "mbpp", "tasks": 900, "samples": 9},
        "evaluate by api": {"cached_share": 0.1},
    },
    (distributions.Lengths, "stages.0.response_tokens"): {"rl": {"mean": 500, "p95": 7000, "max": 4096}},
    (distributions.Durations, "stages.0.sandbox.seconds"): {"rl": {"mean": 9, "p95": 25, "max": 11}},
    (fleet.FleetSpec, "fleet"): {
        "any fleet": {
            "targets": ["gcp"], "regions": ["eu-*"], "gpus": ["H200"], "capacity": ["spot"],
            "instance_types": ["nd-*"], "exclude": ["aws", "us-east-2"], "max_gpus": 8, "num_gpus": 48, "nodes": 3, "quota": {"H100": 8},
            "sandbox.instance_types": ["m7i.*"],
        },
        "own machines": {"machines": [OWN_NODES | {"gpu": "H200"}, OWN_CPUS]},
    },
    (fleet.NodeCount, "fleet.nodes"): {"nodes": {"min": 2, "max": 1}},
    (fleet.SandboxFleet, "fleet.sandbox"): {
        "any fleet": {"targets": ["gcp"], "capacity": ["spot"], "instance_types": ["m7i.*"]},
    },
    (fleet.Machines, "fleet.machines.0"): {
        "own machines": {
            "name": "other", "gpu": "H200", "gpus_per_node": 4, "nodes": 3, "memory_gib": 64.0, "network_gbps": 1.0,
            "usd_per_hour": 90.0,
        },
        "own, by GPU": {"usd_per_gpu_hour": 9.0},
    },
    (fleet.Machines, "fleet.machines.1"): {"own machines": {"vcpus": 8.0}},
    (fleet.Limits, "limits"): {"limited": {"usd": 5.0, "hours": 0.05, "gpus": 8, "usd_per_hour": 70.0}},
    (fleet.OutcomeValue, "economics"): {"valued": {"outcome": "merged change", "usd_per_outcome": 9.0, "tasks_per_feature": 5}},
    (fleet.OwnPrices, "prices"): {
        "own rate": {"rates": [AWS_RATE | {"usd_per_hour": 1.0}], "discounts": [{"percent": 5.0}]},
        "reservation": {"reservations": []},
    },
    (fleet.Discount, "prices.discounts.0"): {
        "discount": {
            "cloud": "gcp", "instance_type": "nd-h200", "region": "eu-west-1", "gpu": "H200", "capacity": "spot",
            "percent": 60.0,
        },
    },
    (fleet.Rate, "prices.rates.0"): {
        "own rate": {
            "cloud": "gcp", "instance_type": "p5en.48xlarge", "region": "us-central1", "capacity": "spot",
            "usd_per_hour": 90.0,
        },
    },
    (fleet.Reservation, "prices.reservations.0"): {
        "reservation": {
            "cloud": "gcp", "region": "eu-west-1", "instance_type": "p5en.48xlarge", "nodes": 1, "usd_per_hour": 90.0,
        },
    },
    (RunSpec, ""): {
        "rl": {
            "name": "other", "stages": [SFT], "fleet": {"gpus": ["L40S"]}, "limits": {"usd": 900.0}, "objective": "time",
            "prices": {"discounts": [{"percent": 5.0}]}, "economics": {"usd_per_outcome": 1.0},
        },
    },
}  # fmt: skip
"""Spec class and where it stands -> base spec -> field (`a.b` for a part of one) -> another value."""

ELSEWHERE = {
    "RunSpec.version": "the only version",
    "RunSpec.description": "for people",
    "RunSpec.labels": "tags of what a run makes and allocation of its cost",
    "Limits.idle_minutes": "the supervisor of a run",
    "Lengths.measured": "set by reading a file",
    "Durations.measured": "set by reading a file",
    "MeasuredFile.file": "read before the spec is checked",
    "MeasuredFile.column": "read before the spec is checked",
    "JobSpec.weights": "the configuration of a job",
    "JobSpec.data": "the configuration of a job",
    "JobSpec.command": "what a job runs",
    "JobSpec.image": "what a job runs in",
    "JobSpec.setup": "what a node runs before a job",
    "JobSpec.environment": "what a job sees",
    "RlcefStage.job": "how a job is started",
    "SynthesizeStage.job": "how a job is started",
    "SftStage.job": "how a job is started",
    "PretrainStage.job": "how a job is started",
    "RewardModelStage.job": "how a job is started",
    "DpoStage.job": "how a job is started",
    "RolloutStage.job": "how a job is started",
    "EvaluateStage.job": "how a job is started",
    "Machines.sbatch": "options of an allocation on Slurm",
    "Machines.target": "filters machines by target: one test of the search has two",
}
"""Fields that act elsewhere than in the plan."""


def cases() -> Iterator[Any]:
    for (model, where), by_base in CHANGES.items():
        for base, fields in by_base.items():
            for field, value in fields.items():
                path = f"{where}.{field}".strip(".")
                yield pytest.param(base, path, value, id=f"{model.__name__}.{field}-{base}")


@cache
def planned(base: str, path: str = "", value: str = "") -> str:
    """The plan without the spec that it repeats; `value` is the repr of what stands at `path`."""
    spec = copy.deepcopy({"name": "run", "fleet": ONE_CLOUD} | BASES[base])
    if path:
        put(spec, path, eval(value))
    try:
        with mock.patch(
            "planners.plan.build.sensitivity", return_value=()
        ):  # a third of the time, and follows the rest
            plan = build_plan(RunSpec.model_validate(spec), world(), now=NOW)
    except NoFleetError as error:
        return str(error)
    return plan.model_dump_json(exclude={"id", "spec"})


def put(spec: Any, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        spec = spec[int(name)] if name.isdigit() else spec.setdefault(name, {})
    other = {"api": "model", "model": "api"}.get(last)
    if other and other in spec:
        del spec[other]
    spec[last] = value


@pytest.mark.parametrize(("base", "path", "value"), list(cases()))
def test_a_changed_field_changes_the_plan(base: str, path: str, value: Any) -> None:
    assert planned(base, path, repr(value)) != planned(base)


def test_every_field_is_changed_or_listed() -> None:
    varied = {
        f"{model.__name__}.{field.partition('.')[0]}"
        for (model, _), by_base in CHANGES.items()
        for fields in by_base.values()
        for field in fields
    }
    every = {
        f"{model.__name__}.{field}"
        for model in _models(SpecModel)
        if not model.__name__.startswith("_")
        for field in model.model_fields
    }
    kinds = {f"{model.__name__}.kind" for model in _models(SpecModel) if "kind" in model.model_fields}
    assert every - varied == set(ELSEWHERE) | kinds
    assert varied - every == set()


def _models(base: type[SpecModel]) -> Iterator[type[SpecModel]]:
    """Of run specs: other packages write their settings by the same base."""
    for model in base.__subclasses__():
        if model.__module__.startswith("planners.spec."):
            yield model
        yield from _models(model)
