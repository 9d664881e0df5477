"""Prices besides machines: where they are looked for, and that the real book has them all."""

from __future__ import annotations

import polars as pl
import pytest

from clusterctl.catalog.price_book import load_book
from planners.plan.unit_prices import ITEMS, SYSTEM_NODE_TYPES, ExtraPrices


@pytest.mark.parametrize("what", ITEMS)
@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_the_book_prices_everything_that_a_bill_lists_in_every_region(what: str, cloud: str) -> None:
    book = load_book(None)
    prices = ExtraPrices(book.extras_with_nodes(SYSTEM_NODE_TYPES.values()))
    for region in book.offers([cloud], kind="gpu")["region"].unique().to_list():
        price = prices.find(what, cloud, region)
        assert price.usd is not None, f"{what} in {cloud} {region}"
        assert price.usd > 0
        assert price.unit
        assert price.source


def test_the_region_wins_over_the_cloud_and_another_region_is_named() -> None:
    schema = {
        "cloud": pl.String,
        "region": pl.String,
        "item": pl.String,
        "unit": pl.String,
        "usd": pl.Float64,
        "as_of": pl.Date,
        "source": pl.String,
    }
    rows = [
        ("aws", region, "nat_gateway_data", "GB", usd, None, "list") for region, usd in (("us-east-1", 1.0), ("*", 2.0))
    ]
    both = ExtraPrices(pl.DataFrame(rows, schema=schema, orient="row"))
    assert both.find("NAT data", "aws", "us-east-1").usd == 1.0
    assert both.find("NAT data", "aws", "eu-west-1").usd == 2.0
    one = ExtraPrices(pl.DataFrame(rows[:1], schema=schema, orient="row")).find("NAT data", "aws", "eu-west-1")
    assert one.usd == 1.0
    assert "price of us-east-1; the book has none for eu-west-1" in one.source


def test_what_the_book_lacks_is_unknown() -> None:
    prices = ExtraPrices(load_book(None).extras())
    missing = prices.find("control plane", "slurm:big", "own")
    assert missing.usd is None
    assert missing.source == "not in the price book"


def test_a_cloud_without_extras_in_the_book_pays_what_the_dearest_asks() -> None:
    prices = ExtraPrices(load_book(None).extras())
    found, asked = (
        prices.find("internet egress", "lambda", "any"),
        [prices.find("internet egress", cloud, "*").usd or 0.0 for cloud in ("aws", "gcp", "azure")],
    )
    assert found.usd == max(asked)
    assert found.source == "the dearest of other clouds; the book has none for lambda"
