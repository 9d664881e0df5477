"""Google Cloud's catalog prices parts (a core, a GiB of memory, a GPU, local SSD): which part a SKU is, per hour.

Descriptions and units as the public catalog states them, cross-read with the mapping of
Cyclenerd/google-cloud-pricing-cost-calculator (build/mapping.csv).  A SKU that matches nothing here is not a part of
a machine that we know; a machine one of whose parts has no price gets no price.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from clusterctl.errors import PriceError
from clusterctl.prices.refresh.reading import field, usd
from planners.units import GB, GIB, HOURS_PER_MONTH

Part = Literal["core", "ram", "gpu", "ssd", "slice"]
"""ram and ssd: per GiB.  slice: a GPU with its share of cores and memory."""

FAMILIES = {
    "E2": "e2",
    "N2": "n2",
    "N2D AMD": "n2d",
    "N4": "n4",
    "T2D AMD": "t2d",
    "C2D AMD": "c2d",
    "C3": "c3",
    "C3D": "c3d",
    "C4": "c4",
    "G2": "g2",
    "A2": "a2",
    "A3": "a3",
    "A3Plus": "a3-mega",
    "A3Ultra": "a3-ultra",
}
"""Name in descriptions -> billing family."""
GPUS = {
    "Nvidia L4": "L4", "Nvidia Tesla A100": "A100-40", "Nvidia Tesla A100 80GB": "A100-80",
    "Nvidia H100 80GB": "H100", "Nvidia H100 80GB Mega": "H100 mega", "Nvidia H100 80GB Plus": "H100 mega",
    "H200 141GB": "H200",
}  # fmt: skip
CAPACITY_TYPES = {
    "OnDemand": "on_demand",
    "Preemptible": "spot",
    "Commit1Yr": "reserved_1y",
    "Commit3Yr": "reserved_3y",
}
_COMMIT = r"^Commitment v1: (?P<name>.+?)"
_TERM = r" for \d Years?$"
PATTERNS: tuple[tuple[Part | None, re.Pattern[str]], ...] = (
    (None, re.compile(r"^(?:Spot Preemptible )?(?P<name>.+?) Instance (?P<part>Core|Ram) running in ")),
    (None, re.compile(_COMMIT + r" (?P<part>Cpu|Ram) in .+" + _TERM)),
    ("slice", re.compile(r"^(?P<name>A4) Nvidia B200 \(1 gpu slice\)")),
    ("gpu", re.compile(r"^(?P<name>.+?)(?: GPU)? (?:running in|attached to Spot Preemptible VMs running in) ")),
    ("gpu", re.compile(_COMMIT + r"(?: GPU)?(?: running)? in .+" + _TERM)),
    ("ssd", re.compile(r"^SSD backed Local Storage(?P<name>)(?: attached to Spot Preemptible VMs)?(?: in .+)?$")),
    ("ssd", re.compile(r"^(?:Spot Preemptible )?(?P<name>C4) Instance Local SSD running in ")),
    ("ssd", re.compile(r"^Commitment v1: (?:(?P<name>C4) )?Local SSD [Ii]n .+" + _TERM)),
)
HOURS_PER_UNIT = {"h": 1.0, "GiBy.h": 1.0, "GBy.h": GIB / GB, "GiBy.mo": 1 / HOURS_PER_MONTH}
"""Unit -> what to multiply the price with for an hour of a core, a GPU or a GiB."""


class PartPrice(NamedTuple):
    """A part in some regions: dollars per hour of one core, GiB or GPU."""

    part: Part
    name: str
    """Family, GPU, or "" for the local SSD that most families share."""
    capacity_type: str
    regions: tuple[str, ...]
    usd_per_hour: float


def part_price(sku: object) -> PartPrice | None:
    """The part that a SKU of the catalog prices; None when it is none of ours.  Raises PriceError if malformed."""
    where = "gcp price page"
    description = field(sku, ["description"], str, where)
    named = _named(description)
    if named is None:
        return None
    part, name = named
    where = f"gcp SKU {field(sku, ['skuId'], str, where)}"
    capacity_type = CAPACITY_TYPES.get(field(sku, ["category", "usageType"], str, where))
    regions = field(sku, ["serviceRegions"], list, where)
    if capacity_type is None or not all(isinstance(region, str) for region in regions):
        return None
    expression = field(sku, ["pricingInfo", -1, "pricingExpression"], dict, where)
    unit = field(expression, ["usageUnit"], str, where)
    if unit not in HOURS_PER_UNIT:
        raise PriceError(f"{where}: priced per {unit}", hint="the price interface may have changed; the old book stays")
    rate = field(expression, ["tieredRates", 0, "unitPrice"], dict, where)
    if field(rate, ["currencyCode"], str, where) != "USD":
        return None
    whole = usd(rate.get("units", "0"), where)  # an absent units or nanos is 0 in this format
    nanos = usd(rate.get("nanos", 0), where)
    return PartPrice(part, name, capacity_type, tuple(regions), (whole + nanos / 1e9) * HOURS_PER_UNIT[unit])


def _named(description: str) -> tuple[Part, str] | None:
    """(part, family or GPU) of a description, by the first pattern that names something we know."""
    for part, pattern in PATTERNS:
        found = pattern.match(description)
        if found is None:
            continue
        name = found["name"] or ""
        if part is None and name in FAMILIES:
            return ("ram" if found["part"] == "Ram" else "core"), FAMILIES[name]
        if part == "gpu" and name in GPUS:
            return "gpu", GPUS[name]
        if part in {"ssd", "slice"}:
            return part, name.lower()
    return None
