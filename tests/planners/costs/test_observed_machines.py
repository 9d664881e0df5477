"""Machines that no run has paid for: where they are, what a GPU-hour of them costs, and parts that add up."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.costs.cost_tables import PARTS
from planners.costs.estimated_price import OwnMachinePrice, estimated_price
from planners.costs.machine_place import MachinePlace, place_of
from planners.costs.observed import NODE_PRICES, observed_parts, shares_of_split_gpus
from planners.costs.spend import by, spend

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("node", "labels", "cloud", "region"),
    [
        ("ip-10-0-1-2.us-west-2.compute.internal", {}, "aws", "us-west-2"),
        ("i-0123456789abcdef0.eu-central-1.compute.internal", {}, "aws", "eu-central-1"),
        ("ip-10-0-1-2.ec2.internal", {}, "aws", "us-east-1"),
        ("gke-lab-h100-pool-0a1b2c3d-x1y2", {}, "gcp", None),
        ("trainer-1.us-central1-a.c.my-project.internal", {}, "gcp", "us-central1"),
        ("aks-gpu-12345678-vmss00000a", {}, "azure", None),
        ("node-1", {"provider_id": "aws:///us-west-2b/i-0123456789abcdef0"}, "aws", "us-west-2"),
        ("node-1", {"provider_id": "gce://project/europe-west4-b/node-1"}, "gcp", "europe-west4"),
        (
            "node-1",
            {"provider_id": "azure:///subscriptions/x/vm", "topology_kubernetes_io_region": "westeurope"},
            "azure",
            "westeurope",
        ),
        ("gpu-aws-us-west-2-01", {}, None, None),
        ("node-1", {"provider_id": "openstack:///x"}, None, None),
    ],
)
def test_a_place_is_what_name_and_labels_say_and_no_more(
    node: str, labels: dict[str, str], cloud: str | None, region: str | None
) -> None:
    place = place_of(node, labels)
    assert (place.cloud, place.region) == (cloud, region)
    assert (place.known_by is None) == (cloud is None and region is None)


def offers(*rows: tuple[str, str, str, float | None, float]) -> pl.DataFrame:
    names = ("cloud", "region", "instance_type", "usd_per_hour", "num_gpus")
    frame = pl.DataFrame(list(rows), schema=names, orient="row")
    return frame.with_columns(gpu=pl.lit("H100"), capacity_type=pl.lit("on_demand"), as_of=pl.lit(date(2026, 7, 1)))


OFFERS = offers(
    ("aws", "us-east-1", "p5.48xlarge", 55.04, 8),
    ("aws", "us-west-2", "p5.48xlarge", 60.0, 8),
    ("aws", "us-west-2", "p5.4xlarge", 7.0, 1),
    ("gcp", "us-central1", "a3-high", 88.0, 8),
    ("gcp", "us-east5", "a3-high", None, 8),
)


def price_of(place: MachinePlace, *own: OwnMachinePrice, gpu: str | None = "H100", gpus: int = 8) -> Decimal | None:
    return estimated_price("node-1", gpu, gpus, place, own=own, offers=OFFERS).usd_per_gpu_hour


def test_the_price_is_of_the_nearest_offers_that_fit() -> None:
    assert price_of(MachinePlace(cloud="aws", region="us-west-2")) == Decimal("7.5")
    assert price_of(MachinePlace(cloud="aws", region="us-west-2"), gpus=1) == Decimal("7.0")
    assert price_of(MachinePlace(cloud="aws", region="us-west-2", instance_type="p5.4xlarge")) == Decimal("7.0")
    assert price_of(MachinePlace(cloud="aws", region="eu-west-1")) == Decimal("6.88"), "elsewhere in its cloud"
    assert price_of(MachinePlace()) == Decimal("7.5"), "the lower median of all"
    assert price_of(MachinePlace(cloud="azure")) is None, "its cloud has no price: another's is not its own"
    assert price_of(MachinePlace(), gpu=None) is None


def test_what_a_person_states_comes_first() -> None:
    place = MachinePlace(cloud="aws", region="us-east-1")
    assert price_of(place, OwnMachinePrice(nodes="node-*", usd_per_gpu_hour=Decimal("2.1"))) == Decimal("2.1")
    assert price_of(place, OwnMachinePrice(usd_per_hour=Decimal(32))) == Decimal(4)
    assert price_of(place, OwnMachinePrice(nodes="other", usd_per_hour=Decimal(32))) == Decimal("6.88")
    assert price_of(place, OwnMachinePrice(gpu="H200", usd_per_hour=Decimal(32))) == Decimal("6.88")
    assert price_of(place, OwnMachinePrice(cloud="gcp", region="us-central1")) == Decimal(11)
    assert price_of(place, OwnMachinePrice(capacity_type="spot")) is None


def node_price(node: str, usd: str | None) -> dict[str, Any]:
    price = None if usd is None else Decimal(usd)
    return {"node": node, "model": "H100", "gpus": 8, "usd_per_gpu_hour": price, "source": "list", "own": False}


def rows_of(*rows: tuple[str, str | None, str | None, float]) -> pl.DataFrame:
    frame = pl.DataFrame(list(rows), schema=["node", "run", "reason", "seconds"], orient="row")
    types = {"run": pl.String, "reason": pl.String, "seconds": pl.Float64}
    return frame.cast(types).with_columns(role=pl.lit(None, pl.String), at=pl.lit(T0))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from([None, "lab/x", "lab/y"]),
            st.sampled_from([None, "unknown", "no_process"]),
            st.floats(0, 1e6),
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 10**9),
)
def test_parts_are_all_the_measured_time_at_the_price_of_its_machine(
    rows: list[tuple[str, str | None, str | None, float]], micros: int
) -> None:
    price = Decimal(micros) / 10**6
    prices = pl.DataFrame([node_price("a", str(price)), node_price("b", None)], schema=NODE_PRICES)
    teams = pl.DataFrame({"run": ["lab/x"], "team": ["ml"]})
    parts = observed_parts(rows_of(*rows), prices, teams)
    assert parts.schema == PARTS
    hours = {node: sum(row[3] for row in rows if row[0] == node) / 3600 for node in ("a", "b")}
    assert parts["gpu_hours"].sum() == pytest.approx(sum(hours.values()))
    whole = spend(parts)
    assert float(whole.known_usd) == pytest.approx(hours["a"] * float(price), abs=1e-5)
    assert whole.unpriced == (("b",) if any(row[0] == "b" for row in rows) else ()), "unknown is not 0"
    assert set(parts.filter(pl.col("run") == "lab/x")["team"]) <= {"ml"}
    by_use = by(parts, "use")
    assert sum(by_use["known_usd"]) == whole.known_usd


def test_an_instance_of_a_split_gpu_is_its_share() -> None:
    rows = pl.DataFrame({"node": ["a"] * 3, "gpu": ["0:1", "0:2", "1"], "seconds": [3600.0] * 3})
    assert shares_of_split_gpus(rows)["seconds"].to_list() == [1800.0, 1800.0, 3600.0]


def test_time_that_nobody_measured_costs_nothing() -> None:
    prices = pl.DataFrame([node_price("a", "7")], schema=NODE_PRICES)
    none = pl.DataFrame(schema={"run": pl.String, "team": pl.String})
    parts = observed_parts(
        rows_of(("a", None, None, 10.0)).with_columns(at=pl.lit(T0 + timedelta(days=2))), prices, none
    )
    assert parts["gpu_hours"].to_list() == [10 / 3600]
