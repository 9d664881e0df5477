"""Google Cloud Billing Catalog: SKU pages by nextPageToken, with an API key sent as a header.

A machine's price is the sum of its parts (quality `component_sum`); where a part has no price the machine gets none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import astuple
from datetime import date

import polars as pl

from clusterctl.errors import PriceError
from clusterctl.prices.refresh.gcp_parts import CAPACITY_TYPES, PartPrice, part_price
from clusterctl.prices.refresh.reading import Cache, Reading, Row, field, price_frame, source_frame
from clusterctl.prices.refresh.transport import Transport

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


def read_gcp(
    transport: Transport,
    cache: Cache,
    *,
    shapes: pl.DataFrame,
    regions: Collection[str] | None,
    today: date,
    advance: Callable[[int, int], None],
) -> Reading:
    """On-demand, spot and committed prices of the Google machines in `shapes`.  Raises PriceError.

    `advance(done, total)` is called after each page; the number of pages is not known before.
    """
    parts: Parts = {}
    for done, page in enumerate(_pages(transport, cache), start=1):
        for price in page:
            for region in price.regions:
                if REGION.match(region):
                    key = (price.part, price.name, price.capacity_type, region)
                    parts[key] = max(price.usd_per_hour, parts.get(key, 0.0))
        advance(done, done + 1)
    wanted = sorted({region for *_, region in parts if regions is None or region in regions})
    rows: list[Row] = []
    for shape in shapes.filter(pl.col("cloud") == "gcp").iter_rows(named=True):
        for region in wanted:
            for capacity_type in CAPACITY_TYPES.values():
                price_usd = machine_usd(shape, capacity_type, region, parts)
                if price_usd is not None:
                    rows.append((region, shape["instance_type"], capacity_type, price_usd))
    source = f"gcp-billing-catalog@{today}"
    without = shapes.filter(pl.col("cloud") == "gcp", ~pl.col("instance_type").is_in([row[1] for row in rows]))
    return Reading(
        cloud="gcp",
        prices=price_frame(rows, cloud="gcp", as_of=today, source=source, quality="component_sum"),
        source=source_frame(source, f"Google Cloud Billing Catalog, service 6F81-5844-456A, read {today}", today),
        authority=("instance_type", "capacity_type")
        if regions is None
        else ("instance_type", "capacity_type", "region"),
        notes=_notes(without["instance_type"].sort().to_list()),
    )


def machine_usd(shape: dict[str, object], capacity_type: str, region: str, parts: Parts) -> float | None:
    """Dollars per hour of a machine: Σ amount × part price; None when a part that it needs has no price."""
    name = str(shape["instance_type"])
    series = name.rpartition("-")[0]
    family = next((own for start, own in OWN_FAMILY.items() if name.startswith(start)), name.split("-", maxsplit=1)[0])
    num_gpus = float(str(shape["num_gpus"] or 0))
    needed: list[tuple[str, str, float]] = []
    if family in SLICED:
        needed.append(("slice", family, num_gpus))
    else:
        needed.append(("core", family, SHARED_CORES.get(name, float(str(shape["vcpus"])))))
        needed.append(("ram", family, float(str(shape["memory_gib"]))))
        if num_gpus:
            needed.append(("gpu", OWN_GPU.get(series, str(shape["gpu"])), num_gpus))
    ssd_gib = float(str(shape["local_nvme_gib"] or 0))
    if ssd_gib:
        needed.append(("ssd", "c4" if family == "c4" else "", ssd_gib))
    total = 0.0
    for part, of, amount in needed:
        price = parts.get((part, of, capacity_type, region))
        if not price:
            return None
        total += amount * price
    return total


def _pages(transport: Transport, cache: Cache) -> Iterator[list[PartPrice]]:
    token = ""
    seen: set[str] = set()
    for _ in range(MAX_PAGES):
        key = f"{PATH} {token}"
        page = cache.get(key)
        if not (isinstance(page, list) and len(page) == 2):
            params = {"pageSize": str(PAGE_SIZE), "currencyCode": "USD"} | ({"pageToken": token} if token else {})
            page = parse(transport.page(transport.endpoint.url(PATH), params))
            cache.put(key, [[astuple(price) for price in page[0]], page[1]])
            yield page[0]
        else:
            yield [
                PartPrice(part=part, name=name, capacity_type=kind, regions=tuple(regions), usd_per_hour=price)
                for part, name, kind, regions, price in page[0]
            ]
        token = page[1]
        if not token:
            return
        if token in seen:
            raise PriceError("gcp: the pages lead in a circle", hint="the old book stays")
        seen.add(token)
    raise PriceError(f"gcp: more than {MAX_PAGES} pages", hint="the old book stays")


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
