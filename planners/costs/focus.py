"""Parts as rows of a FOCUS data set (FinOps Open Cost and Usage Specification, versions 1.0 and 1.2): one row per part.

Our own columns begin with `x_`, as the specification asks.  A part without a price has no row: FOCUS knows no unknown
cost.
"""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from planners.costs.cost_tables import BILLED, MOMENT, PRICE, USD, Purpose, text
from planners.costs.rounding import prorate

SINCE_1_2 = {
    "CapacityReservationId",
    "CapacityReservationStatus",
    "CommitmentDiscountQuantity",
    "CommitmentDiscountUnit",
    "InvoiceId",
    "ServiceSubcategory",
    "SkuMeter",
    "SkuPriceDetails",
}
"""Columns that 1.0 does not have."""
PROVIDERS = {"aws": "Amazon Web Services", "gcp": "Google Cloud", "azure": "Microsoft Azure", "local": "On-premises"}
SERVICES = {
    "machine": ("Virtual machines", "Compute", "Virtual Machines", "Machine hours"),
    "reservation": ("Virtual machines", "Compute", "Virtual Machines", "Machine hours"),
    "control_plane": ("Cluster control plane", "Compute", "Containers", "Cluster hours"),
    "storage": ("Stored data", "Storage", "Other (Storage)", "Stored data"),
    "disk": ("Disks", "Storage", "Block Storage", "Disk hours"),
    "egress": ("Data transfer", "Networking", "Other (Networking)", "Data transfer"),
    "network": ("Network gateways", "Networking", "Network Infrastructure", "Gateway hours"),
    "tokens": ("Model API", "AI and Machine Learning", "Generative AI", "Tokens"),
}
"""Kind of resource → ServiceName, ServiceCategory, ServiceSubcategory, SkuMeter."""
OTHER = ("Other", "Other", "Other (Other)", "Use")
DYNAMIC = {"spot": "Dynamic"}
"""Capacity type → PricingCategory; all others are at a predetermined rate, so Standard."""
NO_ACCOUNT = "clusterctl"
"""Billing account of an estimate: ours, as nobody has billed it.  Not nullable in FOCUS."""
NOTHING = pl.lit(None, dtype=pl.String)

ATTRIBUTES = pl.Schema(text("resource", "address", "region", "zone", "sku") | {"gpus": pl.Int32} | text("tags"))
"""What FOCUS says of a resource beyond its cost: its id at the provider, instance type (`sku`), tags as JSON."""
INVOICES = pl.Schema(text("resource") | {"month": MOMENT} | text("account", "invoice"))
"""Who billed a resource in a month, and by which invoice."""
RUNS = pl.Schema(text("run", "plan") | {"planned_usd": USD})
"""The plan of a run: its id and the dollars that it expected (P50)."""


def focus(
    parts: pl.DataFrame, *, attributes: pl.DataFrame, invoices: pl.DataFrame, runs: pl.DataFrame, version: str
) -> pl.DataFrame:
    """FOCUS rows of the parts that have a price, which must lie within one month each.

    BilledCost, EffectiveCost, ListCost and ContractedCost are all the part's dollars: the ledger knows one price.
    Unit price x PricingQuantity = cost.  x_PlannedCost: the plan's dollars spread over the run's rows by their cost, so
    that sums over any group compare; x_Estimated: whether no invoice says so.
    """
    rows = parts.filter(pl.col("usd").is_not_null()).with_columns(month=pl.col("from_at").dt.truncate("1mo"))
    rows = rows.join(attributes, on="resource", how="left").join(invoices, on=["resource", "month"], how="left")
    rows = rows.join(runs, on="run", how="left").with_columns(weight=pl.col("usd").cast(pl.Float64))
    rows = prorate(rows, total="planned_usd", weight="weight", over="run", into="planned")
    found = rows.select(**_who(), **_what(), **_money(), **_ours())
    return found.select(name for name in sorted(found.columns, key=_order) if version != "1.0" or name not in SINCE_1_2)


def _order(name: str) -> tuple[bool, str]:
    return name.startswith("x_"), name


def _who() -> dict[str, pl.Expr]:
    """Who sells, who is billed, when and where."""
    provider = pl.col("provider").replace(PROVIDERS)
    end = pl.col("to_at").dt.offset_by("999999us").dt.truncate("1s")
    return {
        "ProviderName": provider,
        "PublisherName": provider,
        "InvoiceIssuerName": provider,
        "BillingAccountId": pl.col("account").fill_null(NO_ACCOUNT),
        "BillingAccountName": NOTHING,
        "BillingCurrency": pl.lit("USD"),
        "BillingPeriodStart": _moment(pl.col("month")),
        "BillingPeriodEnd": _moment(pl.col("month").dt.offset_by("1mo")),
        "ChargePeriodStart": _moment(pl.col("from_at")),
        "ChargePeriodEnd": _moment(end),
        "InvoiceId": pl.col("invoice"),
        "SubAccountId": NOTHING,
        "SubAccountName": NOTHING,
        "RegionId": pl.col("region"),
        "RegionName": pl.col("region"),
        "AvailabilityZone": pl.col("zone"),
    }


