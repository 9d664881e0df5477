"""Prices of tokens behind APIs: what the spec states wins, then the price book, else unknown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

    from planners.spec.models import ApiModel


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """Dollars per million tokens; None = unknown.  Cached input falls back to the uncached price, the safe side."""

    input: float | None
    cached_input: float | None
    output: float | None
    source: str
    as_of: date | None


class TokenPrices:
    """Look-up over the token prices of the price book (TOKEN_SCHEMA of the shell)."""

    def __init__(self, tokens: pl.DataFrame) -> None:
        columns = (
            "model",
            "input_usd_per_million_tokens",
            "cached_input_usd_per_million_tokens",
            "output_usd_per_million_tokens",
            "as_of",
            "source",
        )
        self._rows = {_words(row[0]): row[1:] for row in tokens.select(columns).rows()}

    def find(self, api: ApiModel) -> TokenPrice:
        """The prices of one API model, field by field from the spec or the book."""
        listed = self._rows.get(_words(api.name), (None, None, None, None, ""))
        stated = (
            api.input_usd_per_million_tokens,
            api.cached_input_usd_per_million_tokens,
            api.output_usd_per_million_tokens,
        )
        fresh, cached, output = (
            mine if mine is not None else theirs for mine, theirs in zip(stated, listed[:3], strict=True)
        )
        own = any(price is not None for price in stated)
        source = "the run spec" if own else listed[4] or "not in the price book; state it in the run spec"
        return TokenPrice(
            input=fresh,
            cached_input=fresh if cached is None else cached,
            output=output,
            source=source,
            as_of=None if own else listed[3],
        )


def _words(name: str) -> tuple[str, ...]:
    """Upper case, a provider before a slash, dots for dashes, the order of words and a date at the end don't matter:
    `anthropic/claude-sonnet-4-5-20250929` is `claude-sonnet-4.5`."""
    words = re.split(r"[-._: ]+", name.rpartition("/")[2].lower())
    return tuple(sorted(word for word in words if word and not re.fullmatch(r"20\d{6}", word)))
