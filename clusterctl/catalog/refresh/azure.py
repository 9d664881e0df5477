"""Azure Retail Prices: JSON pages linked by NextPageLink, no key.  Asked for the book's instance types, and
for the meters of `azure.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from clusterctl.catalog.refresh.reading import HOURS_PER_YEAR, Asked, ExtraRow, Reading, Row, field, linked, stays, usd
from clusterctl.errors import PriceError

PATH = "/api/retail/prices"
API_VERSION = "2023-01-01-preview"
"""The version whose answers hold reservations beside consumption, and full pages of 1,000."""
TYPES_PER_QUERY = 10
MAX_PAGES_PER_QUERY = 500
RESTRICTED = re.compile(r"^(usgov|usdod|china)")
REGION = re.compile(r"^[a-z]+\d?$")
TERM_HOURS = {"1 Year": ("reserved_1y", HOURS_PER_YEAR), "3 Years": ("reserved_3y", 3 * HOURS_PER_YEAR)}

WHERE = "azure price page"
EXTRAS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["extras"]

Dated = list[list[Any]]
"""[region, instance type, capacity type, dollars per hour, first day of that price] rows."""


def read_azure(asked: Asked) -> Reading:
    """Linux on-demand, spot and reserved prices.  Raises PriceError."""
    names = sorted(asked.known)
    queries = [names[start : start + TYPES_PER_QUERY] for start in range(0, len(names), TYPES_PER_QUERY)]
    newest: dict[tuple[str, str, str], tuple[str, float]] = {}
    for done, query in enumerate(queries, start=1):
        any_of = " or ".join(f"armSkuName eq '{name}'" for name in query)
        machines = partial(parse, today=asked.today, known=query)
        for page in _pages(asked, f"serviceName eq 'Virtual Machines' and ({any_of})", machines):
            for region, kind, capacity_type, price, since in page:
                key = (region, kind, capacity_type)
                newest[key] = max((since, price), newest.get(key, (since, price)))
        asked.advance(done, len(queries))
    rows: list[Row] = [(*key, price) for key, (_, price) in newest.items() if asked.wants(key[0])]
    extras, notes = _extras(asked)
    full_source = f"Azure Retail Prices API {API_VERSION}"
    return asked.reading(rows, "azure-retail-prices", full_source, authority=asked.by_type, extras=extras, notes=notes)


def _extras(asked: Asked) -> tuple[list[ExtraRow], list[str]]:
    """Prices beside machines, of the first tier that costs anything; and notes on those that can't be read."""
    rows: list[ExtraRow] = []
    notes: list[str] = []
    for extra in EXTRAS:
        first: dict[str, tuple[float, float]] = {}
        condition = " and ".join(f"{name} eq '{value}'" for name, value in extra["meter"].items())
        try:
            for page in _pages(asked, condition, partial(parse_meter, today=asked.today, meter=extra["meter"])):
                for region, from_units, price in page:
                    tier = (from_units, -price)  # of two prices of a tier the higher
                    first[region] = min(tier, first.get(region, tier))
        except PriceError as error:
            notes.append(f"prices of {extra['item']} left as they were: {error.message}")
            continue
        prices = {region: -price * extra.get("times", 1) for region, (_, price) in first.items()}
        wanted = (region for region in prices if region == "*" or asked.wants(region))
        rows += [(region, extra["item"], extra["unit"], prices[region]) for region in wanted]
    return rows, notes


def _pages(asked: Asked, condition: str, parse: Callable[[object], tuple[Dated, str]]) -> Iterator[Dated]:
    """Every page of one query."""
    first = asked.transport.url(PATH)
    query = {"api-version": API_VERSION, "$filter": condition}

    def read(url: str) -> tuple[Dated, str]:
        rows, following = asked.page(url, query if url == first else None, parse)
        if following and not asked.transport.same_origin(following):
            raise stays("azure: the next page is on another server")
        return rows, following

    return linked(read, first, most=MAX_PAGES_PER_QUERY, cloud="azure")


def parse(page: object, *, today: date, known: Collection[str]) -> tuple[Dated, str]:
    """Rows of one page and the link to the next ("" at the end).  Raises PriceError for a malformed page."""
    items, following = _items(page)
    rows = [row for item in items if (row := _row(item, WHERE)) is not None]
    return [row for row in rows if row[1] in known and row[4] <= today.isoformat()], following


def parse_meter(page: object, *, today: date, meter: Mapping[str, str]) -> tuple[Dated, str]:
    """[region, first unit, dollars per unit] rows of one page of a meter, and the link to the next.

    Region `*`: everywhere.  Raises PriceError for a malformed page.
    """
    items, following = _items(page)
    rows: Dated = []
    for item in items:
        words = {"type": "Consumption", "currencyCode": "USD", **meter}
        asked_for = all(field(item, [name], str, WHERE) == value for name, value in words.items())
        region = field(item, ["armRegionName"], str, WHERE).replace("Global", "*")
        price = usd(field(item, ["retailPrice"], (int, float), WHERE), WHERE)
        since = field(item, ["effectiveStartDate"], str, WHERE)[:10]
        sold_here = region == "*" or (REGION.match(region) and not RESTRICTED.match(region))
        if asked_for and price and sold_here and since <= today.isoformat():
            rows.append([region, field(item, ["tierMinimumUnits"], (int, float), WHERE), price])
    return rows, following


def _items(page: object) -> tuple[list[object], str]:
    items = field(page, ["Items"], list, WHERE)
    following = page.get("NextPageLink") if isinstance(page, dict) else None
    if following is not None and not isinstance(following, str):
        raise stays(f"{WHERE}: NextPageLink is {following!r}")
    return items, following or ""


def _row(item: object, where: str) -> list[Any] | None:
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
