"""Token prices by the names that people use."""

from __future__ import annotations

import pytest

from clusterctl.prices.book import load_book
from clusterctl.prices.tokens import find_token_price
from clusterctl.prices.volume import embedded_dir


@pytest.mark.parametrize(
    ("name", "model", "usd"),
    [
        ("claude-sonnet-4.5", "claude-sonnet-4.5", 3.0),
        ("anthropic/claude-sonnet-4-5-20250929", "claude-sonnet-4.5", 3.0),
        ("claude-haiku-4-5", "claude-4.5-haiku", 1.0),
        ("GPT-5-mini", "gpt-5-mini", 0.25),
        ("deepseek/deepseek-v4-flash", "deepseek-v4-flash", 0.14),
    ],
)
def test_tolerant_names(name: str, model: str, usd: float) -> None:
    found = find_token_price(load_book(embedded_dir()).token_prices(), name)
    assert found is not None
    assert (found.model, found.input_usd_per_million_tokens) == (model, usd)


@pytest.mark.parametrize("name", ["", "claude", "my-own-model", "gpt-5-mini-and-more", "///"])
def test_an_unknown_model_has_no_price(name: str) -> None:
    assert find_token_price(load_book(embedded_dir()).token_prices(), name) is None
