"""Token prices by the names that people use; what the spec states wins."""

from __future__ import annotations

import pytest

from clusterctl.catalog.book_folder import embedded_dir
from clusterctl.catalog.price_book import load_book
from planners.plan.unit_prices import TOKEN_COLUMNS, TokenPrices
from planners.spec.models import ApiModel


@pytest.fixture(scope="module")
def prices() -> TokenPrices:
    return TokenPrices(load_book(embedded_dir()).token_prices())


@pytest.mark.parametrize(
    ("name", "usd"),
    [
        ("claude-sonnet-4.5", 3.0),
        ("anthropic/claude-sonnet-4-5-20250929", 3.0),
        ("claude-haiku-4-5", 1.0),
        ("GPT-5-mini", 0.25),
        ("deepseek/deepseek-v4-flash", 0.14),
    ],
)
def test_tolerant_names(prices: TokenPrices, name: str, usd: float) -> None:
    found = prices.find(ApiModel(name=name), "input tokens")
    assert found.usd == usd
    assert found.as_of is not None


@pytest.mark.parametrize("name", ["claude", "my-own-model", "gpt-5-mini-and-more", "///"])
def test_an_unknown_model_has_no_price(prices: TokenPrices, name: str) -> None:
    assert [prices.find(ApiModel(name=name), kind).usd for kind in TOKEN_COLUMNS] == [None, None, None]


def test_stated_prices_win_kind_by_kind(prices: TokenPrices) -> None:
    model = ApiModel(name="claude-sonnet-4.5", input_usd_per_million_tokens=2.0)
    stated, listed = prices.find(model, "input tokens"), prices.find(model, "output tokens")
    assert (stated.usd, stated.source, stated.as_of, stated.stated) == (2.0, "the run spec", None, True)
    assert (listed.usd, listed.stated) == (15.0, False)
    assert listed.as_of is not None, "a price of the book keeps its day beside one that the spec states"


def test_cached_input_without_a_price_is_billed_uncached(prices: TokenPrices) -> None:
    model = ApiModel(name="my-own-model", input_usd_per_million_tokens=2.0)
    assert prices.find(model, "cached input tokens").usd == 2.0
