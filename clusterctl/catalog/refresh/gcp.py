"""Google Cloud Billing Catalog: SKU pages by nextPageToken, with an API key sent as a header.

The catalog prices parts (a core, a GiB of memory, a GPU, local SSD); a machine's price is the sum of its parts (quality
`component_sum`), and a machine one of whose parts has no price gets none.  `gcp.toml` has the words of the catalog.
"""

from __future__ import annotations

import re
import tomllib
from functools import partial
from pathlib import Path
from typing import NamedTuple

from clusterctl.catalog.refresh.reading import Asked, Reading, Row, field, linked, usd
from clusterctl.errors import PriceError
from planners.units import GB, GIB, HOURS_PER_MONTH

PATH = "/v1/services/6F81-5844-456A/skus"
PAGE_SIZE = 5000
MAX_PAGES = 1000
REGION = re.compile(r"^[a-z]+-[a-z]+\d+$")
SHARED_CORES = {"e2-micro": 0.25, "e2-small": 0.5, "e2-medium": 1.0}
"""Cores that are billed; the machine shows two vCPUs."""
OWN_FAMILY = {"a3-megagpu": "a3-mega", "a3-ultragpu": "a3-ultra"}
"""Start of the name -> billing family, where it isn't the first word of the name."""
OWN_GPU = {"a3-megagpu": "H100 mega"}
SLICED = {"a4"}
"""Families that are priced per GPU with its share of cores and memory; local SSD comes on top."""

WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
PATTERNS = tuple((each["part"], re.compile(each["description"])) for each in WORDS["patterns"])

Parts = dict[tuple[str, str, str, str], float]
"""(part, name, capacity type, region) -> dollars per hour."""


def read_gcp(asked: Asked) -> Reading:
    """On-demand, spot and committed prices.  Raises PriceError.  How many pages there are is not known before."""
    parts: Parts = {}
    for done, page in enumerate(linked(partial(_page, asked), "", most=MAX_PAGES, cloud="gcp"), start=1):
        for part in page:
            for region in filter(REGION.match, part.regions):
                key = (part.part, part.name, part.capacity_type, region)
                parts[key] = max(part.usd_per_hour, parts.get(key, 0.0))
        asked.advance(done, done + 1)
    wanted = sorted({region for *_, region in parts if asked.wants(region)})
    rows: list[Row] = [
        (region, shape["instance_type"], capacity_type, price)
        for shape in asked.shapes.iter_rows(named=True)
        for region in wanted
        for capacity_type in WORDS["capacity_types"].values()
        if (price := machine_usd(shape, capacity_type, region, parts)) is not None
    ]
    full_source = "Google Cloud Billing Catalog, service 6F81-5844-456A"
    return asked.reading(
        rows,
        "gcp-billing-catalog",
        full_source,
        authority=asked.by_type,
        quality="component_sum",
        notes=_notes(sorted(asked.known - {row[1] for row in rows})),
    )


def machine_usd(shape: dict[str, object], capacity_type: str, region: str, parts: Parts) -> float | None:
    """Dollars per hour of a machine: Σ amount × part price; None when a part that it needs has no price."""
    name = str(shape["instance_type"])
    series = name.rpartition("-")[0]
    family = next((own for start, own in OWN_FAMILY.items() if name.startswith(start)), name.split("-", maxsplit=1)[0])
    num_gpus, ssd_gib = (float(str(shape[column] or 0)) for column in ("num_gpus", "local_nvme_gib"))
    needed = [("slice", family, num_gpus)]
    if family not in SLICED:
        cores, gpu = SHARED_CORES.get(name, float(str(shape["vcpus"]))), OWN_GPU.get(series, str(shape["gpu"]))
        needed = [("core", family, cores), ("ram", family, float(str(shape["memory_gib"]))), ("gpu", gpu, num_gpus)]
    needed.append(("ssd", "c4" if family == "c4" else "", ssd_gib))
    total = 0.0
    for part, of, amount in needed:
        price = parts.get((part, of, capacity_type, region))
        if amount and not price:
            return None
        total += amount * (price or 0.0)
    return total


def _page(asked: Asked, token: str) -> tuple[list[PartPrice], str]:
    params = {"pageSize": str(PAGE_SIZE), "currencyCode": "USD"} | ({"pageToken": token} if token else {})
    parts, following = asked.page(asked.transport.url(PATH), params, parse)
    return [PartPrice(*part) for part in parts], following


def parse(page: object) -> tuple[list[PartPrice], str]:
    """The parts on one page and the token of the next ("" at the end).  Raises PriceError for a malformed page."""
    where = "gcp price page"
    token = field(page, ["nextPageToken"], str, where) if isinstance(page, dict) and "nextPageToken" in page else ""
    # The format leaves out what is empty: only a page that is not the last may lack skus.
    skus = [] if token and isinstance(page, dict) and "skus" not in page else field(page, ["skus"], list, where)
    prices = [price for sku in skus if (price := part_price(sku)) is not None]
    return prices, token


def _notes(without: list[str]) -> tuple[str, ...]:
    if not without:
        return ()
    shown = ", ".join(without[:6]) + (f" and {len(without) - 6} more" if len(without) > 6 else "")
    return (f"no complete price for {shown}: their old prices stay",)


HOURS_PER_UNIT = {"h": 1.0, "GiBy.h": 1.0, "GBy.h": GIB / GB, "GiBy.mo": 1 / HOURS_PER_MONTH}
"""Unit -> what to multiply the price with for an hour of a core, a GPU or a GiB."""


class PartPrice(NamedTuple):
    """A part in some regions: dollars per hour of one core, GiB or GPU."""

    part: str
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
    capacity_type = WORDS["capacity_types"].get(field(sku, ["category", "usageType"], str, where))
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


def _named(description: str) -> tuple[str, str] | None:
    """(part, family or GPU) of a description, by the first pattern that names something we know."""
    for part, pattern in PATTERNS:
        match = pattern.match(description)
        if match is None:
            continue
        name = match["name"] or ""
        if part == "machine" and name in WORDS["families"]:
            return ("ram" if match["part"] == "Ram" else "core"), WORDS["families"][name]
        if part == "gpu" and name in WORDS["gpus"]:
            return "gpu", WORDS["gpus"][name]
        if part in {"ssd", "slice"}:
            return part, name.lower()
    return None
