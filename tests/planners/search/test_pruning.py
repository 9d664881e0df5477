"""The search leaves out what cannot win, exactly: pricing every candidate, in blocks of any size, finds the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tiny_world import EVALUATE, RLCEF, ROLLOUT, SFT, SYNTHESIZE, changed, spec, whole_plan, world

from planners.search import candidates, layout_search
from planners.search.pareto import pareto_front
from planners.search.search import SearchResult, explore

ASYNC = changed(RLCEF, schedule="async", staleness_steps=1)
STAGES = [RLCEF, ASYNC, ROLLOUT, SFT, SYNTHESIZE, EVALUATE]
SPOT = {"fleet": {"capacity": ["on_demand", "spot"]}}


def searched(stage: Mapping[str, Any], **fields: Any) -> SearchResult:
    return explore(spec(stage, **fields), world(), year=2026.0)


def front(found: SearchResult) -> list[tuple[float, float]]:
    rows = pareto_front(found.runs.usd, found.runs.hours)
    return [(float(found.runs.usd[row]), float(found.runs.hours[row])) for row in rows]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: f"{stage['kind']} {stage.get('schedule', '')}")
@pytest.mark.parametrize("fields", [{}, SPOT], ids=["on demand", "spot too"])
def test_pricing_every_candidate_finds_the_same_front(
    stage: Mapping[str, Any], fields: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_search, "SIMPLER_SHARE", 0.0)
    pruned = searched(stage, **fields)
    for module in (candidates, layout_search):
        monkeypatch.setattr(module, "best_by_group", lambda _, cost: np.flatnonzero(np.isfinite(cost)))
    monkeypatch.setattr(layout_search, "may_win", lambda layouts, in_turn, seconds: np.ones(len(seconds), dtype=bool))
    every = searched(stage, **fields)
    num_every, num_pruned = (len(found.stages[0].rows.offer) for found in (every, pruned))
    assert num_every > num_pruned or stage is SFT, "a small model's training has one layout on each fleet"
    assert front(every) == front(pruned)
    assert every.combinations >= pruned.combinations


@pytest.mark.parametrize("stage", [RLCEF, ROLLOUT], ids=["judged", "held"])
def test_blocks_change_nothing(stage: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = searched(stage)
    monkeypatch.setattr(layout_search, "BLOCK_ROWS", 7)
    blocks = searched(changed(stage, name="anew"))  # what is asked anew is not remembered
    assert front(blocks) == pytest.approx(np.array(front(whole)), rel=1e-12)
    rejected = [(row.rule, row.count, row.left) for row in whole.rejections.rejected]
    assert [(row.rule, row.count, row.left) for row in blocks.rejections.rejected] == rejected


@pytest.mark.parametrize("nodes", [4])
def test_a_simpler_layout_is_taken_where_it_costs_little_time(nodes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less pipelining and context parallelism, for 3 % more time at most."""
    stage = changed(RLCEF, model="Qwen/Qwen2.5-Coder-32B-Instruct", max_response_tokens=16_384)
    fleet = {"gpus": ["H200"], "nodes": nodes}
    simple = whole_plan(stage, fleet=fleet).stages[0]
    monkeypatch.setattr(layout_search, "SIMPLER_SHARE", 0.0)
    fastest = whole_plan(changed(stage, name="anew"), fleet=fleet).stages[0]  # what is asked anew is not remembered
    assert simple.layout["pp"] == simple.layout["cp"] == 1
    assert int(fastest.layout["pp"]) * int(fastest.layout["cp"]) > 1
    assert fastest.seconds_per_unit.p50 < simple.seconds_per_unit.p50 <= 1.03 * fastest.seconds_per_unit.p50
