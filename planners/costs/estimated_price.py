"""What a GPU-hour of a machine costs that no run has paid for: an own price, else a list price, else unknown.

The list price is the lower median over the on-demand offers that fit what is known of the machine: its type, else its
GPU in its region, else in its cloud, else anywhere.  The lower median is a price that somebody really asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase

import polars as pl

from planners.costs.machine_place import MachinePlace
from planners.domain import CapacityType


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMachinePrice:
    """What a person says of machines: a price, or where they are and how they are bought.  None = not said."""

    nodes: str = "*"
    """Pattern of their names (`*`, `?`)."""
    gpu: str | None = None
    usd_per_gpu_hour: Decimal | None = None
    usd_per_hour: Decimal | None = None
    """Of the whole machine."""
    cloud: str | None = None
    region: str | None = None
    instance_type: str | None = None
    capacity_type: str | None = None
    note: str | None = None

    def matches(self, node: str, gpu: str | None) -> bool:
        """Whether it is about this machine."""
        return fnmatchcase(node, self.nodes) and (self.gpu is None or self.gpu == gpu)


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedPrice:
    """Of one GPU for one hour."""

    usd_per_gpu_hour: Decimal | None
    """None = unknown."""
    source: str
    """How it came about, for people; of an unknown one, why it is."""
    cloud: str | None = None
    capacity_type: str | None = None
    own: bool = False
    """Whether a person stated it."""


def estimated_price(
    node: str,
    gpu: str | None,
    gpus: int | None,
    place: MachinePlace,
    *,
    own: Sequence[OwnMachinePrice],
    offers: pl.DataFrame,
) -> EstimatedPrice:
    """The price of a GPU-hour on a machine with `gpus` GPUs.

    gpu: its canonical name (`planners.domain.GpuSpec`), None where it is unknown.  own: the first that matches counts.
    offers: OFFER_COLUMNS of machines with GPUs.
    """
    said = next((one for one in own if one.matches(node, gpu)), OwnMachinePrice())
    whole = said.usd_per_hour / gpus if said.usd_per_hour is not None and gpus else None
    stated = said.usd_per_gpu_hour if said.usd_per_gpu_hour is not None else whole
    cloud = said.cloud or place.cloud
    if stated is not None:
        source = f"your price{f': {said.note}' if said.note else ''}"
        return EstimatedPrice(
            usd_per_gpu_hour=stated, source=source, cloud=cloud, capacity_type=said.capacity_type, own=True
        )
    if gpu is None:
        return EstimatedPrice(usd_per_gpu_hour=None, source="the GPU is not in the price book", cloud=cloud)
    capacity = said.capacity_type or CapacityType.ON_DEMAND.value
    fitting = offers.filter(
        pl.col("gpu") == gpu,
        pl.col("capacity_type") == capacity,
        pl.col("usd_per_hour").is_not_null(),
        pl.col("num_gpus") > 0,
    )
    wanted = {
        "instance_type": said.instance_type or place.instance_type,
        "region": said.region or place.region,
        "cloud": cloud,
    }
    chosen, words = _nearest(fitting, wanted)
    if chosen.is_empty():
        kind = capacity.replace("_", " ")
        return EstimatedPrice(usd_per_gpu_hour=None, source=f"no {kind} price of {gpu} is known{words}", cloud=cloud)
    prices = chosen.with_columns(price=pl.col("usd_per_hour") / pl.col("num_gpus"))
    alike = prices.filter(pl.col("num_gpus") == gpus)
    price, spread = _median(alike if alike.height else prices)
    known_by = f"; place by {place.known_by}" if place.known_by and cloud and said.cloud is None else ""
    where = words or " (cloud unknown)"
    source = f"{capacity.replace('_', ' ')} list price of {gpu}{where}{spread}{known_by}"
    return EstimatedPrice(usd_per_gpu_hour=price, source=source, cloud=cloud, capacity_type=capacity)


def _nearest(offers: pl.DataFrame, wanted: Mapping[str, str | None]) -> tuple[pl.DataFrame, str]:
    """The offers that fit all that is known, else less and less of it; what they have in common, in words."""
    if wanted["cloud"] is not None:
        offers = offers.filter(pl.col("cloud") == wanted["cloud"])
    asked = [name for name in ("instance_type", "region") if wanted[name] is not None]
    for names in (asked, asked[:1], asked[1:]):
        found = offers.filter(*(pl.col(name) == wanted[name] for name in names)) if names else offers
        if found.height:
            parts = [str(wanted[name]) for name in names] + ([wanted["cloud"]] if wanted["cloud"] else [])
            return found, f" ({', '.join(filter(None, parts))})" if parts else ""
    return offers, f" ({wanted['cloud']})" if wanted["cloud"] else ""


def _median(rows: pl.DataFrame) -> tuple[Decimal, str]:
    """The lower median of column `price`; in words, of how many offers, from what to what, and of which day."""
    low, high, middle, day = rows.select(
        low=pl.col("price").min(),
        high=pl.col("price").max(),
        middle=pl.col("price").quantile(0.5, "lower"),
        day=pl.col("as_of").max(),
    ).row(0)
    spread = "" if low == high else f", {rows.height:,} offers from ${low:,.2f} to ${high:,.2f}"
    return Decimal(repr(round(middle, 6))), f"{spread}, of {day}" if day else spread
