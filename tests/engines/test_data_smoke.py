"""Smoke sizes of stages that make data, train on it or measure a model, to their end on CPU as plain processes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from roles_here import CACHE, Place

from clusterctl.paths import bundle_root
from clusterctl.plan_service import load_world
from planners.plan.build import build_plan
from planners.plan.value import Plan
from planners.spec.run_spec import RunSpec

ENVIRONMENTS = {
    "trl-1.16.0-smoke": "trl",
    "xllamacpp-2026.10.11549": "serve",
    "datasketch-2.0.0": "benchmarks",
    "evalplus-0.3.1": "benchmarks",
}
SECONDS = 600


def smoke_plan(name: str) -> Plan:
    spec = yaml.safe_load((bundle_root() / "templates" / "specs" / f"{name}.yaml").read_text("utf-8"))
    checked = RunSpec.model_validate(spec)
    return build_plan(checked, load_world(checked), now=datetime.now(tz=UTC))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for environment in set(ENVIRONMENTS.values()):
        assert (CACHE / environment / "made-from.lock").exists(), "tests/engines/install.sh makes this environment"
    return Place(folder=tmp_path, environments=ENVIRONMENTS)


def test_sft_on_execution_feedback_ends_and_leaves_weights(place: Place) -> None:
    with place:
        assert place.run(smoke_plan("smoke-sft"), "sft", seconds=SECONDS) == 0, place.log("trainer")
    steps = [(report["step"], report["of"]) for report in place.reports()]
    assert steps == [(1, 2), (2, 2)]
    assert {"loss", "token_accuracy"} <= set(place.reports()[-1]["metrics"])
    assert (place.folder / "checkpoints" / "sft" / "checkpoint-2" / "model.safetensors").exists()
    assert place.result()["steps"] == 2


def test_a_reward_model_learns_from_pairs(place: Place) -> None:
    with place:
        assert place.run(smoke_plan("smoke-reward-model"), "reward-model", seconds=SECONDS) == 0, place.log("trainer")
    assert {"loss", "accuracy"} <= set(place.reports()[-1]["metrics"])
    assert place.result()["steps"] == 2


def test_triples_are_written_verified_and_trained_on(place: Place) -> None:
    plan = smoke_plan("smoke-synthesize")
    with place:
        assert place.run(plan, "synthesize", seconds=SECONDS) == 0, place.log("writer")
    assert place.result()["accepted"] >= 1
    assert place.reports()[-1]["metrics"]["yield_parses"] > 0
    (row, *_) = (place.folder / "checkpoints" / "synthesize" / "sft.jsonl").read_text("utf-8").splitlines()
    assert "```python\ndef " in json.loads(row)["messages"][1]["content"]
    place.started.clear()
    for role in ("sandbox", "rollout", "writer"):
        (place.folder / role).rename(place.folder / f"{role}-of-synthesize")
    place.environments = {}
    with place:
        assert place.run(plan, "sft", seconds=SECONDS) == 0, place.log("trainer")
    assert [report["stage"] for report in place.reports()][-1] == "sft"


def test_a_small_model_is_measured(place: Place) -> None:
    with place:
        assert place.run(smoke_plan("smoke-evaluate"), "evaluate", seconds=SECONDS) == 0, place.log("scorer")
    (report,) = place.reports()
    assert {"pass_at_1", "output_tokens"} <= set(report["metrics"])


@pytest.mark.slow
def test_a_critic_replaces_executions_and_a_judge_scores_beside_them(place: Place) -> None:
    plan = smoke_plan("smoke-judged")
    with place:
        assert place.run(plan, "reward-model", seconds=SECONDS) == 0, place.log("trainer")
    place.started.clear()
    place.environments = {}
    with place:
        assert place.run(plan, "rlcef", seconds=SECONDS) == 0, place.log("trainer")
    metrics = place.reports()[-1]["metrics"]
    assert 0.0 <= metrics["predicted_share"] <= 1.0
    assert metrics["critic_compared"] == 4 * (1 - metrics["predicted_share"])
    assert "judge_readability_unknown_share" in metrics
    assert "reward" in metrics
