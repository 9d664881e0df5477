"""Prices besides machines: disks, object storage, control planes, NAT, egress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

ITEMS: dict[str, dict[str, str]] = {
    "disk": {
        "aws": "block_gp3_storage",
        "gcp": "block_pd_balanced",
        "azure": "block_premium_ssd_v2_storage",
    },
    "object storage": {
        "aws": "object_storage_standard_first_50tb",
        "gcp": "object_storage_standard",
        "azure": "object_storage_hot_lrs_first_50tb",
    },
    "control plane": {
        "aws": "k8s_control_plane_standard_support",
        "gcp": "k8s_control_plane",
        "azure": "k8s_control_plane_standard",
    },
    "NAT gateway": {"aws": "nat_gateway_hour", "gcp": "nat_gateway_hour_max_32plus_vms", "azure": "nat_gateway_hour"},
    "NAT data": {"aws": "nat_gateway_data", "gcp": "nat_gateway_data", "azure": "nat_gateway_data"},
    "internet egress": {
        "aws": "internet_egress_first_10tb",
        "gcp": "internet_egress_premium_worldwide_first_1tb",
        "azure": "internet_egress_100gb_to_10tb",
    },
}
"""What we buy → the item of the price book, by cloud."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraPrice:
    """A unit price with its provenance; `usd` None = not in the book."""

    usd: float | None
    unit: str
    as_of: date | None
    source: str


class ExtraPrices:
    """Look-up over the extras frame of the price book (columns cloud, region, item, unit, usd, as_of, source,
    verified)."""

    def __init__(self, extras: pl.DataFrame) -> None:
        self._rows = {
            (cloud, region, item): (usd, unit, as_of, source)
            for cloud, region, item, usd, unit, as_of, source in extras.select(
                "cloud", "region", "item", "usd", "unit", "as_of", "source"
            ).rows()
        }
        self._anywhere = {(cloud, item): region for cloud, region, item in sorted(self._rows, reverse=True)}

    def find(self, what: str, cloud: str, region: str) -> ExtraPrice:
        """The price of `what` (a key of ITEMS) in a region; else the cloud-wide one; else another region's, and its
        source says so."""
        item = ITEMS[what].get(cloud)
        if item is not None:
            for where in (region, "*", "us/eu"):
                if (cloud, where, item) in self._rows:
                    usd, unit, as_of, source = self._rows[cloud, where, item]
                    return ExtraPrice(usd=usd, unit=unit, as_of=as_of, source=source)
            elsewhere = self._anywhere.get((cloud, item))
            if elsewhere is not None:
                usd, unit, as_of, source = self._rows[cloud, elsewhere, item]
                note = f"price of {elsewhere}; the book has none for {region} ({source})"
                return ExtraPrice(usd=usd, unit=unit, as_of=as_of, source=note)
        return ExtraPrice(usd=None, unit="", as_of=None, source="not in the price book")
