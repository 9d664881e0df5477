"""Reads a bill.  Every value is checked before anything is imported; the first wrong one is named by file, line and
field."""

from __future__ import annotations

import contextlib
import csv
import gzip
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.accounting import bill_format
from clusterctl.errors import SpecError
from planners.costs.invoices import EXACT, LINES
from planners.costs.tables import MOMENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

MONEY, MOMENTS = ("usd", "savings_usd", "reserved_usd"), ("period_from", "period_to", "from_at", "to_at")
THING = (
    "bill",
    "provider",
    "account",
    "period_from",
    "period_to",
    "run",
    "resource",
    "role",
    "address",
    "kind",
    "description",
)
"""Rows that agree in these are one line."""
AGAIN = "nothing was imported; fetch the file again"


def read_bill(path: Path, now: datetime) -> pl.DataFrame:
    """LINES of a bill, one per thing that was billed; `run`, `resource` and `role` as its tags say.  Raises SpecError.

    now: a file that has no invoice ids counts as final once its period is over.
    """
    rows = _read(path)
    columns = bill_format.columns_of(rows.columns, path)
    tags = bill_format.tags_of(rows, path)
    missing = {name: pl.lit(None, dtype=pl.String) for name in bill_format.OPTIONAL if name not in columns | tags}
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
    rows = rows.with_columns(bill_format.provider(), bill_format.kind_of_use(), bill_format.effective_usd(), account)
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
    lines = rows.group_by(*THING, maintain_order=True).agg(
        pl.col("invoice").first(), pl.col("from_at").min(), to_at=end, usd=pl.col("usd").sum(), rows=pl.len()
    )
    return lines.select(LINES.names()).cast(LINES)
