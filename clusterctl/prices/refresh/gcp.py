"""Google Cloud Billing Catalog: SKU pages by nextPageToken, with an API key sent as a header.

A machine's price is the sum of its parts (quality `component_sum`); where a part has no price the machine gets none.
"""

from __future__ import annotations

import re
from functools import partial

from clusterctl.prices.refresh.gcp_parts import CAPACITY_TYPES, PartPrice, part_price
from clusterctl.prices.refresh.reading import Asked, Reading, Row, field, linked

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
        for capacity_type in CAPACITY_TYPES.values()
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
    url = asked.transport.endpoint.url(PATH)
    parts, following = asked.cache.once(f"{PATH} {token}", lambda: parse(asked.transport.page(url, params)))
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
