"""What bills look like: AWS Cost and Usage Reports (2.0 and legacy) and FOCUS (1.0, 1.2); where tags, kinds and final
amounts stand in them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One kind of bill: our field → its column.  Fields with `?` may be missing."""

    columns: Mapping[str, str]


CUR = Format(
    columns={
        "account": "bill_payer_account_id",
        "invoice?": "bill_invoice_id",
        "period_from": "bill_billing_period_start_date",
        "period_to": "bill_billing_period_end_date",
        "from_at": "line_item_usage_start_date",
        "to_at": "line_item_usage_end_date",
        "usd": "line_item_unblended_cost",
        "currency": "line_item_currency_code",
        "address?": "line_item_resource_id",
        "item?": "line_item_line_item_type",
        "service": "line_item_product_code",
        "usage": "line_item_usage_type",
        "savings_usd?": "savings_plan_savings_plan_effective_cost",
        "reserved_usd?": "reservation_effective_cost",
    }
)
"""Names of 2.0 (AWS Data Exports, table dictionary); legacy ones (`lineItem/UnblendedCost`) differ in spelling only."""
FOCUS = Format(
    columns={
        "provider": "ProviderName",
        "account": "BillingAccountId",
        "invoice?": "InvoiceId",
        "period_from": "BillingPeriodStart",
        "period_to": "BillingPeriodEnd",
        "from_at": "ChargePeriodStart",
        "to_at": "ChargePeriodEnd",
        "usd": "EffectiveCost",
        "currency": "BillingCurrency",
        "address?": "ResourceId",
        "service": "ServiceName",
        "usage": "ServiceCategory",
    }
)
TAG_COLUMNS = ("resource_tags", "tags", "Tags")
"""Columns that hold all tags of a row: JSON in CSV, a map or JSON in Parquet."""
TAGS = ("run", "resource", "role")
OUR_TAG = "clusterctldev"
"""`clusterctl.dev/` as any cloud spells it: `user:clusterctl.dev/`, `user_clusterctl_dev_`, `clusterctl-dev_`."""
OPTIONAL = ("invoice", "address", "item", "savings_usd", "reserved_usd", *TAGS)
PROVIDERS = {"amazon": "aws", "aws": "aws", "google": "gcp", "microsoft": "azure", "azure": "azure"}
KINDS = {
    "EBS:": "disk", "TimedStorage": "storage", "DataTransfer": "egress", "NatGateway": "network",
    "LoadBalancer": "network", "EKS": "control_plane", "okens": "tokens", "BoxUsage": "machine", "SpotUsage": "machine",
    "Storage": "storage", "Networking": "egress", "AI and Machine": "tokens", "Compute": "machine",
}  # fmt: skip
"""Word in an AWS usage type or a FOCUS service category → kind of resource; the first that fits counts."""
OTHER_KIND = "other"


def columns_of(there: list[str], path: Path) -> dict[str, str]:
    """Our field → the file's column.  Raises SpecError for a file that lacks one."""
    kind = FOCUS if FOCUS.columns["period_from"] in there else CUR
    plain = {_plain(name): name for name in there}
    found = {field.rstrip("?"): plain.get(_plain(name)) for field, name in kind.columns.items()}
    for field, name in kind.columns.items():
        if not field.endswith("?") and found[field] is None:
            near = get_close_matches(name, there, n=1)
            raise SpecError(
                f"{path}: has no column {name}" + (f"; is it `{near[0]}`?" if near else ""),
                hint="import an AWS Cost and Usage Report with resource ids, or a FOCUS 1.0 or 1.2 file",
            )
    return {field: name for field, name in found.items() if name is not None}


def _plain(name: str) -> str:
    """`lineItem/UnblendedCost` and `line_item_unblended_cost` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def tags_of(rows: pl.DataFrame, path: Path) -> dict[str, pl.Expr]:
    """run, resource and role as the tags say: columns of their own (legacy reports), or all tags in one column."""
    found: dict[str, list[pl.Expr]] = {
        tag: [pl.col(name).cast(pl.String) for name in rows.columns if _plain(name).endswith(OUR_TAG + tag)]
        for tag in TAGS
    }
    for name in (name for name in TAG_COLUMNS if name in rows.columns):
        text = pl.col(name)
        if isinstance(rows.schema[name], pl.List):
            text = pl.format("[{}]", text.list.eval(pl.element().struct.json_encode()).list.join(","))
        said = {value: _own_tags(value, name, path) for value in rows.select(text).to_series().drop_nulls().unique()}
        for tag, given in found.items():
            values = (
                pl.Series(list(said), dtype=pl.String),
                pl.Series([tags.get(tag) for tags in said.values()], dtype=pl.String),
            )
            given.append(text.replace_strict(*values, default=None))
    return {tag: pl.coalesce(given) for tag, given in found.items() if given}


def _own_tags(text: str, name: str, path: Path) -> dict[str, str]:
    """Our tags of a JSON object, or of a list of {"key", "value"}."""
    try:
        held = json.loads(text or "{}")
        pairs = [(pair["key"], pair["value"]) for pair in held] if isinstance(held, list) else list(held.items())
        plain = {_plain(key): str(value) for key, value in pairs}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise SpecError(f"{path}: field {name}: `{text[:60]}` is no JSON object", hint="fetch the file again") from None
    return {tag: value for tag in TAGS for key, value in plain.items() if key.endswith(OUR_TAG + tag)}


def provider() -> pl.Expr:
    """aws, gcp, azure, or the provider's own name in small letters."""
    name = pl.col("provider").str.to_lowercase()
    known = [pl.when(name.str.contains(word, literal=True)).then(pl.lit(ours)) for word, ours in PROVIDERS.items()]
    return pl.coalesce(*known, name).alias("provider")


def kind_of_use() -> pl.Expr:
    """Kind of resource by service and usage."""
    said = pl.concat_str("service", "usage", separator=" ", ignore_nulls=True)
    known = [pl.when(said.str.contains(word, literal=True)).then(pl.lit(kind)) for word, kind in KINDS.items()]
    return pl.coalesce(*known, pl.lit(OTHER_KIND)).alias("kind")


def effective_usd() -> pl.Expr:
    """What a row really cost: usage under a savings plan or a reservation at its share of that, so the row that takes
    its list price back is 0.  As AWS defines amortized cost; FOCUS' EffectiveCost is that already."""
    item, planned = pl.col("item"), pl.col("savings_usd").is_not_null()
    return (
        pl.when((item == "SavingsPlanCoveredUsage") & planned)
        .then("savings_usd")
        .when((item == "SavingsPlanNegation") & planned.any())
        .then(pl.lit(0).cast(pl.Decimal(38, 12)))
        .when((item == "DiscountedUsage") & pl.col("reserved_usd").is_not_null())
        .then("reserved_usd")
        .otherwise("usd")
        .alias("usd")
    )
