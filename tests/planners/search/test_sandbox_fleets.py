"""Sandbox machines: which, how many, where; what the stage and the pools that exist allow."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_world import EVALUATE, RLCEF, ROLLOUT, changed, cpu_offers, plan

from planners.plan.value import Plan, Pool
from planners.search.rejections import Rejections
from planners.search.sandbox_nodes import SandboxPlaces, place_sandboxes, sandbox_offers
from planners.search.selection import NoFleetError
from planners.spec.fleet import FleetSpec
from planners.spec.stage_options import SandboxSpec
from planners.workload.sandbox_work import sandbox_work

OWN_GPUS = {"gpu": "H100", "nodes": 4, "vcpus": 192, "memory_gib": 2048}
OWN_CPUS = {"name": "cpu", "nodes": 2, "vcpus": 16, "memory_gib": 64}


def offered(fleet: FleetSpec | None = None, **sandbox: object) -> tuple[pl.DataFrame, Rejections]:
    rejections = Rejections()
    work = sandbox_work(SandboxSpec.model_validate(sandbox), "judge", samples=100.0)
    return sandbox_offers(cpu_offers(), fleet or FleetSpec(), work, rejections), rejections


def sandbox_pool(a_plan: Plan, stage: int = 0) -> Pool:
    return next(pool for pool in a_plan.pools if pool.stage == a_plan.stages[stage].name and pool.role == "sandbox")


# ---- which machines


def test_only_x86_machines_of_the_allowed_capacity_that_hold_one_sandbox() -> None:
    frame, rejections = offered()
    assert set(frame["instance_type"]) == {"c7i.24xlarge", "m7i.8xlarge", "c3-standard-88", "D96s"}
    assert set(frame["capacity_type"]) == {"on_demand"}
    assert {row.rule for row in rejections.rejected} == {"sandbox capacity type", "sandbox architecture"}
    big, rejections = offered(cpus=64, memory_gib=128)
    assert "m7i.8xlarge" not in set(big["instance_type"])
    assert rejections.rejected[-1].rule == "sandbox size"
    assert "64 vCPU and 128 GiB" in rejections.rejected[-1].reason


def test_spot_machines_and_named_types_where_the_spec_says_so() -> None:
    frame, _ = offered(FleetSpec.model_validate({"sandbox": {"capacity": ["spot"]}}))
    assert frame.select("instance_type", "usd_per_hour").rows() == [("c7i.24xlarge", 1.5)]
    frame, _ = offered(FleetSpec.model_validate({"sandbox": {"instance_types": ["m7i.*"]}}))
    assert set(frame["instance_type"]) == {"m7i.8xlarge"}
    frame, _ = offered(FleetSpec.model_validate({"exclude": ["c7i.*", "eastus"]}))
    assert set(frame["instance_type"]) == {"m7i.8xlarge", "c3-standard-88"}


# ---- how many, and the cheapest


@given(
    offers=st.lists(
        st.tuples(
            st.sampled_from(["aws", "gcp"]),
            st.sampled_from(["a", "b"]),
            st.integers(1, 96),
            st.one_of(st.none(), st.floats(0.01, 20)),
            st.one_of(st.just(np.inf), st.integers(1, 20)),
        ),
        max_size=12,
    ),
    slot_counts=st.lists(st.integers(1, 5000), min_size=1, max_size=5),
)
def test_each_place_gets_its_cheapest_machines_as_brute_force_finds_them(
    offers: list[tuple[str, str, int, float | None, float]], slot_counts: list[int]
) -> None:
    names = ("cloud", "region", "slots", "usd_per_hour")
    kinds = {"cloud": pl.String, "region": pl.String, "slots": pl.Float64, "usd_per_hour": pl.Float64}
    frame = pl.DataFrame([row[:4] for row in offers], schema={name: kinds[name] for name in names}, orient="row")
    most = np.array([row[4] for row in offers], dtype=np.float64)
    placed = place_sandboxes(frame, np.array(slot_counts, dtype=np.float64), most)
    assert set(placed.places) == {row[:2] for row in offers}
    for place, index in placed.places.items():
        for number, slots_row in enumerate(slot_counts):
            costs = [
                (usd is None, nodes * (usd or 0.0))
                for cloud, region, slots, usd, limit in offers
                if (cloud, region) == place and (nodes := -(-slots_row // slots)) <= limit
            ]
            is_unpriced, usd = min(costs, default=(False, np.inf))  # a known price wins over an unknown one
            assert placed.usd_per_hour[index, number] == pytest.approx(usd)
            assert placed.unpriced[index, number] == is_unpriced or not costs
            if costs:
                chosen = offers[int(placed.offer[index, number])]
                assert chosen[:2] == place
                assert placed.nodes[index, number] == -(-slots_row // chosen[2]) <= chosen[4]


def test_the_cheapest_place_serves_most_wishes_first() -> None:
    usd = np.array([[1.0, np.inf], [5.0, 9.0], [4.0, 11.0]])
    places = SandboxPlaces(
        places={},
        offers=pl.DataFrame(),
        offer=np.zeros((3, 2), dtype=np.int64),
        nodes=usd,
        usd_per_hour=usd,
        unpriced=np.zeros((3, 2)),
    )
    assert places.cheapest == 1


# ---- what the stage allows


def test_serial_reward_code_runs_one_at_a_time_on_however_many_nodes() -> None:
    serial = plan(changed(RLCEF, sandbox={"seconds": {"mean": 3, "p95": 10}, "serial": True}))
    stage = serial.stages[0]
    judged = next(phase for phase in stage.phases if phase.name == "sandbox")
    assert judged.seconds >= 64 * 8 * 3.0, "512 runs of 3 s, one after the other"
    assert stage.idle is not None
    assert stage.idle.cure_nodes is None, "no number of nodes helps"
    assert any("serial reward code" in warning for warning in serial.warnings)
    assert sandbox_pool(serial).nodes == 1


def test_a_client_that_limits_its_sandboxes_is_not_sped_up_by_larger_nodes() -> None:
    limited = plan(changed(RLCEF, sandbox={"seconds": {"mean": 3, "p95": 10}, "concurrency": 10}))
    judged = next(phase for phase in limited.stages[0].phases if phase.name == "sandbox")
    generated = next(phase for phase in limited.stages[0].phases if phase.name == "generate")
    assert judged.seconds >= 512 * 3.0 / 10 - 0.8 * generated.seconds


# ---- pools that exist already


@pytest.mark.parametrize("stage", [RLCEF, ROLLOUT, EVALUATE], ids=lambda stage: stage["kind"])
def test_no_more_own_nodes_than_there_are(stage: dict[str, object]) -> None:
    local = plan(stage, fleet={"targets": ["local"], "machines": [OWN_GPUS, OWN_CPUS]})
    assert all(pool.nodes <= (4 if pool.gpu else 2) for pool in local.pools)
    assert {pool.cloud for pool in local.pools} == {"local"}
    assert local.at_least, "nobody stated what the machines cost"
    assert {row.usd for row in local.lines} == {None}


def test_gpus_without_machines_for_sandboxes_are_not_enough() -> None:
    with pytest.raises(NoFleetError) as error:
        plan(fleet={"targets": ["local"], "machines": [OWN_GPUS]})
    assert "every cloud" in error.value.nearest


@pytest.mark.parametrize(
    ("fleet", "gpus", "sandboxes"),
    [
        ({"targets": ["local"], "machines": [OWN_GPUS], "sandbox": {"targets": ["aws"]}}, "local", "aws"),
        ({"targets": ["aws"], "machines": [OWN_CPUS], "sandbox": {"targets": ["slurm:x"]}}, "aws", "slurm:x"),
        (
            {
                "targets": ["aws"],
                "sandbox": {"targets": ["kubernetes:ctx"]},
                "machines": [OWN_CPUS | {"target": "kubernetes:ctx"}],
            },
            "aws",
            "kubernetes:ctx",
        ),
    ],
)
def test_sandboxes_may_live_elsewhere(fleet: dict[str, object], gpus: str, sandboxes: str) -> None:
    split = plan(fleet=fleet)
    assert {(pool.role == "sandbox", pool.cloud) for pool in split.pools} == {(False, gpus), (True, sandboxes)}


def test_a_place_without_sandbox_machines_is_left_out() -> None:
    with pytest.raises(NoFleetError) as error:
        plan(fleet={"targets": ["azure"], "regions": ["westeurope"]})
    assert "eastus" in error.value.nearest
    assert plan(fleet={"targets": ["azure"]}).pools[0].region == "eastus"
