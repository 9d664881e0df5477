"""Each integrity rule notices the row that breaks it, and only that."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from clusterctl.catalog.check_book import check_book
from clusterctl.catalog.price_files import (
    EXTRA_SCHEMA,
    PRICE_SCHEMA,
    SHAPE_SCHEMA,
    SOURCE_SCHEMA,
    TOKEN_SCHEMA,
    BookFrames,
)

TODAY = date(2026, 11, 23)
DAY = date(2026, 11, 1)


def prices(*rows: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(PRICE_SCHEMA), orient="row")


def sound() -> BookFrames:
    shape = (
        "aws",
        "p5.48xlarge",
        192.0,
        2048.0,
        "H100-SXM-80GB",
        "H100",
        8.0,
        80.0,
        3200.0,
        "EFA x32",
        None,
        "x86_64",
        "s",
    )
    cpu = ("aws", "c7i.large", 2.0, 4.0, None, None, 0.0, None, None, "ENA", None, "x86_64", "s")
    return BookFrames(
        prices=prices(
            ("aws", "us-east-1", None, "p5.48xlarge", "on_demand", 55.0, DAY, "s", "list"),
            ("aws", "us-east-1", "use1-az1", "p5.48xlarge", "spot", 20.0, DAY, "s", "list"),
            ("aws", "us-east-1", None, "p5.48xlarge", "reserved_1y", 30.0, DAY, "s", "list"),
            ("aws", "us-east-1", None, "c7i.large", "on_demand", 0.1, DAY, "s", "list"),
        ),
        history=prices(),
        shapes=pl.DataFrame([shape, cpu], schema=dict(SHAPE_SCHEMA), orient="row"),
        tokens=pl.DataFrame(
            [
                ("lab", "m", "M", 0.0, 3.0, 0.3, 3.75, 15.0, 1.5, 7.5, DAY, "s", "list"),
                ("lab", "m", "M", 2e5, 6.0, 0.6, None, 22.5, None, None, DAY, "s", "list"),
                ("lab", "n", "N", 0.0, 3.0, None, None, 15.0, None, None, DAY, "s", "list"),
            ],
            schema=dict(TOKEN_SCHEMA),
            orient="row",
        ),
        extras=pl.DataFrame(schema=dict(EXTRA_SCHEMA)),
        sources=pl.DataFrame([("s", "somewhere", DAY, DAY, "none")], schema=dict(SOURCE_SCHEMA), orient="row"),
        infrastructure=prices(("aws", "us-east-1", None, "t3.medium", "on_demand", 0.0416, DAY, "s", "list")),
        infrastructure_shapes=pl.DataFrame(
            [("aws", "t3.medium", None, None, None, None, 0.0, None, None, "ENA", None, "x86_64", "s")],
            schema=dict(SHAPE_SCHEMA),
            orient="row",
        ),
    )


def answers(frames: BookFrames) -> dict[str, str]:
    found = check_book(frames, known_gpus={"H100"}, today=TODAY)
    return {finding.rule: finding.level for finding in found if finding.level != "ok"}


def test_a_sound_book_has_nothing_to_say() -> None:
    assert answers(sound()) == {}


@pytest.mark.parametrize(
    ("rule", "row"),
    [
        ("price > 0", ("aws", "us-east-2", None, "c7i.large", "on_demand", 0.0, DAY, "s", "list")),
        ("price > 0", ("aws", "us-east-2", None, "c7i.large", "on_demand", -1.0, DAY, "s", "list")),
        ("price > 0", ("aws", "us-east-2", None, "c7i.large", "on_demand", math.nan, DAY, "s", "list")),
        ("price > 0", ("aws", "us-east-2", None, "c7i.large", "on_demand", math.inf, DAY, "s", "list")),
        ("price > 0", ("aws", "us-east-2", None, "c7i.large", "on_demand", None, DAY, "s", "list")),
        ("no duplicate price", ("aws", "us-east-1", None, "c7i.large", "on_demand", 0.2, DAY, "s", "list")),
        ("capacity type known", ("aws", "us-east-2", None, "c7i.large", "preemptible", 0.2, DAY, "s", "list")),
        ("zone only for spot", ("aws", "us-east-2", "use2-az1", "c7i.large", "on_demand", 0.2, DAY, "s", "list")),
        ("region well formed", ("aws", "US East", None, "c7i.large", "on_demand", 0.2, DAY, "s", "list")),
        ("region well formed", ("ibm", "US East", None, "c7i.large", "on_demand", 0.2, DAY, "s", "list")),
        (
            "day not in the future",
            ("aws", "us-east-2", None, "c7i.large", "on_demand", 0.2, date(2027, 1, 1), "s", "list"),
        ),
        ("source listed", ("aws", "us-east-2", None, "c7i.large", "on_demand", 0.2, DAY, "hearsay", "list")),
        ("instance type has a shape", ("aws", "us-east-2", None, "z9.large", "on_demand", 0.2, DAY, "s", "list")),
        ("spot ≤ on-demand", ("aws", "us-east-1", "use1-az2", "p5.48xlarge", "spot", 56.0, DAY, "s", "list")),
        ("reserved ≤ on-demand", ("aws", "us-east-1", None, "p5.48xlarge", "reserved_3y", 56.0, DAY, "s", "list")),
    ],
)
def test_a_bad_price_breaks_its_rule(rule: str, row: tuple[object, ...]) -> None:
    frames = sound()
    broken = answers(replace(frames, prices=pl.concat([frames.prices, prices(row)])))
    assert broken.get(rule) == "broken"


@pytest.mark.parametrize(
    ("rule", "column", "value"),
    [
        ("GPU fields all or none", "hbm_gib", None),
        ("GPU fields all or none", "num_gpus", 0.0),
        ("GPU fields all or none", "num_gpus", None),
        ("GPU fields all or none", "gpu", None),
        ("every GPU known", "gpu", "H1000"),
        ("vCPUs and memory > 0", "vcpus", 0.0),
        ("vCPUs and memory > 0", "memory_gib", None),
    ],
)
def test_a_bad_shape_breaks_its_rule(rule: str, column: str, value: object) -> None:
    frames = sound()
    first = pl.col("instance_type") == "p5.48xlarge"
    changed = pl.when(first).then(pl.lit(value, SHAPE_SCHEMA[column])).otherwise(pl.col(column)).alias(column)
    assert answers(replace(frames, shapes=frames.shapes.with_columns(changed))).get(rule) == "broken"


@pytest.mark.parametrize(
    ("rule", "row"),
    [
        (
            "token prices > 0, cached ≤ uncached",
            ("lab", "o", "O", 0.0, 0.0, None, None, 15.0, None, None, DAY, "s", "list"),
        ),
        (
            "token prices > 0, cached ≤ uncached",
            ("lab", "o", "O", 0.0, 3.0, 4.0, None, 15.0, None, None, DAY, "s", "list"),
        ),
        (
            "token prices > 0, cached ≤ uncached",
            ("lab", "o", "O", 0.0, 3.0, None, None, None, None, None, DAY, "s", "list"),
        ),
        ("no duplicate token price", ("lab", "m", "M", 0.0, 3.0, None, None, 15.0, None, None, DAY, "s", "list")),
    ],
)
def test_a_bad_token_price_breaks_its_rule(rule: str, row: tuple[object, ...]) -> None:
    frames = sound()
    more = pl.DataFrame([row], schema=dict(TOKEN_SCHEMA), orient="row")
    assert answers(replace(frames, tokens=pl.concat([frames.tokens, more]))) == {rule: "broken"}


def test_notes_are_no_faults() -> None:
    frames = sound()
    old = prices(
        ("aws", "us-east-1", "use1-az3", "p5.48xlarge", "spot", 55.0, date(2025, 1, 1), "s", "list"),
        ("aws", "us-east-1", "use1-az4", "p5.48xlarge", "spot", 1.0, None, "s", "list"),
        ("aws", "us-west-2", "usw2-az4", "p5.48xlarge", "spot", 9.0, DAY, "s", "list"),
    )
    found = answers(replace(frames, prices=pl.concat([frames.prices, old])))
    assert set(found.values()) == {"note"}
    assert set(found) == {
        "spot at the on-demand price",
        "spot far under on-demand (below 12%)",
        "spot or reserved without an on-demand price beside it",
        "older than 180 days",
        "day unknown",
    }


def test_a_machine_is_for_fleets_or_for_infrastructure_only() -> None:
    frames = sound()
    both = pl.concat([frames.shapes, frames.infrastructure_shapes])
    assert answers(replace(frames, shapes=both)).get("planned with, or for infrastructure only") == "broken"
    alone = replace(frames, infrastructure_shapes=frames.infrastructure_shapes.clear())
    assert answers(alone).get("instance type has a shape") == "broken"
