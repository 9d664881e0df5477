"""GPU time that the sandboxes cost, its cure, and what an outcome costs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_world import API_ROLLOUT, EVALUATE, NOW, RLCEF, ROLLOUT, SFT, SYNTHESIZE, changed, plan, spec, world

from planners.plan.unit_costs import unit_costs
from planners.plan.value import Plan
from planners.search.evaluate import estimate_stage
from planners.search.fleets import stage_on
from planners.search.search import explore
from planners.search.selection import choose
from planners.spec.fleet import OutcomeValue
from planners.workload.stage_work import StageWork

SLOW = changed(
    RLCEF, sandbox={"cpus": 4, "memory_gib": 4, "seconds": {"mean": 20, "p95": 60}, "time_limit_seconds": 120}
)
CROWDED = changed(ROLLOUT, tasks=1000)


def few_sandboxes(stage: dict[str, Any], nodes: int = 1, objective: str = "cost") -> Plan:
    """GPUs beside so few own sandbox machines that they must wait."""
    machines = [
        {"gpu": "H100", "nodes": 2, "vcpus": 192, "memory_gib": 2048, "usd_per_hour": 40.0},
        {"name": "cpu", "nodes": nodes, "vcpus": 32, "memory_gib": 128, "usd_per_hour": 1.0},
    ]
    return plan(stage, fleet={"targets": ["local"], "machines": machines}, objective=objective)


@pytest.mark.parametrize("stage", [SLOW, CROWDED], ids=["judges", "held"])
def test_idle_time_has_a_price_and_a_cure(stage: dict[str, Any]) -> None:
    made = few_sandboxes(stage)
    idle = made.stages[0].idle
    assert idle is not None
    gpu = next(pool for pool in made.pools if pool.gpu)
    assert idle.gpu_hours > 0
    assert idle.usd == pytest.approx(idle.gpu_hours * 40.0 / 8)
    assert idle.gpu_hours <= gpu.nodes * 8 * made.hours.p50
    assert idle.cure_nodes
    assert idle.cure_usd
    assert 0.1 < idle.cure_share <= 1.0
    cured = few_sandboxes(stage, nodes=1 + idle.cure_nodes).stages[0].idle
    assert cured is not None
    assert cured.gpu_hours < 0.5 * idle.gpu_hours
    assert any("wait" in warning for warning in made.warnings)
    assert idle.reason
    assert idle.slots_busy_share is not None
    assert 0 < idle.slots_busy_share <= 1


def test_enough_sandboxes_need_no_cure() -> None:
    idle = few_sandboxes(changed(CROWDED, tasks=8), nodes=400, objective="time").stages[0].idle
    assert idle is not None
    assert idle.cure_nodes is None
    assert idle.cure_usd is None


def test_stages_without_gpus_or_sandboxes_have_no_idle_gpus() -> None:
    assert plan(SFT).stages[0].idle is None
    assert plan(API_ROLLOUT).stages[0].idle is None


@pytest.mark.parametrize("stage", [RLCEF, SLOW, ROLLOUT, EVALUATE, SYNTHESIZE, API_ROLLOUT], ids=lambda s: s["kind"])
def test_more_sandbox_nodes_never_lengthen_a_unit(stage: dict[str, Any]) -> None:
    run = spec(stage)
    found = explore(run, world(), year=float(NOW.year))
    picks = stage_on(found, choose(run, found).rows[:1], 0, year=float(NOW.year))[1]
    constants = world().calibration.constants
    held = picks.work.sandbox_work is not None and picks.work.sandbox_work.stateful
    first_wave = 0.002 if held else 1e-9  # more sandboxes that start at once on a node
    before = None
    for factor in (0.25, 0.5, 1.0, 2.0, 4.0, 16.0):
        more = dataclasses.replace(picks, slots=picks.slots * factor)
        seconds = float(estimate_stage(more, constants).unit_seconds[0])
        if before is not None:
            assert seconds <= before * (1 + first_wave)
        before = seconds


# ---- what an outcome costs


@given(usd=st.floats(0, 1e7), solved=st.floats(0.1, 1e6), worth=st.floats(0.01, 1e5), tasks=st.integers(1, 100))
def test_dollars_per_outcome_and_break_even(usd: float, solved: float, worth: float, tasks: int) -> None:
    work = StageWork(
        stage="rollout",
        kind="rollout",
        title="",
        unit="job",
        units=1.0,
        outcomes={"attempts": 2 * solved, "solved tasks": solved},
    )
    stated = OutcomeValue(outcome="solved issue", usd_per_outcome=worth, tasks_per_feature=tasks)
    rows = {row.name.split(":")[-1].strip(): row for row in unit_costs([(work, usd, False)], stated)}
    assert rows["per solved task"].usd == pytest.approx(usd / solved)
    assert rows["per attempt"].usd == pytest.approx(usd / solved / 2)
    assert rows["per feature"].usd == pytest.approx(usd / solved * tasks)
    even = next(row for name, row in rows.items() if "solved issue" in name)
    assert even.usd == worth
    assert f"{usd / worth:,.1f}" in next(name for name in rows if "solved issue" in name)
    assert all(row.formula for row in rows.values())


@pytest.mark.parametrize(
    ("stage", "name", "count"),
    [
        (RLCEF, "rlcef: per 1,000 rewarded samples", 100 * 64 * 8 / 1000),
        (SYNTHESIZE, "synthesize: per accepted item", 10_000),
        (ROLLOUT, "rollout: per solved task", 200 * 2 * 0.3),
        (API_ROLLOUT, "rollout: per attempt", 200),
        (SFT, "sft: per million tokens", 50_000 * 2000 / 1e6),
        (EVALUATE, "evaluate: per evaluated sample", 542),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_each_kind_says_what_its_outcome_costs(stage: dict[str, Any], name: str, count: float) -> None:
    made = plan(stage)
    assert {row.name: row.usd for row in made.economics}[name] == pytest.approx(made.usd.p50 / count)


def test_the_break_even_counts_the_whole_run() -> None:
    made = plan(
        SFT, API_ROLLOUT, economics={"outcome": "solved issue", "usd_per_outcome": 20.0, "tasks_per_feature": 8}
    )
    even = next(row for row in made.economics if row.name.startswith("break-even"))
    assert f"{made.usd.p50 / 20.0:,.1f}" in even.name
    feature = next(row for row in made.economics if row.name == "per feature")
    stage = made.stages[1]
    assert stage.usd is not None
    assert feature.usd == pytest.approx(stage.usd.p50 / 100 * 8)
