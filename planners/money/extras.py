"""Prices besides machines: disks, object storage, control planes, NAT, egress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planners.spec.fleet import CLOUDS

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

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