def _moment(moment: pl.Expr) -> pl.Expr:
    return moment.dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def _what() -> dict[str, pl.Expr]:
    """What was used: service, SKU, resource, reservation."""
    service = [
        pl.col("kind").replace_strict({kind: row[place] for kind, row in SERVICES.items()}, default=OTHER[place])
        for place in range(4)
    ]
    sku = pl.format("{}/{}", "provider", pl.coalesce("sku", "kind"))
    capacity = pl.col("capacity_type").fill_null("on_demand")
    reserved = pl.col("reservation").is_not_null()
    details = pl.struct(InstanceType="sku", GpuCount="gpus").struct.json_encode()
    described = pl.format("{}: {}{}", "resource", "use", pl.coalesce(pl.format(", {}", "reason"), pl.lit("")))
    return {
        "ServiceName": service[0],
        "ServiceCategory": service[1],
        "ServiceSubcategory": service[2],
        "SkuMeter": service[3],
        "SkuId": sku,
        "SkuPriceId": pl.format("{}/{}", sku, capacity),
        "SkuPriceDetails": pl.when(pl.col("sku").is_not_null() & pl.col("gpus").is_not_null()).then(details),
        "ResourceId": pl.coalesce("address", "resource"),
        "ResourceName": pl.when(pl.col("address").is_not_null()).then("resource"),
        "ResourceType": pl.col("kind"),
        "Tags": pl.col("tags"),
        "ChargeCategory": pl.lit("Usage"),
        "ChargeClass": NOTHING,
        "ChargeFrequency": pl.lit("Usage-Based"),
        "ChargeDescription": described,
        "CapacityReservationId": pl.col("reservation"),
        "CapacityReservationStatus": pl.when(reserved & (pl.col("use") == Purpose.UNUSED))
        .then(pl.lit("Unused"))
        .when(reserved)
        .then(pl.lit("Used")),
        "CommitmentDiscountQuantity": pl.lit(None, dtype=PRICE),
        **{f"CommitmentDiscount{name}": NOTHING for name in ("Category", "Id", "Name", "Status", "Type", "Unit")},
    }


def _money() -> dict[str, pl.Expr]:
    """Cost = unit price x quantity: hours or reported units where there is a price for one, else one unit at the cost
    itself (minus one for a credit, as a price is never negative)."""
    usd, used = pl.col("usd").cast(pl.Float64), pl.when(pl.col("quantity") > 0).then("quantity")
    one = pl.coalesce("usd_per_hour", (usd / used).round(12).cast(PRICE))
    rated = one > 0
    sign = pl.when(pl.col("usd") < 0).then(pl.lit(Decimal(-1), dtype=PRICE)).otherwise(pl.lit(Decimal(1), dtype=PRICE))
    quantity = pl.when(rated).then((usd / one.cast(pl.Float64)).round(12).cast(PRICE)).otherwise(sign)
    price = pl.when(rated).then(one).otherwise(pl.col("usd").abs().cast(PRICE))
    unit = pl.when(rated).then(pl.col("unit").fill_null("Hours")).otherwise(pl.lit("Units"))
    return {
        **{f"{name}Cost": pl.col("usd") for name in ("Billed", "Contracted", "Effective", "List")},
        "ListUnitPrice": price,
        "ContractedUnitPrice": price,
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ConsumedQuantity": pl.coalesce(pl.col("quantity").round(12).cast(PRICE), quantity),
        "ConsumedUnit": pl.coalesce("unit", unit),
        "PricingCategory": pl.col("capacity_type").replace_strict(DYNAMIC, default="Standard"),
    }


def _ours() -> dict[str, pl.Expr]:
    """What FOCUS has no column for."""
    idle = pl.when(pl.col("use") == Purpose.IDLE).then("usd").otherwise(pl.lit(Decimal(0), dtype=USD))
    return {
        "x_RunId": pl.col("run"),
        "x_Role": pl.col("role"),
        "x_Team": pl.col("team"),
        "x_PlanId": pl.col("plan"),
        "x_Use": pl.col("use"),
        "x_IdleReason": pl.col("reason"),
        "x_GpuHours": pl.col("gpu_hours"),
        "x_IdleCost": idle,
        "x_PlannedCost": pl.col("planned"),
        "x_Estimated": pl.col("status") != BILLED,
    }
