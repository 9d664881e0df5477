"""Prices besides machines: disks, object storage, control planes, NAT, egress.

Prices of tokens behind APIs: what the spec states wins, then the price book, else unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planners.spec.fleet import CLOUDS

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

    from planners.spec.models import ApiModel

_ITEMS = {
    "disk": ("block_gp3_storage", "block_pd_balanced", "block_premium_ssd_v2_storage"),
    "object storage": (
        "object_storage_standard_first_50tb", "object_storage_standard", "object_storage_hot_lrs_first_50tb",
    ),
    "control plane": ("k8s_control_plane_standard_support", "k8s_control_plane", "k8s_control_plane_standard"),
    "NAT gateway": ("nat_gateway_hour", "nat_gateway_hour_max_32plus_vms", "nat_gateway_hour"),
    "NAT data": ("nat_gateway_data", "nat_gateway_data", "nat_gateway_data"),
    "internet egress": (
        "internet_egress_first_10tb", "internet_egress_premium_worldwide_first_1tb", "internet_egress_100gb_to_10tb",
    ),
}  # fmt: skip
ITEMS = {what: dict(zip(CLOUDS, items, strict=True)) for what, items in _ITEMS.items()}
"""What we buy → the item of the price book, by cloud."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraPrice:
    """A unit price with its provenance; `usd` None = not in the book."""

    usd: float | None
    unit: str
    as_of: date | None
    source: str


class ExtraPrices:
    """Look-up over the extras frame of the price book (columns cloud, region, item, usd, unit, as_of, source)."""

    def __init__(self, extras: pl.DataFrame) -> None:
        columns = ("cloud", "region", "item", "usd", "unit", "as_of", "source")
        self._rows = {row[:3]: row[3:] for row in extras.select(columns).rows()}
        self._anywhere = {(cloud, item): region for cloud, region, item in sorted(self._rows, reverse=True)}

    def find(self, what: str, cloud: str, region: str) -> ExtraPrice:
        """The price of `what` in a region; else the cloud-wide one; else another's, as its source says."""
        item = ITEMS[what].get(cloud)
        if item is not None:
            for where in (region, "*", "us/eu", self._anywhere.get((cloud, item))):
                if (cloud, where, item) in self._rows:
                    usd, unit, as_of, source = self._rows[cloud, where, item]
                    here = where in (region, "*", "us/eu")
                    note = source if here else f"price of {where}; the book has none for {region} ({source})"
                    return ExtraPrice(usd=usd, unit=unit, as_of=as_of, source=note)
        return ExtraPrice(usd=None, unit="", as_of=None, source="not in the price book")


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
