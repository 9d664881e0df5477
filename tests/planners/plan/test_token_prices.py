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
        ("claude-4.5-sonnet", 3.0),
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
    assert [prices.find(ApiModel(name=name), kind).usd for kind in TOKEN_COLUMNS] == [None] * 4


def test_stated_prices_win_kind_by_kind(prices: TokenPrices) -> None:
    model = ApiModel(name="claude-sonnet-4.5", input_usd_per_million_tokens=2.0)
    stated, listed = prices.find(model, "input tokens"), prices.find(model, "output tokens")
    assert (stated.usd, stated.source, stated.as_of, stated.stated) == (2.0, "the run spec", None, True)
    assert (listed.usd, listed.stated) == (15.0, False)
    assert listed.as_of is not None, "a price of the book keeps its day beside one that the spec states"


def test_a_price_that_nobody_states_is_unknown_not_that_of_plain_input(prices: TokenPrices) -> None:
    model = ApiModel(name="my-own-model", input_usd_per_million_tokens=2.0)
    assert prices.find(model, "cached input tokens").usd is None
    assert prices.find(ApiModel(name="qwen-max"), "cached input tokens").usd is None


@pytest.mark.parametrize(
    ("name", "kind", "usd"),
    [
        ("claude-sonnet-4-5", "cached input tokens", 0.3),  # 0.1 x input
        ("claude-sonnet-4-5", "cache write tokens", 3.75),  # 1.25 x input
        ("gpt-5-mini", "cached input tokens", 0.025),
        ("gpt-5-mini", "cache write tokens", None),  # written at no charge of its own
        ("gpt-4.5", "input tokens", 75.0),  # no gpt-5.4: numbers keep their order
    ],
)
def test_each_kind_of_token_has_its_own_price(prices: TokenPrices, name: str, kind: str, usd: float | None) -> None:
    assert prices.find(ApiModel(name=name), kind).usd == usd


def test_long_requests_cost_what_their_size_costs(prices: TokenPrices) -> None:
    model = ApiModel(name="gemini-2.5-pro")
    assert prices.find(model, "input tokens", request_tokens=100_000).usd == 1.25
    assert prices.find(model, "input tokens", request_tokens=300_000).usd == 2.5


def test_batches_have_prices_of_their_own(prices: TokenPrices) -> None:
    model = ApiModel(name="gemini-3.1-pro-preview", batch=True)
    usd = [prices.find(model, kind).usd for kind in ("input tokens", "output tokens", "cached input tokens")]
    assert usd == [1.0, 6.0, None]
    assert prices.find(ApiModel(name="claude-sonnet-4-5", batch=True), "input tokens").usd is None, "nobody states it"
