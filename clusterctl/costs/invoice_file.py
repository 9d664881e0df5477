"""Reads a bill: an AWS Cost and Usage Report (2.0 or legacy) or a FOCUS file (1.0, 1.2).

Every value is checked before anything is imported; the first wrong one is named by file, line and field.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from clusterctl.errors import SpecError
from planners.costs.cost_tables import MOMENT
from planners.costs.invoices import EXACT, LINES

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
    checks += [("account", "account", rows["account"].is_null())]
    checks += [("currency", "currency", rows["currency"].ne_missing("USD"))]
    for name, word, wrong in checks:
        number = wrong.arg_true().min()
        if isinstance(number, int):
            given = rows[name][number]
            what = f"is in {given}, not USD" if name == "currency" else f"`{given}` is no {word}"
            what = "is missing" if given is None else what
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
    provider = pl.col("provider").str.to_lowercase()
    service = pl.concat_str("service", "usage", separator=" ", ignore_nulls=True)
    rows = rows.with_columns(
        _effective_usd(),
        pl.col("account").cast(pl.String),
        provider=_translated(provider, WORDS["providers"], provider),
        kind=_translated(service, WORDS["kinds"], pl.lit("other")),
        description=service,
    )
    month = pl.col("period_from").dt.strftime("%Y-%m")
    rows = rows.with_columns(bill=pl.format("{}/{}/{}", "provider", "account", month))
    invoice = pl.col("invoice").cast(pl.String)
    if not has_invoices:
        invoice = pl.when(pl.col("period_to") <= now).then(pl.format("of {}", month))
    final = (invoice.is_not_null() | (pl.col("usd") == 0)).all().over("bill")
    rows = rows.with_columns(invoice=pl.when(final).then(invoice.drop_nulls().first().over("bill")))
    end = pl.max_horizontal(pl.col("to_at").max(), pl.col("from_at").max().dt.offset_by("1s"))
    lines = rows.group_by(*SAME, maintain_order=True).agg(
        pl.col("invoice").first(), pl.col("from_at").min(), to_at=end, usd=pl.col("usd").sum(), rows=pl.len()
    )
    return lines.select(LINES.names()).cast(LINES)


TAG_COLUMNS = ("resource_tags", "tags", "Tags")
"""Columns that hold all tags of a row: JSON in CSV, a map or JSON in Parquet."""
TAGS = ("run", "resource", "role")
OUR_TAG = "clusterctldev"
"""`clusterctl.dev/` as any cloud spells it: `user:clusterctl.dev/`, `user_clusterctl_dev_`, `clusterctl-dev_`."""
OPTIONAL = ("invoice", "address", "item", "savings_usd", "reserved_usd", *TAGS)
"""Fields that a bill may lack."""
WORDS: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("bill_columns.toml").read_text("utf-8"))


def _columns(there: list[str], path: Path) -> dict[str, str]:
    """Our field → the file's column.  Raises SpecError for a file that lacks one."""
    known = WORDS["focus" if WORDS["focus"]["period_from"] in there else "cur"]
    plain = {_plain(name): name for name in there}
    for field, name in known.items():
        if field not in OPTIONAL and _plain(name) not in plain:
            near = get_close_matches(name, there, n=1)
            raise SpecError(
                f"{path}: has no column {name}" + (f"; is it `{near[0]}`?" if near else ""),
                hint="import an AWS Cost and Usage Report with resource ids, or a FOCUS 1.0 or 1.2 file",
            )
    return {field: plain[_plain(name)] for field, name in known.items() if _plain(name) in plain}


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
            values = {whole: tags.get(tag) for whole, tags in said.items()}
            given.append(text.replace_strict(values, default=None, return_dtype=pl.String))
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


def _translated(text: pl.Expr, words: dict[str, str], otherwise: pl.Expr) -> pl.Expr:
    """The translation of the first word that the text contains."""
    known = [pl.when(text.str.contains(word, literal=True)).then(pl.lit(ours)) for word, ours in words.items()]
    return pl.coalesce(*known, otherwise)


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
