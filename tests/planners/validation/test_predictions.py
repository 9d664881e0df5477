"""Cases through the physics: golden predictions, bands, and inputs that narrow them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from clusterctl.catalog.lookup import load_calibration
from clusterctl.catalog.published_names import published_gpu, published_model
from planners.physics.constants import PRIORS, Constants
from planners.validation.case import Case, read_case
from planners.validation.predict import predict_cases
from planners.validation.prepare import Prepared, missing_inputs, prepare
from planners.validation.score import Answer, answer_cases, summarise

CASES = Path(__file__).resolve().parents[3] / "tools" / "fit" / "cases" / "cases.yaml"

GOLDEN = {
    "nemorl-dsv3-256h100-sync": 117.58,
    "nemorl-qwen3-30ba3b-192h100-async8": 35.234,
    "verl-mi300x-ppo-deepseek7b-step": 32.971,
    "torchtitan-llama31-8b-8h100-fp8": 8519.4,
    "llmfoundry-mpt70b-32h100-seq2048": 908.31,
    "megatron-deepseekv3-256gb200-mxfp8-v2606": 4078,
    "mlperf-llama31-405b-2048h100": 64.69,
    "mlperf-llama2-70b-lora-8mi325x": 23.767,
    "primerl-rl-qwen3-4b-8h100-lora-16384-fa3": 7402.8,
    "trtllm-llama31-8b-fp8-1h100-2048-2048": 8286.7,
    "trtllm-qwen3-235b-fp8-8h200-128-2048": 37828.0,
    "cosmopedia-mixtral-synthetic": 6686.3,
}
"""Predictions at the prior constants, in the metric of the case: change them only with a reason in ACCURACY.md."""


@pytest.fixture(scope="module")
def raw_cases() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.load(CASES.read_text("utf-8"), Loader=yaml.CSafeLoader)
    return loaded


def prepared(raw: dict[str, Any]) -> Prepared:
    case = read_case(raw, 0)
    assert isinstance(case, Case)
    ready = prepare(case, published_model, published_gpu)
    assert isinstance(ready, Prepared)
    return ready


def answer(raw: dict[str, Any]) -> Answer:
    return answer_cases([raw], load_calibration(), published_model, published_gpu)[0]


def test_golden_predictions(raw_cases: list[dict[str, Any]]) -> None:
    chosen = [prepared(raw) for raw in raw_cases if raw["id"] in GOLDEN]
    values, _ = predict_cases(Constants(), chosen)
    assert {p.case.id: float(v) for p, v in zip(chosen, values, strict=True)} == pytest.approx(GOLDEN, rel=1e-3)


def test_every_constant_moves_some_prediction(raw_cases: list[dict[str, Any]]) -> None:
    ada = {**raw_cases[0], "kind": "sft", "cluster": {"gpu": "L40S", "gpus": 8}, "rollout": None}
    ada["model"] = "Qwen/Qwen2.5-7B"
    ada["published"] = {"metric": "step_seconds", "value": 1}
    ada_fp8 = {**ada, "train": {"precision": "fp8", "seq_len": 4096}}
    ada_bf16 = {**ada, "train": {"precision": "bf16", "seq_len": 4096}}
    adapters = {**UNMEASURED, "train": {"lora_rank": 16, "sharding": "fsdp"}}
    chat = {**UNMEASURED, "model": "Qwen/Qwen2.5-7B-Instruct"}
    agent = {**UNMEASURED, "rollout": {**UNMEASURED["rollout"], "turns": 5}}
    ready = [prepared(raw) for raw in [*raw_cases, ada_fp8, ada_bf16, adapters, chat, agent] if raw["model"]]
    base = {p.name: np.full((len(PRIORS) + 1, 1), p.value) for p in PRIORS}
    for row, prior in enumerate(PRIORS):
        base[prior.name][row + 1] *= 1.1
    values, _ = predict_cases(Constants(**base), ready)
    moved = np.nanmax(np.abs(np.log(values[1:] / values[0])), axis=1)
    assert [p.name for p, change in zip(PRIORS, moved, strict=True) if not change > 1e-6] == []


def test_full_cases_are_predicted_within_the_goal(raw_cases: list[dict[str, Any]]) -> None:
    scores = summarise(answer_cases(raw_cases, load_calibration(), published_model, published_gpu))
    full = {score.kind: score for score in scores if score.quality == "full"}
    for kind, median, p90 in (("pretrain", 0.10, 0.33), ("generate", 0.10, 0.30), ("rl_step", 0.15, 0.40)):
        assert full[kind].median_abs_error <= median
        assert full[kind].p90_abs_error <= p90
        assert full[kind].band80_coverage >= 0.8


UNMEASURED: dict[str, Any] = {
    "id": "probe",
    "kind": "rl_step",
    "year": 2026,
    "model": "Qwen/Qwen2.5-7B",
    "cluster": {"gpu": "H100", "gpus": 16},
    "rollout": {"prompts_per_step": 64, "samples_per_prompt": 16, "max_tokens": 8192, "turns": 1},
    "published": {"metric": "step_seconds", "value": 100, "unit": "s"},
}


def width(a: Answer) -> float:
    assert a.p10 is not None
    assert a.p90 is not None
    return a.p90 / a.p10


def test_measured_lengths_narrow_the_band() -> None:
    unknown = answer(UNMEASURED)
    rollout = UNMEASURED["rollout"] | {"response_tokens": 1500}  # type: ignore[operator]  # a literal above
    mean = answer(UNMEASURED | {"rollout": rollout})
    assert width(mean) < 0.3 * width(unknown)
    p95 = answer(UNMEASURED | {"rollout": rollout | {"response_tokens_p95": 2000}})
    assert p95.predicted is not None
    assert mean.predicted is not None
    assert p95.predicted < mean.predicted


def test_a_benchmark_at_a_stated_concurrency_misses_no_batch() -> None:
    rollout = {"prompt_tokens": 1000, "response_tokens": 1000, "max_tokens": 1000}
    base = UNMEASURED | {"kind": "generate", "published": {"metric": "output_tokens_per_second", "value": 1}}
    unknown, known = (read_case(base | {"rollout": rollout | {"concurrency": at_once}}, 0) for at_once in (None, 64))
    assert isinstance(unknown, Case)
    assert isinstance(known, Case)
    assert missing_inputs(unknown) == ("batch",)
    assert missing_inputs(known) == ()


def test_a_missing_batch_or_step_count_widens_the_band(raw_cases: list[dict[str, Any]]) -> None:
    known = answer({**UNMEASURED, "kind": "rl_run", "steps": 300, "published": {"metric": "gpu_hours", "value": 9}})
    unknown = answer({**UNMEASURED, "kind": "rl_run", "steps": None, "published": {"metric": "gpu_hours", "value": 9}})
    assert width(unknown) > 2 * width(known)
    assert unknown.reason is not None
    assert "steps" in unknown.reason


@pytest.mark.parametrize(
    ("train", "slower"),
    [
        ({"attention_kernel": "fa2"}, True),
        ({"attention_kernel": "fa3"}, False),
        ({"compiled": True}, False),
        ({"evaluation_share": 0.2}, True),
        ({"virtual_stages": 1}, False),
    ],
)
def test_stack_facts_move_the_prediction(train: dict[str, Any], slower: bool) -> None:
    base = {
        "id": "probe",
        "kind": "pretrain",
        "year": 2025,
        "model": "meta-llama/Llama-3.1-8B",
        "cluster": {"gpu": "H100", "gpus": 8},
        "published": {"metric": "tokens_per_second_per_gpu", "value": 1},
        "train": {"sharding": "fsdp", "seq_len": 8192, "global_batch_samples": 64, "micro_batch_samples": 1},
    }
    plain, other = answer(base).predicted, answer(base | {"train": base["train"] | train}).predicted  # type: ignore[operator]
    assert plain is not None
    assert other is not None
    assert (other < plain) if slower else (other >= plain)


def test_board_power_counts() -> None:
    base = {
        "id": "probe",
        "kind": "pretrain",
        "model": "meta-llama/Llama-3.1-8B",
        "published": {"metric": "mfu", "value": 0.4},
    }
    full, capped = (
        answer(base | {"cluster": {"gpu": "H100", "gpus": 64, "board_watts": watts}}).predicted for watts in (700, 400)
    )
    assert full is not None
    assert capped is not None
    assert capped < 0.8 * full


@pytest.mark.parametrize(
    ("section", "field"),
    [
        *(("rollout", name) for name in ("engine", "precision", "schedule", "max_tokens_is")),
        *(("train", name) for name in ("algorithm", "sharding", "precision", "recompute", "attention_kernel")),
    ],
)
def test_a_word_that_nobody_knows_is_what_is_usual(section: str, field: str) -> None:
    for kind in ("rl_step", "sft", "generate"):
        base = UNMEASURED | {"kind": kind, "published": {"metric": "step_seconds" if kind != "generate" else "seconds"}}
        assert answer(base | {section: (base.get(section) or {}) | {field: "frobnicated"}}).predicted, kind  # type: ignore[operator]  # a mapping


def test_loose_names_find_the_same_prediction() -> None:
    base = answer(UNMEASURED)
    for model, gpu in (("qwen2.5-7b", "NVIDIA H100 80GB HBM3"), ("Qwen/Qwen2.5-7B-Base", "H100-SXM5-80GB")):
        assert answer(UNMEASURED | {"model": model, "cluster": {"gpu": gpu, "gpus": 16}}).predicted == base.predicted


def test_an_unknown_model_of_known_size_is_close_and_wider() -> None:
    known, generic = answer(UNMEASURED), answer(UNMEASURED | {"model": "acme/Frobnicator-7.6B"})
    assert generic.predicted == pytest.approx(known.predicted, rel=0.35)
    assert width(generic) > width(known)
    assert generic.reason is not None
    assert "unknown" in generic.reason


def test_traps_and_other_qualities_are_scored_apart(raw_cases: list[dict[str, Any]]) -> None:
    scores = summarise(answer_cases(raw_cases, load_calibration(), published_model, published_gpu))
    assert {score.quality for score in scores} == {"full", "partial", "trap"}
    assert sum(score.n for score in scores) <= len(raw_cases)


def test_scoring_arithmetic() -> None:
    base = answer(UNMEASURED)
    answers = [
        replace(base, predicted=p, published=100.0, p10=90.0, p90=110.0) for p in (100.0, 120.0, 50.0, 100.0, 130.0)
    ]
    (score,) = summarise([*answers, replace(base, predicted=None, p10=None, p90=None)])
    assert (score.n, score.median_abs_error, score.median_ratio) == (5, pytest.approx(0.2), pytest.approx(1.0))
    assert score.p90_abs_error == pytest.approx(0.42)
    assert score.band80_coverage == 1.0
