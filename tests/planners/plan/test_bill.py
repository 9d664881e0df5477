"""The bill: lines add up to the plan's dollars, follow their price, and never hide what is unknown."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl
import pytest
from tiny_world import API_ROLLOUT, EVALUATE, NOW, RLCEF, ROLLOUT, SFT, SYNTHESIZE, changed, extras, plan, spec, world

from planners.inputs import PlanInputs
from planners.plan.build import build_plan
from planners.plan.cost_lines import Prices
from planners.plan.unit_prices import API_UNIT, TOKEN_COLUMNS, ExtraPrices, TokenPrices
from planners.plan.value import Plan
from planners.search.fleets import NodeGroup, StageFleet

RUNS: dict[str, tuple[dict[str, Any], ...]] = {
    "rlcef": (RLCEF,), "several": (SYNTHESIZE, SFT, EVALUATE), "agents": (ROLLOUT,), "API": (API_ROLLOUT,),
    "mixed": (API_ROLLOUT, RLCEF, EVALUATE),
    "teacher by API": (changed(SYNTHESIZE, teacher={"api": {"name": "acme-coder-1"}}, student={"model": "Qwen/Qwen2.5-7B-Instruct"}),),
}  # fmt: skip
FLEETS: dict[str, dict[str, Any]] = {
    "any": {},
    "spot": {"capacity": ["spot"]},
    "blocks": {"capacity": ["capacity_block"]},
    "spot sandboxes": {"sandbox": {"capacity": ["spot"]}},
}


def priced(a_plan: Plan) -> float:
    return sum(line.usd for line in a_plan.lines if line.usd is not None)


def with_frames(**frames: pl.DataFrame) -> PlanInputs:
    return dataclasses.replace(world(), **frames)  # type: ignore[arg-type]  # frames only


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("fleet", FLEETS)
def test_lines_add_up_to_the_cent(run: str, fleet: str) -> None:
    made = plan(*RUNS[run], fleet=FLEETS[fleet])
    assert made.usd.p50 == pytest.approx(priced(made), abs=0.005)
    for stage in made.stages:
        mine = sum(line.usd or 0.0 for line in made.lines if line.stage == stage.name)
        assert stage.usd is not None
        assert stage.usd.p50 == pytest.approx(mine, abs=0.005)
    for line in made.lines:
        assert line.quantity >= 0
        assert line.usd_per_unit is not None
        assert line.usd == pytest.approx(line.quantity * line.usd_per_unit)
        assert line.source
        assert line.unit
    assert not made.at_least
    assert len({line.id for line in made.lines}) == len(made.lines)
    assert {line.stage for line in made.lines} == {stage.name for stage in made.stages}


@pytest.mark.parametrize("run", RUNS)
def test_node_lines_are_the_pools(run: str) -> None:
    made = plan(*RUNS[run])
    node_lines = [line for line in made.lines if line.unit == "node-hours"]
    assert sum(line.usd or 0.0 for line in node_lines) == pytest.approx(sum(pool.usd or 0.0 for pool in made.pools))
    for pool in made.pools:
        assert pool.usd == pytest.approx(pool.nodes * pool.hours * (pool.usd_per_node_hour or 0.0))
        assert pool.hours == next(stage.hours.p50 for stage in made.stages if stage.name == pool.stage)
    burns = [
        sum(pool.nodes * (pool.usd_per_node_hour or 0.0) for pool in made.pools if pool.stage == stage.name)
        for stage in made.stages
    ]
    assert made.usd_per_hour == pytest.approx(max(burns))


# ---- doubling a price doubles its line


@pytest.mark.parametrize("kind", ["p5.48xlarge", "m7i.8xlarge"])
def test_doubling_the_price_of_a_machine_doubles_its_line(kind: str) -> None:
    fleet = {
        "targets": ["aws"],
        "instance_types": ["p5.48xlarge"],
        "sandbox": {"instance_types": ["m7i.8xlarge"]},
        "nodes": 2,
    }
    dear = pl.when(pl.col("instance_type") == kind).then(2.0).otherwise(1.0) * pl.col("usd_per_hour")
    doubled = with_frames(
        gpu_offers=world().gpu_offers.with_columns(usd_per_hour=dear),
        cpu_offers=world().cpu_offers.with_columns(usd_per_hour=dear),
    )
    run = spec(fleet=fleet, objective="time")
    before, after = build_plan(run, world(), now=NOW), build_plan(run, doubled, now=NOW)
    assert [line.name for line in before.lines] == [line.name for line in after.lines]
    for old, new in zip(before.lines, after.lines, strict=True):
        factor = 2.0 if kind in old.name else 1.0
        assert new.usd == pytest.approx(factor * (old.usd or 0.0)), old.name
    rise = sum(line.usd or 0.0 for line in before.lines if kind in line.name)
    assert after.usd.p50 - before.usd.p50 == pytest.approx(rise)


@pytest.mark.parametrize("item", sorted(set(extras()["item"])))
def test_doubling_any_other_price_doubles_its_lines(item: str) -> None:
    doubled = pl.when(pl.col("item") == item).then(2.0).otherwise(1.0) * pl.col("usd")
    run = spec(RLCEF, fleet={"targets": [extras().filter(item=item)["cloud"][0]]})
    before = build_plan(run, world(), now=NOW)
    after = build_plan(run, with_frames(extras=world().extras.with_columns(usd=doubled)), now=NOW)
    factors = []
    for old, new in zip(before.lines, after.lines, strict=True):
        assert old.name == new.name
        if new.usd != old.usd:
            factors.append((new.usd or 0.0) / (old.usd or 1.0))
    assert factors
    assert factors == pytest.approx([2.0] * len(factors))


def test_doubling_a_token_price_doubles_its_line() -> None:
    column = "output_usd_per_million_tokens"
    dear = with_frames(token_prices=world().token_prices.with_columns(pl.col(column) * 2))
    before, after = plan(API_ROLLOUT), build_plan(spec(API_ROLLOUT), dear, now=NOW)
    for old, new in zip(before.lines, after.lines, strict=True):
        assert new.usd == pytest.approx((2.0 if "output tokens" in old.name else 1.0) * (old.usd or 0.0))


# ---- unknown is not zero


@pytest.mark.parametrize("item", ["block_gp3_storage", "nat_gateway_hour", "object_storage_standard_first_50tb"])
def test_a_line_without_a_price_makes_the_total_at_least(item: str) -> None:
    fleet = {"targets": ["aws"]}
    whole = plan(fleet=fleet)
    bare = with_frames(extras=world().extras.filter(pl.col("item") != item))
    made = build_plan(spec(fleet=fleet), bare, now=NOW)
    unknown = [line for line in made.lines if line.usd is None]
    assert unknown
    assert made.at_least
    assert not whole.at_least
    assert all(line.usd_per_unit is None for line in unknown)
    assert made.usd.p50 == pytest.approx(priced(made), abs=0.005)
    assert {line.name for line in unknown} <= {row.name for row in made.unpriced}
    assert all(row.why for row in made.unpriced)
    assert len(made.lines) == len(whole.lines), "the line stays"


def test_tokens_of_an_unknown_model_have_no_price() -> None:
    made = plan(changed(API_ROLLOUT, api={"name": "nobody-knows-1"}), limits={"usd": 1000})
    tokens = [line for line in made.lines if line.unit == API_UNIT]
    assert tokens
    assert {line.usd for line in tokens} == {None}
    assert made.at_least
    assert any("limits.usd" in warning and "price" in warning for warning in made.warnings)
    assert "state it in the run spec" in {row.name: row.why for row in made.unpriced}[tokens[0].name]


def test_offers_without_a_price_are_left_out_and_said() -> None:
    made = plan()
    assert any("p6-b200" in row.name and "left out" in row.why for row in made.unpriced)
    assert any(row.rule == "unknown price" for row in made.rejections)
    assert all(pool.usd is not None for pool in made.pools)
    nothing = with_frames(
        cpu_offers=world().cpu_offers.with_columns(
            usd_per_hour=pl.when(pl.col("instance_type") == "D96s").then(None).otherwise(pl.col("usd_per_hour"))
        )
    )
    assert any("D96s" in row.name for row in build_plan(spec(), nothing, now=NOW).unpriced)


def test_own_machines_of_unknown_price_are_never_free() -> None:
    machines = [
        {"gpu": "H100", "nodes": 4, "vcpus": 192, "memory_gib": 2048},
        {"name": "cpu", "nodes": 4, "vcpus": 96, "memory_gib": 192},
    ]
    made = plan(fleet={"targets": ["slurm:big"], "machines": machines}, limits={"usd": 10})
    assert made.at_least
    assert [line.usd for line in made.lines] == [None, None]
    assert [pool.usd for pool in made.pools] == [None, None]
    assert made.stages[0].idle is not None
    assert made.stages[0].idle.usd is None
    assert any("limits.usd" in warning for warning in made.warnings)
    known = [machine | {"usd_per_hour": 20.0} for machine in machines]
    priced_plan = plan(fleet={"targets": ["slurm:big"], "machines": known})
    assert not priced_plan.at_least
    assert priced_plan.usd.p50 == pytest.approx(sum(pool.nodes * pool.hours * 20.0 for pool in priced_plan.pools))
    assert {line.source for line in priced_plan.lines} == {"your price"}


def test_own_machines_beside_a_cloud_are_compared_without_a_warning() -> None:
    machines = [
        {"gpu": "H100", "nodes": 2, "vcpus": 192, "memory_gib": 2048},
        {"name": "cpu", "nodes": 4, "vcpus": 96, "memory_gib": 192},
    ]
    for objective in ("cost", "time", "balanced"):
        both = plan(fleet={"targets": ["local", "aws"], "machines": machines}, objective=objective)
        assert {"local", "aws"} <= {row.cloud for row in both.alternatives}


# ---- which lines


def test_every_region_pays_for_its_own_cluster() -> None:
    gpus = {"gpu": "H100", "nodes": 2, "vcpus": 192, "memory_gib": 2048, "usd_per_hour": 20.0}
    split = plan(fleet={"targets": ["local"], "machines": [gpus], "sandbox": {"targets": ["aws"]}})
    planes = [line for line in split.lines if "control plane" in line.name]
    assert [line.quantity for line in planes] == [pytest.approx(split.hours.p50)]
    assert "aws us-east-2" in planes[0].name
    assert not [line for line in split.lines if "checkpoints" in line.name], "checkpoints stay where the GPUs are"
    together = plan(fleet={"targets": ["aws"]})
    assert len([line for line in together.lines if "control plane" in line.name]) == 1


def test_capacity_blocks_are_paid_by_the_day() -> None:
    made = plan(fleet={"capacity": ["capacity_block"]})
    nodes = [line for line in made.lines if line.unit == "node-hours" and "GPU nodes" in line.name]
    assert [line.usd_per_unit for line in nodes] == [32.0, 32.0]
    assert sum(line.quantity for line in nodes) / made.pools[0].nodes % 24 == pytest.approx(0, abs=1e-6)


def test_lora_keeps_small_checkpoints() -> None:
    def checkpoints(**train: Any) -> float:
        made = plan(changed(SFT, train=train), fleet={"nodes": 1, "gpus": ["H100"]})
        return next(line.quantity / made.hours.p50 for line in made.lines if line.name.startswith("checkpoints"))

    assert checkpoints(lora_rank=16) == pytest.approx(0.02 * checkpoints())


def test_cached_and_fresh_tokens_are_billed_apart() -> None:
    half = plan(changed(API_ROLLOUT, cached_share=0.5))
    fresh, cached, written, output = (
        next(line for line in half.lines if line.name.endswith(f"acme-coder-1, {kind}")) for kind in TOKEN_COLUMNS
    )
    assert fresh.quantity + written.quantity == pytest.approx(cached.quantity)
    assert [line.usd_per_unit for line in (fresh, cached, written, output)] == [2.0, 0.2, 2.5, 10.0]
    stage = half.stages[0].demand
    assert (fresh.quantity + written.quantity + cached.quantity) * 1e6 == pytest.approx(
        stage["generate API input tokens"]
    )
    assert output.quantity * 1e6 == pytest.approx(200 * 30 * 300)
    stated = plan(changed(API_ROLLOUT, api={"name": "acme-coder-1", "output_usd_per_million_tokens": 99.0}))
    line = next(line for line in stated.lines if line.name.endswith("output tokens"))
    assert (line.usd_per_unit, line.source) == (99.0, "the run spec")


@pytest.mark.parametrize(("lengths", "factor"), [({}, 2.0), ({"prompt_tokens": 5000, "response_tokens": 300}, 1.25)])
def test_tokens_are_as_uncertain_as_their_lengths_whatever_the_hours(lengths: dict[str, Any], factor: float) -> None:
    made = plan(changed(API_ROLLOUT, **lengths))
    tokens = sum(line.usd or 0.0 for line in made.lines if line.unit == API_UNIT)
    rest = made.usd.p50 - tokens
    assert rest / 3 < made.usd.p10 - tokens / factor < rest
    assert rest < made.usd.p90 - tokens * factor < 3 * rest


# ---- own prices win


def test_a_rate_a_discount_and_a_reservation_win() -> None:
    fleet = {"targets": ["aws"], "instance_types": ["p5.48xlarge"], "regions": ["us-east-2"]}
    key = {"cloud": "aws", "instance_type": "p5.48xlarge"}

    def gpu_price(prices: dict[str, Any]) -> tuple[float | None, str, str]:
        pool = plan(fleet=fleet, prices=prices).pools[0]
        return pool.usd_per_node_hour, pool.price_source, pool.capacity_type

    assert gpu_price({})[0] == 56.0
    assert gpu_price({"discounts": [{"cloud": "aws", "percent": 25.0}]}) == (42.0, "your price", "on_demand")
    assert gpu_price({"rates": [key | {"usd_per_hour": 30.0}]})[0] == 30.0
    reserved = {"reservations": [key | {"region": "us-east-2", "nodes": 2, "usd_per_hour": 10.0}]}
    assert gpu_price(reserved) == (10.0, "your price", "reserved_1y"), "what is reserved may be used without asking"
    for objective in ("cost", "time"):
        made = plan(fleet=fleet, prices=reserved, objective=objective)
        assert all(pool.nodes <= 2 for pool in made.pools if pool.capacity_type == "reserved_1y")


def test_an_unknown_price_that_the_user_states_is_used() -> None:
    rate = {"cloud": "aws", "instance_type": "p6-b200.48xlarge", "usd_per_hour": 40.0}
    made = plan(fleet={"gpus": ["B200"]}, prices={"rates": [rate]})
    assert made.pools[0].usd_per_node_hour == 40.0
    assert not made.at_least


# ---- parts


def test_machines_burn_by_node_and_own_ones_are_not_in_a_cloud() -> None:
    machines = NodeGroup(
        cloud="aws",
        region="us-east-2",
        instance_type="p5.48xlarge",
        capacity_type="on_demand",
        nodes=3,
        usd_per_hour=50.0,
        as_of=None,
        source="book",
        quality="list",
        gpu="H100",
        gpus_per_node=8,
    )
    assert machines.all_usd_per_hour == 150.0
    assert not machines.owned
    assert dataclasses.replace(machines, cloud="slurm:x").owned
    assert StageFleet(gpus=machines, sandbox=None).num_gpus == 24
    assert StageFleet(gpus=None, sandbox=machines).num_gpus == 0
    assert Prices(extras=ExtraPrices(extras()), tokens=TokenPrices(world().token_prices)).tokens
