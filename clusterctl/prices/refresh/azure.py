"""Azure Retail Prices: JSON pages linked by NextPageLink, no key.  Asked for the book's instance types only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from datetime import date

from clusterctl.errors import PriceError
from clusterctl.prices.refresh.reading import HOURS_PER_YEAR, Cache, Reading, Row, field, price_frame, source_frame, usd
from clusterctl.prices.refresh.transport import Transport

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


def read_azure(
    transport: Transport,
    cache: Cache,
    *,
    known: Collection[str],
    regions: Collection[str] | None,
    today: date,
    advance: Callable[[int, int], None],
) -> Reading:
    """Linux on-demand, spot and reserved prices of the `known` instance types.  Raises PriceError.

    `advance(done, total)` is called after each query.
    """
    names = sorted(known)
    queries = [names[start : start + TYPES_PER_QUERY] for start in range(0, len(names), TYPES_PER_QUERY)]
    newest: dict[tuple[str, str, str], tuple[str, float]] = {}
    for done, query in enumerate(queries, start=1):
        for region, kind, capacity_type, price, since in _query(transport, cache, query, today):
            key = (str(region), str(kind), str(capacity_type))
            candidate = (str(since), float(str(price)))
            newest[key] = max(candidate, newest.get(key, candidate))
        advance(done, len(queries))
    rows: list[Row] = [(*key, price) for key, (_, price) in newest.items() if regions is None or key[0] in regions]
    source = f"azure-retail-prices@{today}"
    return Reading(
        cloud="azure",
        prices=price_frame(rows, cloud="azure", as_of=today, source=source),
        source=source_frame(source, f"Azure Retail Prices API {API_VERSION}, Virtual Machines, read {today}", today),
        authority=("instance_type", "capacity_type")
        if regions is None
        else ("instance_type", "capacity_type", "region"),
    )


def _query(transport: Transport, cache: Cache, names: list[str], today: date) -> Dated:
    """Every page of one query."""
    any_of = " or ".join(f"armSkuName eq '{name}'" for name in names)
    params: dict[str, str] | None = {
        "api-version": API_VERSION,
        "$filter": f"serviceName eq 'Virtual Machines' and ({any_of})",
    }
    url = transport.endpoint.url(PATH)
    rows: Dated = []
    seen: set[str] = set()
    for _ in range(MAX_PAGES_PER_QUERY):
        key = f"{url} {json.dumps(params)}"
        page = cache.get(key)
        if not (isinstance(page, list) and len(page) == 2):
            page = parse(transport.page(url, params), today=today, known=names)
            cache.put(key, page)
        rows += page[0]
        following = page[1]
        if not following:
            return rows
        if not transport.endpoint.same_origin(following):
            raise PriceError("azure: the next page is on another server", hint="the old book stays")
        if following in seen:
            raise PriceError("azure: the pages lead in a circle", hint="the old book stays")
        seen.add(following)
        url, params = following, None
    raise PriceError(f"azure: more than {MAX_PAGES_PER_QUERY} pages for one query", hint="the old book stays")


def parse(page: object, *, today: date, known: Collection[str]) -> tuple[Dated, str]:
    """Rows of one page and the link to the next ("" at the end).  Raises PriceError for a malformed page."""
    where = "azure price page"
    items = field(page, ["Items"], list, where)
    following = page.get("NextPageLink") if isinstance(page, dict) else None
    if following is not None and not isinstance(following, str):
        raise PriceError(f"{where}: NextPageLink is {following!r}", hint="the old book stays")
    rows: Dated = []
    for item in items:
        row = _row(item, where)
        if row is not None and row[1] in known and str(row[4]) <= today.isoformat():
            rows.append(row)
    return rows, following or ""


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
