"""The user's prices win over list prices."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.domain import OFFER_COLUMNS, CapacityType
from planners.search.own_prices import YOURS, apply_own_prices, reserved_nodes
from planners.spec.fleet import Discount, OwnPrices, Rate, Reservation

DAY = date(2026, 8, 1)
KINDS = dict.fromkeys(("usd_per_hour", "vcpus", "memory_gib", "num_gpus", "hbm_gib", "network_gbps"), pl.Float64)
SCHEMA = {name: pl.Date if name == "as_of" else KINDS.get(name, pl.String) for name in OFFER_COLUMNS} | {
    "local_nvme_gib": pl.Float64
}


def offer(
    region: str, instance_type: str, capacity: str, usd: float | None, zone: str | None = None
) -> tuple[object, ...]:
    gpu = "H100" if instance_type.startswith("p5") else None
    machine = (192.0, 2048.0, gpu, 8.0 if gpu else 0.0, 80.0 if gpu else None, 3200.0, "EFA", None, "x86_64")
    return ("aws", region, zone, instance_type, capacity, usd, DAY, "book", "list", *machine)


OFFERS = pl.DataFrame(
    [
        offer("us-east-1", "p5.48xlarge", "on_demand", 55.0),
        offer("us-east-1", "p5.48xlarge", "spot", 20.0, "use1-az1"),
        offer("us-west-2", "p5.48xlarge", "on_demand", 60.0),
        offer("us-east-1", "c7i.large", "on_demand", 0.1),
        offer("unknown", "p6.48xlarge", "on_demand", None),
    ],
    schema=SCHEMA,
    orient="row",
)


def usd(frame: pl.DataFrame, region: str, instance_type: str, capacity: str = "on_demand") -> list[float | None]:
    return frame.filter(region=region, instance_type=instance_type, capacity_type=capacity)["usd_per_hour"].to_list()


def test_nothing_stated_changes_nothing() -> None:
    assert apply_own_prices(OFFERS, OwnPrices()).equals(OFFERS)


def test_the_most_specific_discount_counts_and_they_never_add_up() -> None:
    own = OwnPrices(
        discounts=(
            Discount(cloud="aws", gpu="H100", percent=20.0),
            Discount(percent=10.0),
            Discount(cloud="aws", gpu="H100", region="us-west-2", percent=50.0),
        )
    )
    frame = apply_own_prices(OFFERS, own)
    assert usd(frame, "us-east-1", "c7i.large") == pytest.approx([0.09])
    assert usd(frame, "us-east-1", "p5.48xlarge") == pytest.approx([44.0])
    assert usd(frame, "us-west-2", "p5.48xlarge") == pytest.approx([30.0])
    assert usd(frame, "unknown", "p6.48xlarge") == [None], "a discount on an unknown price is unknown"
    marked = frame.filter(source=YOURS)
    assert marked.height == 4
    assert marked["quality"].unique().to_list() == [YOURS]
    assert marked["as_of"].unique().to_list() == [DAY]


def test_capacity_narrows_a_discount() -> None:
    own = OwnPrices(discounts=(Discount(cloud="aws", capacity=CapacityType.SPOT, percent=50.0),))
    frame = apply_own_prices(OFFERS, own)
    assert usd(frame, "us-east-1", "p5.48xlarge", "spot") == [10.0]
    assert usd(frame, "us-east-1", "p5.48xlarge") == [55.0]


def test_a_rate_replaces_the_list_price_undiscounted() -> None:
    own = OwnPrices(
        discounts=(Discount(cloud="aws", percent=10.0),),
        rates=(Rate(cloud="aws", instance_type="p5.48xlarge", region="us-east-1", usd_per_hour=31.0),),
    )
    frame = apply_own_prices(OFFERS, own)
    assert usd(frame, "us-east-1", "p5.48xlarge") == [31.0]
    assert usd(frame, "us-west-2", "p5.48xlarge") == [54.0]
    row = frame.filter(region="us-east-1", instance_type="p5.48xlarge", capacity_type="on_demand").row(0, named=True)
    assert (row["source"], row["quality"], row["as_of"], row["gpu"], row["num_gpus"]) == (
        YOURS,
        YOURS,
        None,
        "H100",
        8.0,
    )


def test_a_rate_without_region_holds_wherever_the_type_is() -> None:
    own = OwnPrices(
        rates=(Rate(cloud="aws", instance_type="p5.48xlarge", capacity=CapacityType.RESERVED_3Y, usd_per_hour=25.0),)
    )
    frame = apply_own_prices(OFFERS, own)
    assert usd(frame, "us-east-1", "p5.48xlarge", "reserved_3y") == [25.0]
    assert usd(frame, "us-west-2", "p5.48xlarge", "reserved_3y") == [25.0]
    assert frame.height == OFFERS.height + 2


def test_a_rate_for_spot_replaces_every_zone() -> None:
    own = OwnPrices(
        rates=(
            Rate(
                cloud="aws",
                instance_type="p5.48xlarge",
                region="us-east-1",
                capacity=CapacityType.SPOT,
                usd_per_hour=9.0,
            ),
        )
    )
    frame = apply_own_prices(OFFERS, own)
    assert usd(frame, "us-east-1", "p5.48xlarge", "spot") == [9.0]


def test_a_rate_answers_a_price_that_nobody_knew() -> None:
    own = OwnPrices(rates=(Rate(cloud="aws", instance_type="p6.48xlarge", region="us-east-2", usd_per_hour=90.0),))
    frame = apply_own_prices(OFFERS, own)
    assert usd(frame, "us-east-2", "p6.48xlarge") == [90.0]
    assert frame["usd_per_hour"].null_count() == 0


def test_reservations_are_offers_with_a_number_of_nodes() -> None:
    own = OwnPrices(
        reservations=(
            Reservation(cloud="aws", region="us-east-1", instance_type="p5.48xlarge", nodes=4, usd_per_hour=28.0),
            Reservation(cloud="aws", region="us-east-1", instance_type="p5.48xlarge", nodes=2, usd_per_hour=28.0),
            Reservation(cloud="aws", region="us-west-2", instance_type="p5.48xlarge", nodes=1),
        )
    )
    frame = apply_own_prices(OFFERS, own)
    assert usd(frame, "us-east-1", "p5.48xlarge", "reserved_1y") == [28.0]
    assert usd(frame, "us-west-2", "p5.48xlarge", "reserved_1y") == [None], "no price stated is unknown, not 0"
    assert list(reserved_nodes(own).values()) == [6, 1]
    assert reserved_nodes(OwnPrices()) == {}


def test_a_rate_of_an_unknown_machine_adds_no_offer() -> None:
    own = OwnPrices(rates=(Rate(cloud="aws", instance_type="p9.large", usd_per_hour=1.0),))
    assert apply_own_prices(OFFERS, own).height == OFFERS.height


@given(
    percents=st.lists(st.floats(min_value=0.1, max_value=99.9), max_size=4),
    gpus=st.lists(st.sampled_from(["H100", "B200", None]), min_size=4, max_size=4),
)
def test_discounts_lower_known_prices_and_lose_no_row(percents: list[float], gpus: list[str | None]) -> None:
    own = OwnPrices(
        discounts=tuple(Discount(gpu=gpu, percent=percent) for percent, gpu in zip(percents, gpus, strict=False))
    )
    frame = apply_own_prices(OFFERS, own)
    assert frame.drop("usd_per_hour", "source", "quality").equals(OFFERS.drop("usd_per_hour", "source", "quality"))
    both = frame.with_columns(before=OFFERS["usd_per_hour"])
    assert both.filter(pl.col("usd_per_hour") > pl.col("before")).is_empty()
    assert both.filter(
        (pl.col("source") == YOURS) != (pl.col("usd_per_hour") != pl.col("before")).fill_null(value=False)
    ).is_empty()
    assert both["usd_per_hour"].null_count() == OFFERS["usd_per_hour"].null_count()
