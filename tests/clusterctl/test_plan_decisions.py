"""Decisions of plans on the shipped price book: each case of tests/data/plan_cases has its right value in its first
comment, from what users of planners reported."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from clusterctl.catalog.price_book import load_availability, load_book
from clusterctl.plan_service import Planner, open_source
from planners.domain import CapacityType
from planners.plan.value import Plan
from planners.search.combine import NEAR_EQUAL

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "data" / "plan_cases"
TEMPLATES = ROOT / "templates" / "specs"
NOW = datetime(2026, 11, 30, tzinfo=UTC)


@cache
def planned(file: Path, *overrides: str) -> Plan:
    return Planner(now=NOW).plan(open_source(str(file)), overrides)


def case(name: str, *overrides: str) -> Plan:
    return planned(CASES / f"{name}.yaml", *overrides)


def template(name: str, *overrides: str) -> Plan:
    return planned(TEMPLATES / f"{name}.yaml", *overrides)


# ---- what can be bought


def test_what_a_cloud_does_not_sell_is_not_offered() -> None:
    plan = case("not-sold-on-demand")
    everything = [*plan.pools, *(pool for row in (*plan.alternatives, *plan.elsewhere) for pool in row.pools)]
    small = {"a3-highgpu-1g", "a3-highgpu-2g", "a3-highgpu-4g"}
    assert not small & {pool.instance_type for pool in everything}
    assert any(row.rule == "not sold" for row in plan.rejections)
    spot = case("not-sold-on-demand", "fleet.capacity=[spot]", "stages.0.model=Qwen/Qwen2.5-1.5B-Instruct")
    assert {pool.instance_type for row in spot.alternatives for pool in row.pools} & small


def test_every_fact_of_availability_has_a_source_and_names_a_way_to_buy() -> None:
    table = load_availability()
    assert table["source"].null_count() == 0
    assert table["as_of"].null_count() == 0
    assert set(table["can_be_bought"]) == {"yes", "no", "quote"}
    assert set(CapacityType) & set(table["purchase"]) == set(CapacityType)
    sold = load_book().offers(kind="gpu").select("cloud", "instance_type").unique()
    clouds = table.filter(pl.col("cloud").is_in(["aws", "gcp", "azure"])).select("cloud", "instance_type").unique()
    assert clouds.join(sold, on=["cloud", "instance_type"]).height > 15


# ---- limits


def test_the_pretraining_template_keeps_its_limits_at_p90_and_is_no_slow_bargain() -> None:
    plan = template("codellama-pretrain")
    limits = plan.spec["limits"]
    assert plan.hours.p90 <= limits["hours"]
    assert plan.usd.p90 <= limits["usd"]
    cheapest = min(row.usd.p50 for row in plan.alternatives)
    near = [row for row in plan.alternatives if row.usd.p50 <= cheapest * (1 + NEAR_EQUAL)]
    assert plan.hours.p50 <= 1.06 * min(row.hours.p50 for row in near)


def test_twice_the_steps_cost_twice_or_the_limit_is_named() -> None:
    once, twice = template("rlcef"), template("rlcef", "steps=800")
    assert once.hours.p90 <= once.spec["limits"]["hours"]
    assert twice.usd.p50 < 2.2 * once.usd.p50 or any("limits.hours of 72 h" in row for row in twice.decided_by)
    free = [template("rlcef", f"steps={steps}", "limits.hours=2000") for steps in (400, 800)]
    assert free[1].usd.p50 == pytest.approx(2 * free[0].usd.p50, rel=0.05)
    assert not any("limits.hours" in row for row in free[0].decided_by)


# ---- money that is spent already, and money that nobody knows


def test_a_reservation_is_used_first_and_billed_in_full() -> None:
    plan = case("own-reservation")
    (pool,) = [pool for pool in plan.pools if pool.gpu]
    assert (pool.nodes, pool.price_source) == (4, "your price")
    (marginal,) = [row for row in plan.economics if "reservations" in row.name]
    assert marginal.usd == pytest.approx(plan.usd.p50 - 4 * 18.0 * plan.hours.p50)
    for nodes in (2, 3):
        some = case("own-reservation", f"fleet.nodes={nodes}")
        reserved = sum(line.usd or 0.0 for line in some.lines if "your reservation" in line.name)
        assert reserved == pytest.approx(4 * 18.0 * some.hours.p50), "unused nodes are paid too"
        assert some.usd.p50 > plan.usd.p50


def test_an_unknown_price_stays_unknown_and_never_wins_on_cost() -> None:
    plan = case("unpriced-machines")
    assert plan.at_least
    assert plan.usd_per_hour is None
    assert sum("nobody knows whether the run keeps" in text for text in plan.warnings) == 2
    assert all(row.usd is None or row.at_least for row in plan.economics if "per" in row.name)
    assert any("unknown" in row.name for row in plan.economics), "the break-even"
    free = case("unpriced-machines", "limits={}")
    assert not free.at_least
