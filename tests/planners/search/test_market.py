"""Candidates on offers: dollars are hours times what runs, and what may not be bought is not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_world import EVALUATE, NOW, RLCEF, ROLLOUT, SFT, SYNTHESIZE, changed, spec, world

from planners.physics.overhead import START_UP_HOURS
from planners.search.evaluate import estimate_stage
from planners.search.fleets import fleet_of, stage_on
from planners.search.pricing import Rows, within
from planners.search.rejections import Rejections
from planners.search.search import SearchResult, explore
from planners.search.search_space import layout_options, slot_counts_for
from planners.search.selection import choose

YEAR = float(NOW.year)
STAGES = [RLCEF, SFT, EVALUATE, ROLLOUT, SYNTHESIZE]


def found(*stages: dict[str, Any], **fields: Any) -> SearchResult:
    return explore(spec(*stages, **fields), world(), year=YEAR)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage["kind"])
def test_dollars_are_hours_times_everything_that_runs(stage: dict[str, Any]) -> None:
    search = found(stage, fleet={"capacity": ["on_demand", "spot"]})
    rows, candidates, places = search.stages[0].rows, search.stages[0].candidates, search.stages[0].places
    usd = search.offers["usd_per_hour"].to_numpy()[rows.offer]
    machines = search.offers["machine"].to_numpy()[rows.offer]
    nodes = candidates.nodes[rows.candidate]
    assert (candidates.machine[rows.candidate] == machines).all()
    assert np.allclose(rows.usd, rows.hours * rows.usd_per_hour)
    assert (rows.hours >= candidates.hours[rows.candidate] + START_UP_HOURS - 1e-9).all()
    if places is None:
        assert np.allclose(rows.usd_per_hour, nodes * usd)
    else:
        assert (rows.usd_per_hour > nodes * usd).all(), "sandboxes cost too"
    assert np.isfinite(rows.usd).all()
    spot = (search.offers["capacity_type"] == "spot").to_numpy()[rows.offer]
    for candidate in np.unique(rows.candidate)[:50]:
        same = rows.candidate == candidate
        if (same & spot).any() and (same & ~spot).any():
            assert rows.interruptions[same & spot].min() > rows.interruptions[same & ~spot].max()
            assert rows.hours[same & spot].min() >= rows.hours[same & ~spot].max()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage["kind"])
def test_of_equal_machines_and_nodes_the_fastest_layout_is_kept(stage: dict[str, Any]) -> None:
    search = found(stage, fleet={"gpus": ["H100"], "targets": ["aws"], "max_gpus": 32})
    candidates = search.stages[0].candidates
    keys = list(zip(candidates.machine.tolist(), candidates.nodes.tolist(), candidates.slots_row.tolist(), strict=True))
    assert len(set(keys)) == len(keys)
    lay = candidates.layouts.take(candidates.layout)
    assert (lay.nodes == candidates.nodes).all()
    assert (lay.machine == candidates.machine).all()
    assert (lay.gpus == candidates.gpus).all()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage["kind"])
def test_a_closer_look_agrees_with_the_search(stage: dict[str, Any]) -> None:
    run = spec(stage)
    search = explore(run, world(), year=YEAR)
    choice = choose(run, search)
    _, picks = stage_on(search, choice.rows, 0, year=YEAR)
    result = estimate_stage(picks, world().calibration.constants)
    for row, (number, hours) in enumerate(zip(choice.rows, result.hours, strict=True)):
        fleet = fleet_of(search, int(number), 0)
        assert fleet.gpus is not None
        assert picks.layouts.gpus[row] == fleet.num_gpus
        assert float(hours) <= 1.1 * search.runs.hours[number], "whole nodes hold more sandboxes than were wished for"
        assert float(hours) >= 0.3 * search.runs.hours[number]
    assert picks.take(np.array([0])).slots.tolist() == picks.slots[:1].tolist()


@given(
    usd=st.lists(st.one_of(st.just(np.inf), st.floats(1, 100)), min_size=1, max_size=20),
    limit=st.one_of(st.none(), st.floats(1, 100)),
)
def test_rows_that_cannot_be_bought_are_counted(usd: list[float], limit: float | None) -> None:
    each = np.array(usd)
    rows = Rows(
        offer=np.arange(len(usd)),
        candidate=np.arange(len(usd)),
        hours=each,
        usd=each,
        usd_per_hour=each,
        unpriced=np.zeros(len(usd)),
        gpus=each,
        interruptions=each,
        sandbox_nodes=np.zeros(len(usd)),
    )
    rejections = Rejections()
    kept = within(rows, rejections, max_usd_per_hour=limit, name="rlcef")
    assert kept.usd.tolist() == [price for price in usd if np.isfinite(price) and (limit is None or price <= limit)]
    assert sum(row.count for row in rejections.rejected) == len(usd) - len(kept.usd)


def test_what_does_not_fit_the_memory_is_said_with_what_fills_it() -> None:
    search = found(changed(RLCEF, model="meta-llama/Llama-3.1-70B"), fleet={"gpus": ["H100", "L40S"], "max_gpus": 64})
    rules = {row.rule: row for row in search.rejections.rejected}
    assert re.match(r"[\d.]+ GiB missing at best: [\d.]+ of [\d.]+ GiB \(\w+ ", rules["training memory"].reason)
    assert rules["training memory"].count > 0
    assert all("× H100" in name or "× L40S" in name for name in rules["training memory"].examples)
    small = found(RLCEF, fleet={"gpus": ["H100"]})
    assert len(small.runs.offer)
    assert small.combinations > len(small.runs.offer)


def test_stated_degrees_are_kept() -> None:
    stage = changed(
        RLCEF,
        model="Qwen/Qwen2.5-Coder-32B-Instruct",
        rollout={"tp": 4},
        train={"sharding": "megatron", "tp": 4, "pp": 2},
    )
    work = found(stage, fleet={"gpus": ["H100"]}).stages[0].work
    options = layout_options(work)
    assert (options.tps, options.pps, options.replicas) == ((4,), (2,), (4,))
    lay = found(stage, fleet={"gpus": ["H100"]}).stages[0].candidates.layouts
    assert set(zip(lay.tp.tolist(), lay.pp.tolist(), lay.replica.tolist(), strict=True)) == {(4.0, 2.0, 4.0)}


@pytest.mark.parametrize("stage", [RLCEF, ROLLOUT, EVALUATE], ids=lambda stage: stage["kind"])
def test_wishes_are_distinct_whole_and_no_more_than_needed(stage: dict[str, Any]) -> None:
    work = found(stage).stages[0].work
    wanted = work.sandbox_work
    assert wanted is not None
    slot_counts = slot_counts_for(wanted, whole_job=work.unit == "job", owned_slots=(5.0, 1e9)).tolist()
    assert slot_counts == sorted(set(slot_counts))
    assert all(slots_row >= 1 and slots_row == int(slots_row) for slots_row in slot_counts)
    assert 5.0 in slot_counts
    assert max(slot_counts) <= (wanted.trajectories if wanted.stateful else np.ceil(wanted.calls))
