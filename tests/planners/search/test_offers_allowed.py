"""Which offers may be used: patterns, own machines, reservations, the cheapest zone."""

from __future__ import annotations

import fnmatch

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_world import gpu_offers as book
from tiny_world import world

from planners.domain import OFFER_COLUMNS
from planners.search.machines import MAX_NODES, machines_of
from planners.search.offers import cheapest_zone, gpu_offers, matches, owned_nodes, owned_offers
from planners.search.own_prices import YOURS
from planners.search.rejections import Rejections
from planners.spec.fleet import FleetSpec

ALL = tuple(world().gpus)


def allowed(offers: pl.DataFrame | None = None, **fleet: object) -> tuple[pl.DataFrame, Rejections]:
    rejections = Rejections()
    spec = FleetSpec.model_validate(fleet)
    return gpu_offers(book() if offers is None else offers, spec, spec.gpus or ALL, rejections), rejections


@given(
    words=st.lists(st.text("abcAB1.-_+(|[$", max_size=8), max_size=6),
    patterns=st.lists(st.text("abAB1.-+(|$*?", min_size=1, max_size=5), min_size=1, max_size=3),
)
def test_patterns_are_those_of_a_shell(words: list[str], patterns: list[str]) -> None:
    frame = pl.DataFrame({"region": words}, schema={"region": pl.String})
    found = frame.select(matches("region", patterns)).to_series().to_list()
    assert found == [any(fnmatch.fnmatchcase(word.lower(), p.lower()) for p in patterns) for word in words]


def test_everything_is_kept_or_rejected_by_a_rule() -> None:
    kept, rejections = allowed(targets=["aws"], capacity=["on_demand", "spot"], exclude=["g6e*"])
    counted = {row.rule: row.count for row in rejections.rejected}
    assert counted == {"cloud": 4, "capacity type": 1, "excluded": 1, "unknown price": 1}
    zones = 1  # two zones sell the same spot machine
    assert kept.height + sum(counted.values()) + zones == book().height
    spot = kept.filter(capacity_type="spot")
    assert spot["usd_per_hour"].to_list() == [24.0]
    assert spot["zone"].to_list() == ["use2-az2"]


@given(prices=st.lists(st.one_of(st.none(), st.floats(0.1, 10)), min_size=1, max_size=6))
def test_the_cheapest_zone_is_kept_and_unknown_prices_come_last(prices: list[float | None]) -> None:
    frame = pl.DataFrame(
        {
            "cloud": ["aws"] * len(prices),
            "region": "r",
            "instance_type": "t",
            "capacity_type": "spot",
            "usd_per_hour": prices,
        },
        schema_overrides={"usd_per_hour": pl.Float64},
    )
    known = [price for price in prices if price is not None]
    assert cheapest_zone(frame)["usd_per_hour"].to_list() == [min(known, default=None)]


def test_parts_of_gpus_are_not_whole_ones() -> None:
    half = book().head(1).with_columns(num_gpus=pl.lit(0.5))
    kept, rejections = allowed(half)
    assert kept.is_empty()
    assert [row.rule for row in rejections.rejected] == ["shared GPU"]


def test_own_machines_stand_beside_the_clouds() -> None:
    fleet = FleetSpec.model_validate(
        {
            "targets": ["local", "slurm:big", "aws"],
            "machines": [
                {
                    "gpu": "H100",
                    "nodes": 3,
                    "vcpus": 192,
                    "memory_gib": 2048,
                    "usd_per_hour": 20.0,
                    "target": "slurm:big",
                    "name": "hopper",
                },
                {"gpu": "L40S", "nodes": 1, "gpus_per_node": 2, "vcpus": 32, "memory_gib": 128},
                {"nodes": 5, "vcpus": 32, "memory_gib": 128},
            ],
        }
    )
    gpus = owned_offers(fleet.machines, fleet.targets, with_gpus=True)
    assert tuple(gpus.columns) == OFFER_COLUMNS
    assert gpus.select("cloud", "instance_type", "usd_per_hour", "num_gpus").rows() == [
        ("slurm:big", "hopper", 20.0, 8.0),
        ("local", "L40S-nodes-2", None, 2.0),
        ("slurm:big", "L40S-nodes-2", None, 2.0),
    ]
    cpus = owned_offers(fleet.machines, fleet.targets, with_gpus=False)
    assert cpus["cloud"].to_list() == ["local", "slurm:big"]
    assert owned_nodes(fleet.machines, fleet.targets, with_gpus=True) == {
        ("slurm:big", "hopper"): 3,
        ("local", "L40S-nodes-2"): 1,
        ("slurm:big", "L40S-nodes-2"): 1,
    }
    kept, _ = allowed(pl.concat([book(), gpus]), targets=list(fleet.targets), regions=["eu-*"], machines=fleet.machines)
    assert set(kept["cloud"]) == {"aws", "local", "slurm:big"}, "own machines pass the region rule and need no price"


def test_machines_that_look_alike_are_one() -> None:
    offers = allowed(capacity=["on_demand", "spot"])[0]
    joined, machines = machines_of(offers.with_columns(pl.lit(2.0).alias(MAX_NODES)), world().gpus)
    assert {machine.max_nodes for machine in machines} == {2.0}
    assert joined.height == 9
    assert len(machines) == 5
    for row in joined.iter_rows(named=True):
        machine = machines[row["machine"]]
        assert machine.gpu.name == row["gpu"]
        assert (machine.gpus_per_node, machine.network_gbps) == (row["num_gpus"], row["network_gbps"])
    p5 = joined.filter(instance_type="p5.48xlarge")["machine"].unique()
    assert len(p5) == 1, "regions and capacity types do not change the physics"


@pytest.mark.parametrize("capacity", ["on_demand", "spot"])
def test_reserved_machines_may_be_used_without_naming_their_capacity(capacity: str) -> None:
    mine = book().head(1).with_columns(capacity_type=pl.lit("reserved_1y"), quality=pl.lit(YOURS))
    listed = mine.with_columns(quality=pl.lit("list"), region=pl.lit("eu-west-1"))
    kept, _ = allowed(pl.concat([mine, listed]), capacity=[capacity])
    assert kept["region"].to_list() == ["us-east-2"]
