"""Finding the token price of a model behind an API by the name that a person uses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    import polars as pl


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """Dollars per million tokens; cached input None = the source names no such price."""

    provider: str
    model: str
    input_usd_per_million_tokens: float
    cached_input_usd_per_million_tokens: float | None
    output_usd_per_million_tokens: float
    as_of: date | None
    source: str
    quality: str


def find_token_price(tokens: pl.DataFrame, name: str) -> TokenPrice | None:
    """The price of the model that people call `name`; None when nothing, or more than one thing, is called so.

    `tokens` in TOKEN_SCHEMA.  Upper case, a provider before a slash, dots for dashes, the order of the words and a
    date at the end don't matter: `anthropic/claude-sonnet-4-5-20250929` is `claude-sonnet-4.5`.
    """
    wanted = _words(name)
    found = [row for row in tokens.drop("name").iter_rows(named=True) if _words(row["model"]) == wanted]
    return TokenPrice(**found[0]) if len(found) == 1 else None


def _words(name: str) -> list[str]:
    words = re.split(r"[-._: ]+", name.rpartition("/")[2].lower())
    return sorted(word for word in words if word and not re.fullmatch(r"20\d{6}", word))
