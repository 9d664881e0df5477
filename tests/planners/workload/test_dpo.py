"""DPO reads two answers per pair, by the policy and by a frozen reference (arXiv:2305.18290)."""

from __future__ import annotations

import pytest
from tiny_world import plan

from planners.plan.value import Plan

PAIRS = {"kind": "dpo", "model": "Qwen/Qwen2.5-7B-Instruct", "samples": 60_000, "sample_tokens": 1000}
FLEET = {"gpus": ["H100"], "targets": ["aws"], "nodes": 2}


def seconds(made: Plan) -> float:
    """Of the whole stage, at work."""
    return made.stages[0].seconds_per_unit.p50 * made.stages[0].units


def test_a_pair_is_two_sequences_and_64_pairs_an_update() -> None:
    made = plan(PAIRS, fleet=FLEET)
    assert made.stages[0].units == pytest.approx(60_000 / 64)
    assert made.stages[0].demand["trained tokens"] == pytest.approx(2 * 60_000 * 1000)
    assert any("64" in row.value for row in made.assumptions if row.name == "dpo.global_batch_samples")


def test_the_reference_adds_a_forward_pass_and_its_weights() -> None:
    """Forward is a third of forward and backward (a quarter with full recomputation)."""
    stated = PAIRS | {"train": {"recompute": "none", "micro_batch_samples": 8}}
    with_reference, without = plan(stated, fleet=FLEET), plan(stated | {"reference": False}, fleet=FLEET)
    assert 1.2 < seconds(with_reference) / seconds(without) < 1.4
    memory, other = with_reference.stages[0].memory, without.stages[0].memory
    assert memory is not None
    assert other is not None
    assert memory.train_gib["reference"] > 0.0
    assert "reference" not in other.train_gib
