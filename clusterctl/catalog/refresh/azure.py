"""Azure Retail Prices: JSON pages linked by NextPageLink, no key.  Asked for the book's instance types only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date
from functools import partial

from clusterctl.catalog.refresh.reading import HOURS_PER_YEAR, Asked, Reading, Row, field, linked, stays, usd

PATH = "/api/retail/prices"
API_VERSION = "2023-01-01-preview"
"""The version whose answers hold reservations beside consumption, and full pages of 1,000."""
TYPES_PER_QUERY = 10
MAX_PAGES_PER_QUERY = 500
RESTRICTED = re.compile(r"^(usgov|usdod|china)")
REGION = re.compile(r"^[a-z]+\d?$")
TERM_HOURS = {"1 Year": ("reserved_1y", HOURS_PER_YEAR), "3 Years": ("reserved_3y", 3 * HOURS_PER_YEAR)}

Dated = list[list[object]]
"""[region, instance type, capacity type, dollars per hour, first day of that price] rows."""


def read_azure(asked: Asked) -> Reading:
    """Linux on-demand, spot and reserved prices.  Raises PriceError."""
    names = sorted(asked.known)
    queries = [names[start : start + TYPES_PER_QUERY] for start in range(0, len(names), TYPES_PER_QUERY)]
    newest: dict[tuple[str, str, str], tuple[str, float]] = {}
    for done, query in enumerate(queries, start=1):
        for page in _pages(asked, query):
            for region, kind, capacity_type, price, since in page:
                key = (str(region), str(kind), str(capacity_type))
                candidate = (str(since), float(str(price)))
                newest[key] = max(candidate, newest.get(key, candidate))
        asked.advance(done, len(queries))
    rows: list[Row] = [(*key, price) for key, (_, price) in newest.items() if asked.wants(key[0])]
    full_source = f"Azure Retail Prices API {API_VERSION}, Virtual Machines"
    return asked.reading(rows, "azure-retail-prices", full_source, authority=asked.by_type)


def _pages(asked: Asked, names: list[str]) -> Iterator[Dated]:
    """Every page of one query."""
    first = asked.transport.endpoint.url(PATH)
    any_of = " or ".join(f"armSkuName eq '{name}'" for name in names)
    query = {"api-version": API_VERSION, "$filter": f"serviceName eq 'Virtual Machines' and ({any_of})"}

    def read(url: str) -> tuple[Dated, str]:
        params = query if url == first else None
        rows, following = asked.page(url, params, partial(parse, today=asked.today, known=names))
        if following and not asked.transport.endpoint.same_origin(following):
            raise stays("azure: the next page is on another server")
        return rows, following

    return linked(read, first, most=MAX_PAGES_PER_QUERY, cloud="azure")


def parse(page: object, *, today: date, known: Collection[str]) -> tuple[Dated, str]:
    """Rows of one page and the link to the next ("" at the end).  Raises PriceError for a malformed page."""
    where = "azure price page"
    items = field(page, ["Items"], list, where)
    following = page.get("NextPageLink") if isinstance(page, dict) else None
    if following is not None and not isinstance(following, str):
        raise stays(f"{where}: NextPageLink is {following!r}")
    rows = [row for item in items if (row := _row(item, where)) is not None]
    return [row for row in rows if row[1] in known and str(row[4]) <= today.isoformat()], following or ""


def _row(item: object, where: str) -> list[object] | None:
    """One price of a Linux machine; None for what isn't one (Windows, low priority, dev/test, cloud services)."""
    words = {
        name: field(item, [name], str, where)
        for name in ("armSkuName", "armRegionName", "productName", "meterName", "unitOfMeasure", "type", "currencyCode")
    }
    product, meter = words["productName"], words["meterName"]
    other = "Windows" in product or "Cloud Services" in product or "CloudServices" in product or "Low Priority" in meter
    region = words["armRegionName"]
    if other or words["currencyCode"] != "USD" or not REGION.match(region) or RESTRICTED.match(region):
        return None
    price = usd(field(item, ["retailPrice"], (int, float), where), f"{where} {words['armSkuName']}")
    since = field(item, ["effectiveStartDate"], str, where)[:10]
    if words["type"] == "Consumption" and words["unitOfMeasure"] == "1 Hour":
        capacity_type = "spot" if "Spot" in meter else "on_demand"
    elif words["type"] == "Reservation" and (term := field(item, ["reservationTerm"], str, where)) in TERM_HOURS:
        capacity_type, hours = TERM_HOURS[term]
        price /= hours  # the price of a reservation is that of the whole term
    else:
        return None
    return [region, words["armSkuName"], capacity_type, price, since]
