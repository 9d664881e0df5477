"""Reads a bill: an AWS Cost and Usage Report (2.0 or legacy) or a FOCUS file (1.0, 1.2).

Every value is checked before anything is imported; the first wrong one is named by file, line and field.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.errors import SpecError
from planners.costs.invoices import EXACT, LINES
from planners.costs.tables import MOMENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

MONEY, MOMENTS = ("usd", "savings_usd", "reserved_usd"), ("period_from", "period_to", "from_at", "to_at")
SAME = tuple(name for name in LINES.names() if name not in {"invoice", "from_at", "to_at", "usd", "rows"})
"""Rows that are the same in these are one line."""
AGAIN = "nothing was imported; fetch the file again"


def read_bill(path: Path, now: datetime) -> pl.DataFrame:
    """LINES of a bill, one per thing that was billed; `run`, `resource` and `role` as its tags say.  Raises SpecError.

    now: a file that has no invoice ids counts as final once its period is over.
    """
    rows = _read(path)
    columns = _columns(rows.columns, path)
    tags = _tags(rows, path)
    missing = {name: pl.lit(None, dtype=pl.String) for name in OPTIONAL if name not in columns | tags}
    found = rows.select(**{field: pl.col(name) for field, name in columns.items()}, **tags, **missing)
    if "provider" not in columns:
        found = found.with_columns(provider=pl.lit("aws"))
    return _lines(_checked(found, path, columns), now, has_invoices="invoice" in columns)


def _read(path: Path) -> pl.DataFrame:
    try:
        rows = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
    except OSError as error:
        raise SpecError(f"{path}: can't be read: {error.strerror or error}") from error
    except pl.exceptions.PolarsError as error:
        where = _ragged(path) or "is no whole CSV or Parquet file"
        raise SpecError(f"{path}{where}", hint=AGAIN) from error
    if rows.is_empty():
        raise SpecError(f"{path}: holds no rows", hint=AGAIN)
    return rows


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line on which it begins, fields) of each record of a CSV, the header first."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        reader, line = csv.reader(text.decode("utf-8", "replace") for text in stream), 1
        for record in reader:
            yield line, record
            line = reader.line_num + 1


def _ragged(path: Path) -> str:
    """`:17: has 12 fields, the header 13`; empty if that is not what is wrong."""
    with contextlib.suppress(OSError, csv.Error):
        records = _records(path)
        _, header = next(records, (1, []))
        for line, record in records:
            if len(record) != len(header) and path.suffix != ".parquet":
                return f":{line}: has {len(record)} fields, the header {len(header)}"
    return ""


def _checked(rows: pl.DataFrame, path: Path, columns: dict[str, str]) -> pl.DataFrame:
    """The rows with money and moments as such.  Raises SpecError for the first value that is none, or missing."""
    rows = rows.with_columns(pl.col(pl.String).str.strip_chars().replace("", None))
    money = [pl.col(name).cast(EXACT, strict=False) for name in MONEY]
    read = rows.with_columns(*money, *(_moment(rows, name) for name in MOMENTS))
    checks = [(name, "amount", read[name].is_null() & (rows[name].is_not_null() | (name == "usd"))) for name in MONEY]
    checks += [(name, "moment", read[name].is_null()) for name in MOMENTS]
    checks += [
        ("account", "account", rows["account"].is_null()),
        ("currency", "currency", rows["currency"].ne_missing("USD")),
    ]
    for name, word, wrong in checks:
        number = wrong.arg_true().min()
        if isinstance(number, int):
            given = rows[name][number]
            what = (
                "is missing"
                if given is None
                else f"`{given}` is no {word}"
                if name != "currency"
                else f"is in {given}, not USD"
            )
            more = f" (so are {wrong.sum() - 1:,} more)" if wrong.sum() > 1 else ""
            raise SpecError(f"{path}:{_line(path, number)}: {columns[name]}: {what}{more}", hint=AGAIN)
    return read


def _moment(rows: pl.DataFrame, name: str) -> pl.Expr:
    if rows.schema[name] == pl.String:
        return pl.col(name).str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    naive = getattr(rows.schema[name], "time_zone", None) is None
    return pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC") if naive else pl.col(name).cast(MOMENT)


def _line(path: Path, number: int) -> str:
    """Where a row stands: the line of a CSV, the number of the row in Parquet."""
    if path.suffix == ".parquet":
        return f"row {number + 1}"
    return next((str(line) for place, (line, _) in enumerate(_records(path)) if place == number + 1), "?")


def _lines(rows: pl.DataFrame, now: datetime, *, has_invoices: bool) -> pl.DataFrame:
    """Rows of one thing added up; the invoice only of bills that are final: every row that costs anything has one."""
    account = pl.col("account").cast(pl.String)
    rows = rows.with_columns(_provider(), _kind(), _effective_usd(), account)
    month = pl.col("period_from").dt.strftime("%Y-%m")
    rows = rows.with_columns(bill=pl.format("{}/{}/{}", "provider", "account", month))
    invoice = pl.col("invoice").cast(pl.String)
    if not has_invoices:
        invoice = pl.when(pl.col("period_to") <= now).then(pl.format("of {}", month))
    final = (invoice.is_not_null() | (pl.col("usd") == 0)).all().over("bill")
    rows = rows.with_columns(
        invoice=pl.when(final).then(invoice.drop_nulls().first().over("bill")),
        description=pl.concat_str("service", "usage", separator=" ", ignore_nulls=True),
        resource=pl.col("resource"),
    )
    end = pl.max_horizontal(pl.col("to_at").max(), pl.col("from_at").max().dt.offset_by("1s"))
    lines = rows.group_by(*SAME, maintain_order=True).agg(
        pl.col("invoice").first(), pl.col("from_at").min(), to_at=end, usd=pl.col("usd").sum(), rows=pl.len()
    )
    return lines.select(LINES.names()).cast(LINES)


CUR = {
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
"""Our field → its column; fields with `?` may be missing.  Names of 2.0 (AWS Data Exports, table dictionary); legacy
ones (`lineItem/UnblendedCost`) differ in spelling only."""
FOCUS = {
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


def _columns(there: list[str], path: Path) -> dict[str, str]:
    """Our field → the file's column.  Raises SpecError for a file that lacks one."""
    kind = FOCUS if FOCUS["period_from"] in there else CUR
    plain = {_plain(name): name for name in there}
    found = {field.rstrip("?"): plain.get(_plain(name)) for field, name in kind.items()}
    for field, name in kind.items():
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


def _tags(rows: pl.DataFrame, path: Path) -> dict[str, pl.Expr]:
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


def _provider() -> pl.Expr:
    """aws, gcp, azure, or the provider's own name in small letters."""
    name = pl.col("provider").str.to_lowercase()
    known = [pl.when(name.str.contains(word, literal=True)).then(pl.lit(ours)) for word, ours in PROVIDERS.items()]
    return pl.coalesce(*known, name).alias("provider")


def _kind() -> pl.Expr:
    """Kind of resource by service and usage."""
    said = pl.concat_str("service", "usage", separator=" ", ignore_nulls=True)
    known = [pl.when(said.str.contains(word, literal=True)).then(pl.lit(kind)) for word, kind in KINDS.items()]
    return pl.coalesce(*known, pl.lit(OTHER_KIND)).alias("kind")


def _effective_usd() -> pl.Expr:
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
