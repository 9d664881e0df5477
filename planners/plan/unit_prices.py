"""Prices besides machines: disks, object storage, control planes, NAT, egress.

Prices of tokens behind APIs: what the spec states wins, then the price book, else unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from planners.remembered import remembered
from planners.spec.fleet import CLOUDS, is_cloud
from planners.spec.models import ApiModel

if TYPE_CHECKING:
    import polars as pl

SYSTEM_NODE_TYPES = {"aws": "m6i.large", "gcp": "e2-standard-2", "azure": "Standard_D2s_v5"}
"""By cloud, the machine of a cluster that runs what no pool of the plan does: two vCPUs, 8 GiB; `infra` makes it."""
_ITEMS = {
    "disk": ("block_gp3_storage", "block_pd_balanced", "block_premium_ssd_v2_storage"),
    "object storage": (
        "object_storage_standard_first_50tb", "object_storage_standard", "object_storage_hot_lrs_first_50tb",
    ),
    "control plane": ("k8s_control_plane_standard_support", "k8s_control_plane", "k8s_control_plane_standard"),
    "system node": tuple(SYSTEM_NODE_TYPES.values()),
    "NAT gateway": ("nat_gateway_hour", "nat_gateway_hour_max_32plus_vms", "nat_gateway_hour"),
    "NAT data": ("nat_gateway_data", "nat_gateway_data", "nat_gateway_data"),
    "internet egress": (
        "internet_egress_first_10tb", "internet_egress_premium_worldwide_first_1tb", "internet_egress_100gb_to_10tb",
    ),
}  # fmt: skip
ITEMS = {what: dict(zip(CLOUDS, items, strict=True)) for what, items in _ITEMS.items()}
"""What we buy → the item of the price book, by cloud."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPrice:
    """Dollars per unit with where they are from; `usd` None = unknown."""

    usd: float | None
    unit: str
    source: str
    as_of: date | None
    stated: bool = False
    """Whether the spec states it: it has no age."""


class ExtraPrices:
    """Look-up over the extras frame of the price book (columns cloud, region, item, usd, unit, as_of, source)."""

    def __init__(self, extras: pl.DataFrame) -> None:
        columns = ("cloud", "region", "item", "usd", "unit", "as_of", "source")
        self._rows = {row[:3]: row[3:] for row in extras.select(columns).rows()}
        self._anywhere = {(cloud, item): region for cloud, region, item in sorted(self._rows, reverse=True)}

    def find(self, what: str, cloud: str, region: str) -> UnitPrice:
        """The price of `what` in a region; else the cloud-wide one; else another region's; of a cloud without extras in
        the book the dearest of other clouds.  The source says which."""
        item = ITEMS[what].get(cloud)
        if item is not None:
            for where in (region, "*", "us/eu", self._anywhere.get((cloud, item))):
                if (cloud, where, item) in self._rows:
                    usd, unit, as_of, source = self._rows[cloud, where, item]
                    here = where in (region, "*", "us/eu")
                    note = source if here else f"price of {where}; the book has none for {region} ({source})"
                    return UnitPrice(usd=usd, unit=unit, as_of=as_of, source=note)
        if item is None and is_cloud(cloud):
            known = [self.find(what, other, "*") for other in ITEMS[what]]
            dearest = max(known, key=lambda price: price.usd or 0.0)
            if dearest.usd is not None:
                return replace(dearest, source=f"the dearest of other clouds; the book has none for {cloud}")
        unit = "GiB-month" if what == "disk" else "unit"
        return UnitPrice(usd=None, unit=unit, as_of=None, source="not in the price book")


TOKEN_COLUMNS = {
    "input tokens": "input_usd_per_million_tokens",
    "cached input tokens": "cached_input_usd_per_million_tokens",
    "cache write tokens": "cache_write_usd_per_million_tokens",
    "output tokens": "output_usd_per_million_tokens",
}
"""What an API bills by → its price, both in a spec and in the price book."""
_BATCH_COLUMNS = {
    "input tokens": "batch_input_usd_per_million_tokens",
    "output tokens": "batch_output_usd_per_million_tokens",
}
API_UNIT = "million tokens"


class TokenPrices:
    """Look-up over the token prices of the price book (TOKEN_SCHEMA of the shell)."""

    def __init__(self, tokens: pl.DataFrame) -> None:
        prices = (*TOKEN_COLUMNS.values(), *_BATCH_COLUMNS.values())
        columns = ("model", "from_input_tokens", "as_of", "source", *prices)
        self._rows: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        rows = tokens.select(columns).rows(named=True)
        for row in sorted(rows, key=lambda row: (row["from_input_tokens"], -len(row["model"]))):
            # of names that mean the same the one without a date wins: it comes last
            self._rows.setdefault(_words(row["model"]), []).append(row)

    def find(self, api: ApiModel, kind: str, *, request_tokens: float = 0.0) -> UnitPrice:
        """Dollars per million tokens of a kind (a key of TOKEN_COLUMNS): the spec's, else the book's, else unknown.

        request_tokens: input of a mean request; some models cost more from a size on.
        """
        stated = getattr(api, TOKEN_COLUMNS[kind])
        if stated is not None:
            return UnitPrice(usd=stated, unit=API_UNIT, source="the run spec", as_of=None, stated=True)
        column = (_BATCH_COLUMNS if api.batch else TOKEN_COLUMNS).get(kind, "")
        rows = [row for row in self._rows.get(_words(api.name), []) if row["from_input_tokens"] <= request_tokens]
        if rows and rows[-1].get(column) is not None:
            return UnitPrice(usd=rows[-1][column], unit=API_UNIT, source=rows[-1]["source"], as_of=rows[-1]["as_of"])
        source = f"not in the price book{self._nearest(api.name)}; state it in the run spec"
        return UnitPrice(usd=None, unit=API_UNIT, source=source, as_of=None)

    def _nearest(self, name: str) -> str:
        """`, which has claude-sonnet-4-5`: a model of the book whose name is nearly this one; empty for one it has."""
        if _words(name) in self._rows:
            return ""
        import difflib  # only for unknown names

        names = {" ".join(words): rows[-1]["model"] for words, rows in self._rows.items()}
        close = difflib.get_close_matches(" ".join(_words(name)), names, n=1, cutoff=0.8)
        return f", which has {names[close[0]]}" if close else ""


extra_prices = remembered(4)(ExtraPrices)
api_prices = remembered(4)(TokenPrices)
"""The look-ups over frames, made once for the plans of a command."""


@lru_cache(maxsize=4096)
def _words(name: str) -> tuple[str, ...]:
    """Upper case, a provider before a slash, dots for dashes, a date at the end and the order of words don't matter,
    but for the numbers: `anthropic/claude-4.5-sonnet-20250929` is `claude-sonnet-4-5`, gpt-4.5 isn't gpt-5.4."""
    words = [word for word in re.split(r"[-._: ]+", name.rpartition("/")[2].lower()) if word]
    words = [word for word in words if not re.fullmatch(r"20\d{6}", word)]
    numbers = [word for word in words if word.isdigit()]
    return (*sorted(word for word in words if not word.isdigit()), *numbers)
