"""Bills as AWS and others write them, made of the same few rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import polars as pl

MARCH = {"period_from": "2026-03-01T00:00:00Z", "period_to": "2026-04-01T00:00:00Z"}
ARN = "arn:aws:ec2:us-east-1:123456789012:volume/"


def row(address: str, usd: str, **more: Any) -> dict[str, Any]:
    """A row of usage in the first two hours of the ledger's runs."""
    given: dict[str, Any] = {
        "account": "123456789012",
        "invoice": "INV-7",
        **MARCH,
        "from_at": "2026-03-01T12:00:00Z",
        "to_at": "2026-03-01T14:00:00Z",
        "usd": usd,
        "currency": "USD",
        "address": address,
        "item": "Usage",
        "service": "AmazonEC2",
        "usage": "BoxUsage:p5.48xlarge",
        "savings_usd": "0.0",
        "reserved_usd": "0.0",
        "tags": {},
    }
    return given | more


TRAINER = [row("i-rlcef-1/trainer/1", "98.1234567891"), row("i-rlcef-1/trainer/1", "98.1234567809")]
"""The machine of `add_charge`, billed by the hour: $196.246914 of an estimated $196.64."""
BILL = [
    *TRAINER,
    row(ARN + "vol-1", "1.0E-2", usage="EBS:VolumeUsage.gp3", tags={"clusterctl.dev/run": "rlcef-1", "clusterctl.dev/role": "trainer"}),
    row("i-lost", "7.5", tags={"clusterctl.dev/run": "nobody-9"}),
    row("somebody's-bucket", "1234.5", service="AmazonS3", usage="TimedStorage-ByteHrs"),
    row("another-bucket", "0.5", service="AmazonS3", usage="TimedStorage-ByteHrs"),
]  # fmt: skip
CUR_2 = {
    "account": "bill_payer_account_id", "invoice": "bill_invoice_id", "period_from": "bill_billing_period_start_date",
    "period_to": "bill_billing_period_end_date", "from_at": "line_item_usage_start_date", "to_at": "line_item_usage_end_date",
    "usd": "line_item_unblended_cost", "currency": "line_item_currency_code", "address": "line_item_resource_id",
    "item": "line_item_line_item_type", "service": "line_item_product_code", "usage": "line_item_usage_type",
    "savings_usd": "savings_plan_savings_plan_effective_cost", "reserved_usd": "reservation_effective_cost", "tags": "resource_tags",
}  # fmt: skip
LEGACY = {
    "account": "bill/PayerAccountId", "invoice": "bill/InvoiceId", "period_from": "bill/BillingPeriodStartDate",
    "period_to": "bill/BillingPeriodEndDate", "from_at": "lineItem/UsageStartDate", "to_at": "lineItem/UsageEndDate",
    "usd": "lineItem/UnblendedCost", "currency": "lineItem/CurrencyCode", "address": "lineItem/ResourceId",
    "item": "lineItem/LineItemType", "service": "lineItem/ProductCode", "usage": "lineItem/UsageType",
    "savings_usd": "savingsPlan/SavingsPlanEffectiveCost", "reserved_usd": "reservation/EffectiveCost",
}  # fmt: skip


def legacy(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A legacy report: a column for each tag."""
    return [
        {LEGACY[name]: value for name, value in given.items() if name != "tags"}
        | {
            f"resourceTags/user:clusterctl.dev/{tag}": given["tags"].get(f"clusterctl.dev/{tag}", "")
            for tag in ("run", "role")
        }
        for given in rows
    ]


def cur_2(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A 2.0 export: all tags in one column, `user_` before their keys."""
    return [
        {
            CUR_2[name]: json.dumps({f"user_{key}": said for key, said in value.items()}) if name == "tags" else value
            for name, value in given.items()
        }
        for given in rows
    ]


def focus(rows: list[dict[str, Any]], *, invoices: bool = True, provider: str = "AWS") -> list[dict[str, Any]]:
    """A FOCUS export, 1.2 with invoice ids, else 1.0."""
    return [
        {
            "ProviderName": provider,
            "BillingAccountId": given["account"],
            "BillingPeriodStart": given["period_from"],
            "BillingPeriodEnd": given["period_to"],
            "ChargePeriodStart": given["from_at"],
            "ChargePeriodEnd": given["to_at"],
            "EffectiveCost": given["usd"],
            "BilledCost": given["usd"],
            "BillingCurrency": given["currency"],
            "ResourceId": given["address"],
            "ServiceName": given["service"],
            "ServiceCategory": "Storage" if given["service"] == "AmazonS3" else "Compute",
            "Tags": json.dumps(given["tags"]),
        }
        | ({"InvoiceId": given["invoice"]} if invoices else {})
        for given in rows
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """CSV, compressed CSV or Parquet (with real types, and the tags as a map), by the file's name."""
    if path.suffix == ".parquet":
        frame = pl.DataFrame(rows)
        money = [name for name in frame.columns if name.lower().endswith("cost")]
        moments = [name for name in frame.columns if "date" in name or "Period" in name]
        typed = frame.with_columns(
            pl.col(money).cast(pl.Float64), pl.col(moments).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="ms")
        )
        if "resource_tags" in typed.columns:
            maps = [
                [{"key": key, "value": value} for key, value in json.loads(text).items()]
                for text in typed["resource_tags"]
            ]
            kind = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))
            typed = typed.with_columns(pl.Series("resource_tags", maps, dtype=kind))
        typed.write_parquet(path)
        return path
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    content = out.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
