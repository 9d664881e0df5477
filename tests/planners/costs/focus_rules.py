"""What FOCUS demands of a data set, as checks on a file's text.

focus_1_2.csv is drawn from the specification's own constraint tables (FOCUS_Spec, tag v1.2, specification/columns/*.md): level, nullability,
type, range and allowed values of each column.  The conditional rules below are those of the same files' requirements.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

RULES = list(csv.DictReader((Path(__file__).parent / "focus_1_2.csv").read_text(encoding="utf-8").splitlines()))
SINCE_1_2 = {
    "BillingAccountType", "CapacityReservationId", "CapacityReservationStatus", "CommitmentDiscountQuantity", "CommitmentDiscountUnit",
    "InvoiceId", "PricingCurrency", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice",
    "ServiceSubcategory", "SkuMeter", "SkuPriceDetails", "SubAccountType",
}  # fmt: skip
DECIMAL = re.compile(r"-?\d+(\.\d+)?([eE]-?\d+)?")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
COSTS = {"BilledCost", "EffectiveCost", "ListCost", "ContractedCost"}
NOT_OURS = {
    "BillingAccountType",
    "SubAccountType",
    "PricingCurrency",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
}
"""Conditional on what we don't have: account types, several currencies."""


def breaches(text: str, version: str) -> Iterator[str]:
    """What a CSV breaks of the version, one message each."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    columns = text.splitlines()[0].split(",")
    known = {rule["column"]: rule for rule in RULES if version == "1.2" or rule["column"] not in SINCE_1_2}
    for name, rule in known.items():
        if name not in columns and name not in NOT_OURS:
            yield f"{name} ({rule['level']}) is missing"
    for name in columns:
        if name not in known and not name.startswith("x_"):
            yield f"{name} is no column of {version}, and no custom one"
    for number, row in enumerate(rows, 1):
        for name, value in row.items():
            if name in known:
                yield from (f"row {number}: {name} {found}" for found in _value(known[name], value))
        yield from (f"row {number}: {found}" for found in (*_row(row), *_reservation(row)))
    services = {(row["ServiceName"], row["ServiceCategory"]) for row in rows}
    if len(services) != len({name for name, _ in services}):
        yield "a ServiceName has two ServiceCategories"
    skus = {(row["SkuPriceId"], row["SkuId"]) for row in rows}
    if len(skus) != len({name for name, _ in skus}):
        yield "a SkuPriceId has two SkuIds"


def _value(rule: dict[str, str], value: str) -> Iterator[str]:
    if value == "":
        if rule["nullable"] == "False":
            yield "must not be null"
        return
    if value.strip() == "":
        yield "is blank"
    if rule["type"] == "Decimal" and not DECIMAL.fullmatch(value):
        yield f"is no decimal: {value}"
    elif "non-negative" in rule["number_range"] and Decimal(value) < 0:
        yield f"is negative: {value}"
    if rule["type"] == "Date/Time" and not MOMENT.fullmatch(value):
        yield f"is no moment in UTC: {value}"
    allowed = {entry.rpartition(">")[2] for entry in rule["allowed"].split(";")} - {""}
    if allowed and value not in allowed:
        yield f"may not be {value}"
    if rule["type"] == "JSON":
        found = json.loads(value)
        if not isinstance(found, dict) or any(isinstance(inner, dict | list) for inner in found.values()):
            yield "is no flat JSON object"


def _row(row: dict[str, str]) -> Iterator[str]:
    """Requirements that join columns, for rows of usage."""
    if row["ChargeCategory"] != "Usage":
        yield "only usage is written"
    for name in (
        "ListUnitPrice",
        "ContractedUnitPrice",
        "PricingQuantity",
        "PricingCategory",
        "SkuId",
        "SkuPriceId",
        "ConsumedQuantity",
    ):
        if row[name] == "":
            yield f"{name} must not be null for usage"
    for one, other in (
        ("RegionId", "RegionName"),
        ("PricingQuantity", "PricingUnit"),
        ("ConsumedQuantity", "ConsumedUnit"),
        ("ResourceId", "ResourceType"),
    ):
        if (row[one] == "") != (row[other] == ""):
            yield f"{one} and {other} are null together"
    yield from _products(row)
    if row["ResourceName"] == row["ResourceId"] != "":
        yield "ResourceName duplicates ResourceId"
    if row["ChargePeriodStart"] >= row["ChargePeriodEnd"]:
        yield "the charge period is empty"
    if not row["BillingPeriodStart"] <= row["ChargePeriodStart"] <= row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]:
        yield "the charge period lies outside of the billing period"


def _reservation(row: dict[str, str]) -> Iterator[str]:
    """Requirements on discounts, reservations and services."""
    for name in (name for name in row if name.startswith("CommitmentDiscount")):
        if row[name] != "":
            yield f"{name} without a CommitmentDiscountId"
    if "CapacityReservationId" in row and (row["CapacityReservationId"] == "") != (
        row["CapacityReservationStatus"] == ""
    ):
        yield "CapacityReservationId and CapacityReservationStatus are null together"
    if "ServiceSubcategory" in row:
        pairs = next(rule["allowed"] for rule in RULES if rule["column"] == "ServiceSubcategory").split(";")
        if f"{row['ServiceCategory']}>{row['ServiceSubcategory']}" not in pairs:
            yield f"{row['ServiceSubcategory']} is no subcategory of {row['ServiceCategory']}"
    if row["PricingCategory"] == "Committed":
        yield "Committed without a commitment discount"


def _products(row: dict[str, str]) -> Iterator[str]:
    """Unit price x quantity = cost."""
    for cost, price in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
        product = Decimal(row[price]) * Decimal(row["PricingQuantity"])
        if abs(product - Decimal(row[cost])) > Decimal("0.0000005") + abs(product) * Decimal("1e-9"):
            yield f"{price} x PricingQuantity = {product}, and {cost} = {row[cost]}"
