"""The chosen fleet keeps to every limit, and is the best of what the plan shows."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from tiny_world import API_ROLLOUT, EVALUATE, NOW, RLCEF, ROLLOUT, SFT, SYNTHESIZE, changed, plan, spec, world

from planners.plan.build import build_plan
from planners.plan.value import Plan, Pool
from planners.runs.next_offer import next_alternative, pools_on
from planners.search.selection import NoFleetError

STAGES = [RLCEF, SFT, EVALUATE, ROLLOUT, API_ROLLOUT, SYNTHESIZE]
KINDS = [stage["kind"] + (" by API" if "api" in stage else "") for stage in STAGES]


def gpu_pools(a_plan: Plan) -> list[Pool]:
    return [pool for pool in a_plan.pools if pool.gpu]


def num_gpus(a_plan: Plan, stage: str) -> int:
    return sum(pool.nodes * pool.gpus_per_node for pool in a_plan.pools if pool.stage == stage)


# ---- the best of what is shown


@pytest.mark.parametrize("stage", STAGES, ids=KINDS)
@pytest.mark.parametrize("objective", ["cost", "time", "balanced"])
def test_no_alternative_beats_the_pick_by_its_objective(stage: dict[str, Any], objective: str) -> None:
    made = plan(stage, objective=objective)
    first, *others = made.alternatives
    assert (first.hours, first.usd) == (made.hours, made.usd)
    quickest = min(row.hours.p50 for row in made.alternatives)
    for row in others:
        if objective == "cost":
            near = row.usd.p50 <= 1.05 * min(other.usd.p50 for other in made.alternatives)
            assert first.usd.p50 <= 1.05 * row.usd.p50 + 0.01
            assert not near or row.hours.p50 >= first.hours.p50 / 1.06
        elif objective == "time":
            assert first.hours.p50 <= 1.05 * quickest + 1e-9
            assert row.hours.p50 > 1.05 * quickest or row.usd.p50 >= first.usd.p50 - 0.01
        else:
            assert row.usd.p50 > first.usd.p50 or row.hours.p50 > first.hours.p50
    assert [row.number for row in made.alternatives] == list(range(1, len(made.alternatives) + 1))
    assert [row.usd.p50 for row in others] == sorted(row.usd.p50 for row in others)
    for row in made.alternatives:
        if row.label == "fastest":
            assert row.hours.p50 == quickest
        if row.label == "cheapest":
            assert row.usd.p50 == min(other.usd.p50 for other in made.alternatives)


def test_a_pick_is_planned_and_shown_first() -> None:
    base = plan()
    for number in range(1, len(base.alternatives) + 1):
        picked = build_plan(spec(), world(), now=NOW, pick=number)
        wanted = base.alternatives[number - 1]
        assert (picked.hours, picked.usd) == (wanted.hours, wanted.usd)
        assert picked.alternatives[0].fleet == wanted.fleet
        assert {row.fleet for row in picked.alternatives} == {row.fleet for row in base.alternatives}
    with pytest.raises(NoFleetError) as error:
        build_plan(spec(), world(), now=NOW, pick=99)
    assert f"1 to {len(base.alternatives)}" in error.value.nearest


def test_alternatives_name_the_clouds_and_less_risk() -> None:
    spot = plan(changed(RLCEF, steps=2000), fleet={"capacity": ["on_demand", "spot"]})
    assert spot.pools[0].capacity_type == "spot"
    assert len({row.cloud for row in spot.alternatives}) == 3
    calm = [row for row in spot.alternatives if row.interruptions < spot.alternatives[0].interruptions / 2]
    assert calm
    assert all(row.interruptions >= 0 for row in spot.alternatives)


# ---- limits


@pytest.mark.parametrize("stage", STAGES, ids=KINDS)
@pytest.mark.parametrize("objective", ["cost", "time"])
def test_hours_and_dollars_stay_within_their_limits(stage: dict[str, Any], objective: str) -> None:
    free = plan(stage, objective=objective)
    for row in free.alternatives:
        limits = {"usd": row.usd.p50 * 1.001, "hours": row.hours.p50 * 1.001}
        made = plan(stage, objective=objective, limits=limits)
        assert made.usd.p50 <= limits["usd"]
        assert made.hours.p50 <= limits["hours"]


@pytest.mark.parametrize("stage", STAGES, ids=KINDS)
def test_limits_that_nothing_keeps_are_refused_with_what_would_do(stage: dict[str, Any]) -> None:
    cheapest = min(row.usd.p50 for row in plan(stage).alternatives)
    with pytest.raises(NoFleetError) as error:
        plan(stage, limits={"usd": round(cheapest * 0.5, 2)})
    assert "$" in str(error.value)
    assert "cheapest" in error.value.nearest
    with pytest.raises(NoFleetError) as error:
        plan(stage, limits={"hours": 0.05})
    assert "0.05 hours" in str(error.value)
    assert "$" in error.value.nearest


def test_the_bill_of_an_api_counts_against_the_limit() -> None:
    tokens = sum(line.usd or 0.0 for line in plan(API_ROLLOUT).lines if line.unit == "million tokens")
    with pytest.raises(NoFleetError):
        plan(API_ROLLOUT, limits={"usd": tokens * 0.9})


def test_ten_year_runs_are_not_offered_unless_asked_for() -> None:
    long = changed(RLCEF, steps=200_000)
    with pytest.raises(NoFleetError) as error:
        plan(long, fleet={"nodes": 1})
    assert "720 hours (the default; limits.hours allows more)" in str(error.value)
    assert plan(long, fleet={"nodes": 1}, limits={"hours": 90_000.0}).hours.p50 > 720


@pytest.mark.parametrize("most", [8, 24, 100])
@pytest.mark.parametrize("field", ["limits.gpus", "fleet.max_gpus", "quota", "cloud quota"])
def test_gpus_stay_within_limits_and_quota(field: str, most: int) -> None:
    where: dict[str, dict[str, Any]] = {
        "limits.gpus": {"limits": {"gpus": most}},
        "fleet.max_gpus": {"fleet": {"max_gpus": most}},
        "quota": {"fleet": {"gpus": ["H100"], "quota": {"H100": most}}},
        "cloud quota": {"fleet": {"targets": ["aws"], "gpus": ["H100"], "quota": {"aws:H100": most}}},
    }
    fast = plan(RLCEF, SFT, objective="time", **where[field])
    for stage in fast.stages:
        assert 0 < num_gpus(fast, stage.name) <= most
    assert all(row.gpus <= most for row in fast.alternatives)


def test_a_quota_of_one_cloud_leaves_the_others() -> None:
    fleet = {"gpus": ["H100"], "quota": {"aws:H100": 0}}
    assert {pool.cloud for pool in plan(fleet=fleet).pools} == {"gcp"}


def test_a_quota_counts_by_any_name_of_a_gpu() -> None:
    with pytest.raises(NoFleetError) as error:
        plan(fleet={"gpus": ["H100"], "quota": {"h100-sxm": 4}})
    assert "a larger quota" in error.value.nearest


def test_dollars_per_hour_stay_within_their_limit() -> None:
    for limit in (20.0, 70.0, 200.0):
        fast = plan(RLCEF, SFT, objective="time", limits={"usd_per_hour": limit})
        assert fast.usd_per_hour <= limit
        for stage in fast.stages:
            burn = sum(pool.nodes * (pool.usd_per_node_hour or 0.0) for pool in fast.pools if pool.stage == stage.name)
            assert burn <= limit
    with pytest.raises(NoFleetError) as error:
        plan(RLCEF, API_ROLLOUT, fleet={"gpus": ["H200"]}, limits={"usd_per_hour": 10.0})
    least = 64.0 + 1.625
    assert "limits.usd_per_hour of $65.63" in error.value.nearest, "rounded up to cents"
    assert plan(RLCEF, API_ROLLOUT, fleet={"gpus": ["H200"]}, limits={"usd_per_hour": least}).usd_per_hour == least


# ---- the fleet that the spec allows


@pytest.mark.parametrize(("nodes", "fewest", "most"), [(3, 3, 3), ({"min": 2, "max": 5}, 2, 5), ({"max": 2}, 1, 2)])
def test_nodes_are_exact_or_in_range(nodes: object, fewest: int, most: int) -> None:
    for objective in ("cost", "time"):
        for pool in gpu_pools(plan(RLCEF, SFT, objective=objective, fleet={"nodes": nodes, "gpus": ["H100", "H200"]})):
            assert fewest <= pool.nodes <= most


@pytest.mark.parametrize(
    ("fleet", "field", "allowed"),
    [
        ({"targets": ["gcp"]}, "cloud", {"gcp"}),
        ({"regions": ["eu-*"]}, "region", {"eu-west-1"}),
        ({"regions": ["EASTUS", "us-central?"]}, "region", {"eastus", "us-central1"}),
        ({"gpus": ["H200"]}, "gpu", {"H200", None}),
        ({"gpus": ["nvidia h100 80gb hbm3"]}, "gpu", {"H100", None}),
        ({"capacity": ["spot"]}, "capacity_type", {"spot", "on_demand"}),
        (
            {"instance_types": ["p5*.48xlarge"]},
            "instance_type",
            {"p5.48xlarge", "p5en.48xlarge", "m7i.8xlarge", "c7i.24xlarge"},
        ),
        ({"exclude": ["p5*", "g6e*"]}, "cloud", {"gcp", "azure"}),
        ({"exclude": ["us-*"]}, "region", {"eu-west-1", "eastus"}),
    ],
    ids=lambda value: str(sorted(value, key=str) if isinstance(value, set) else value),
)
def test_only_what_the_fleet_allows_is_offered(fleet: dict[str, Any], field: str, allowed: set[str | None]) -> None:
    made = plan(RLCEF, fleet=fleet)
    assert {getattr(pool, field) for pool in made.pools} <= allowed
    if field in ("cloud", "region", "gpu"):
        assert {getattr(row, field) for row in made.alternatives} <= allowed
    if fleet.get("capacity"):
        assert {pool.capacity_type for pool in gpu_pools(made)} == {"spot"}
    assert made.rejections


def test_restricted_regions_are_used_only_where_they_are_named() -> None:
    import dataclasses

    import polars as pl

    moved = pl.col("region").replace("us-east-2", "us-gov-west-1")
    closed = dataclasses.replace(
        world(), gpu_offers=world().gpu_offers.with_columns(moved), cpu_offers=world().cpu_offers.with_columns(moved)
    )
    open_plan = build_plan(spec(fleet={"targets": ["aws"]}), closed, now=NOW)
    assert {pool.region for pool in open_plan.pools} == {"eu-west-1"}
    assert any(row.rule == "restricted region" for row in open_plan.rejections)
    named = build_plan(spec(fleet={"targets": ["aws"], "regions": ["us-gov-*"]}), closed, now=NOW)
    assert {pool.region for pool in named.pools} == {"us-gov-west-1"}


@pytest.mark.parametrize(
    ("fleet", "words"),
    [
        ({"gpus": ["B200"]}, "any GPU"),
        ({"targets": ["aws"], "regions": ["eastus"]}, "any region"),
        ({"instance_types": ["nothing-*"]}, "any instance type"),
        ({"exclude": ["*"]}, "any instance type"),
        ({"gpus": ["H100"], "capacity": ["reserved_3y"]}, "every capacity type"),
        ({"gpus": ["H100"], "quota": {"H100": 7}}, "a larger quota"),
        ({"max_gpus": 4, "gpus": ["H100"]}, "any number of nodes"),
        (
            {"targets": ["gcp"], "gpus": ["H200"]},
            "every cloud of the price book there is one: 1 × p5en.48xlarge in aws",
        ),
        (
            {"num_gpus": 12, "gpus": ["H200"]},
            "12 GPUs are no whole number of nodes of 8 GPUs; with any number of nodes",
        ),
    ],
    ids=str,
)
def test_the_nearest_feasible_fleet_is_named(fleet: dict[str, Any], words: str) -> None:
    with pytest.raises(NoFleetError) as error:
        plan(fleet=fleet)
    assert words in error.value.nearest
    assert " × " in error.value.nearest
    assert "$" in error.value.nearest


def test_a_model_too_large_for_the_fleet_says_so() -> None:
    large = changed(RLCEF, model="deepseek-ai/DeepSeek-V3")
    with pytest.raises(NoFleetError) as error:
        plan(large, limits={"gpus": 8})
    assert error.value.nearest
    with pytest.raises(NoFleetError) as error:
        plan(large, fleet={"gpus": ["L40S"], "max_gpus": 8, "quota": {"L40S": 8}})
    assert "any GPU in any region, in any number" in error.value.nearest


# ---- what can be had today, and for how much


def test_a_fleet_larger_than_is_sold_needs_a_quote_and_the_largest_today_is_named() -> None:
    long = changed(SFT, samples=400_000_000)
    fleet = {"targets": ["aws"], "gpus": ["H100"]}
    free = plan(long, fleet=fleet, limits={"hours": 2000.0})
    assert num_gpus(free, "sft") <= 512
    made = plan(long, fleet=fleet, limits={"hours": free.hours.p50 / 4.0})
    if num_gpus(made, "sft") > 512:
        assert any(text.startswith("needs a reservation or a quote") for text in made.warnings)
        assert "needs a quote" in made.alternatives[0].label
        assert any(row.label == "largest today" and row.gpus == 512 for row in made.alternatives)
    assert num_gpus(made, "sft") > num_gpus(free, "sft")
    granted = plan(long, fleet=fleet | {"quota": {"H100": 4096}}, limits={"hours": free.hours.p50 / 4.0})
    assert not any("quote" in text for text in granted.warnings)


def test_a_spot_price_at_the_floor_is_said_and_widens_the_band() -> None:
    import dataclasses

    import polars as pl

    tenth = (
        pl.when(pl.col("capacity_type") == "spot").then(pl.col("usd_per_hour") / 5).otherwise(pl.col("usd_per_hour"))
    )
    cheap = dataclasses.replace(world(), gpu_offers=world().gpu_offers.with_columns(usd_per_hour=tenth))
    fleet = {"targets": ["aws"], "gpus": ["H100"], "capacity": ["spot"]}
    usual, floor = plan(SFT, fleet=fleet), build_plan(spec(SFT, fleet=fleet), cheap, now=NOW)
    assert any("floor price" in text for text in floor.warnings)
    assert not any("floor price" in text for text in usual.warnings)
    assert floor.usd.p90 / floor.usd.p50 > 1.5 * usual.usd.p90 / usual.usd.p50


def test_the_fleets_of_several_stages_are_told_apart() -> None:
    made = plan(RLCEF, changed(SFT, samples=5_000_000), fleet={"targets": ["aws"], "gpus": ["H100"]})
    nodes = list(dict.fromkeys(f"{pool.nodes} × {pool.instance_type}" for pool in gpu_pools(made)))
    assert len(nodes) == 2
    assert made.alternatives[0].fleet.startswith(" → ".join(nodes))


# ---- where there is no capacity for the choice


@pytest.mark.parametrize("stages", [(RLCEF,), (RLCEF, API_ROLLOUT), (SFT, EVALUATE)])
def test_the_same_machines_elsewhere_are_kept_for_a_run_without_capacity(stages: tuple[dict[str, Any], ...]) -> None:
    made = plan(*stages, fleet={"targets": ["aws"], "gpus": ["H100"], "capacity": ["on_demand", "capacity_block"]})
    shown = len(made.alternatives)
    assert made.elsewhere
    assert [row.number for row in made.elsewhere] == list(range(shown + 1, shown + 1 + len(made.elsewhere)))
    machines = [(pool.stage, pool.role, pool.instance_type, pool.nodes) for pool in gpu_pools(made)]
    places = {(pool.region, pool.capacity_type) for pool in gpu_pools(made)}
    for row in made.elsewhere:
        pools = [pool for pool in row.pools if pool.gpu]
        assert [(pool.stage, pool.role, pool.instance_type, pool.nodes) for pool in pools] == machines
        assert {(row.region, row.capacity_type)} == {(pool.region, pool.capacity_type) for pool in pools}
        assert (row.region, row.capacity_type) not in places
        assert row.pools not in [other.pools for other in made.alternatives]
        places.add((row.region, row.capacity_type))


def test_a_run_turns_to_the_same_machines_bought_otherwise_in_its_region_within_what_was_agreed() -> None:
    made = plan(fleet={"targets": ["aws"], "gpus": ["H100"], "capacity": ["on_demand", "capacity_block"]})
    shown = [row.number for row in made.alternatives]
    region = made.pools[0].region
    assert {row.region for row in made.elsewhere} > {region}, "its cluster is in one region"
    (row,) = (row for row in made.elsewhere if row.region == region)
    assert row.usd.p50 > made.usd.p50
    enough = Decimal(str(row.usd.p90 + 1.0))
    assert next_alternative(made, refused=shown, limit_usd=enough) == row
    assert [pool for stage in made.stages for pool in pools_on(made, row.number, stage.name)] == list(row.pools)
    assert next_alternative(made, refused=[*shown, row.number], limit_usd=enough) is None
    assert next_alternative(made, refused=shown, limit_usd=Decimal(str(row.usd.p90 - 1.0))) is None


@pytest.mark.parametrize("stage", [API_ROLLOUT, SFT])
def test_no_machines_elsewhere_beyond_the_limits(stage: dict[str, Any]) -> None:
    free = plan(stage, fleet={"targets": ["aws"], "gpus": ["H100"]})
    capped = plan(stage, fleet={"targets": ["aws"], "gpus": ["H100"]}, limits={"usd": 1.01 * free.usd.p50})
    assert capped.elsewhere == ()


def test_an_exact_number_of_gpus_is_had_on_every_machine_that_divides_it() -> None:
    made = plan(SFT, fleet={"num_gpus": 24})
    assert {alternative.gpus for alternative in made.alternatives} == {24}
    with pytest.raises(NoFleetError) as caught:
        plan(SFT, fleet={"num_gpus": 23, "instance_types": ["p5.48xlarge"]})
    assert "23 × " in caught.value.nearest, "on machines of one GPU"


def test_what_blocks_a_spec_is_said_before_what_would_do() -> None:
    with pytest.raises(NoFleetError) as caught:
        plan(SFT, fleet={"targets": ["gcp"], "gpus": ["H200"]})
    assert caught.value.nearest.startswith("GPU: not among gpus H200; with every cloud of the price book there is one")


def test_limits_that_nothing_keeps_name_both_ends() -> None:
    with pytest.raises(NoFleetError) as caught:
        plan(limits={"usd": 1.0, "hours": 0.01})
    assert re.search(r"the cheapest is .*; the fastest is ", caught.value.nearest)


def test_a_limit_that_decides_beside_a_reservation_counts_dollars_beyond_it() -> None:
    reserved = {"cloud": "aws", "region": "us-east-2", "instance_type": "p5.48xlarge", "nodes": 1, "usd_per_hour": 20.0}
    prices = {"reservations": [reserved]}
    alone = plan(RLCEF, fleet={"targets": ["aws"], "gpus": ["H100"]}, prices=prices)
    fast = plan(
        RLCEF, fleet={"targets": ["aws"], "gpus": ["H100"]}, prices=prices, limits={"hours": 1.1 * alone.hours.p50}
    )
    assert any(text.endswith(" beyond your reservations") for text in fast.decided_by)


def test_two_pools_in_lockstep_take_turns_on_the_page() -> None:
    made = plan(changed(RLCEF, schedule="disaggregated"), fleet={"gpus": ["H100"], "nodes": 4})
    phases = made.stages[0].phases
    assert all(phase.exposed_seconds == phase.seconds for phase in phases)
    assert sum(phase.share for phase in phases) == pytest.approx(1.0, abs=0.05)
    train = next(phase for phase in phases if phase.name == "train")
    assert train.start_seconds >= next(phase.seconds for phase in phases if phase.name == "generate")


def test_api_calls_beside_generation_show_the_part_that_it_does_not_hide() -> None:
    slow = {"name": "acme-coder-1", "output_tokens_per_second": 1.0, "requests_in_flight": 256}
    made = plan(changed(RLCEF, judges=[{"api": slow}]), fleet={"gpus": ["H100"], "nodes": 1})
    phases = made.stages[0].phases
    api = next(phase for phase in phases if phase.pool == "api")
    generate = next(phase for phase in phases if phase.name == "generate")
    assert api.exposed_seconds == pytest.approx(api.seconds - generate.seconds)
    assert api.start_seconds == pytest.approx(0.0, abs=1e-9)


def test_pools_in_lockstep_run_what_the_hosts_have_no_memory_to_take_in_turn() -> None:
    nodes = {"gpu": "H100", "gpus_per_node": 8, "nodes": 4, "vcpus": 96, "memory_gib": 128, "usd_per_hour": 20.0}
    fleet = {"targets": ["local"], "machines": [nodes, {"vcpus": 64, "memory_gib": 256, "usd_per_hour": 1.0}]}
    stage = changed(RLCEF, model="Qwen/Qwen2.5-32B")
    assert plan(stage, fleet=fleet).stages[0].layout["schedule"] == "disaggregated"


def test_wide_replicas_of_a_model_that_fits_one_gpu_are_searched() -> None:
    few = changed(RLCEF, model="Qwen/Qwen2.5-14B", prompts_per_step=8, samples_per_prompt=4)
    quick = plan(few, fleet={"gpus": ["H200"], "nodes": 1}, objective="time")
    assert "TP 8" in str(quick.stages[0].layout["rollout"])


def test_a_cloud_without_cpu_machines_is_told_to_name_another_for_its_sandboxes() -> None:
    """RunPod and Together sell GPUs alone."""
    import dataclasses

    import polars as pl

    cpus = world().cpu_offers.filter(pl.col("cloud") != "gcp")
    with pytest.raises(NoFleetError) as caught:
        build_plan(spec(fleet={"targets": ["gcp"]}), dataclasses.replace(world(), cpu_offers=cpus), now=NOW)
    assert "with fleet.sandbox.targets of every cloud there is one" in caught.value.nearest
