"""Reads a bill: an AWS Cost and Usage Report (2.0 or legacy) or a FOCUS file (1.0, 1.2).

Every value is checked before anything is imported; the first wrong one is named by file, line and field.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from clusterctl.costs.bill_file import AGAIN, BillFile, plain, read_file
from clusterctl.errors import SpecError
from planners.costs.cost_tables import MOMENT
from planners.costs.invoices import EXACT, LINES

MONEY, MOMENTS = ("usd", "savings_usd", "reserved_usd"), ("period_from", "period_to", "from_at", "to_at")
SAME = tuple(name for name in LINES.names() if name not in {"invoice", "from_at", "to_at", "usd", "rows"})
"""Rows that are the same in these are one line."""


def read_bill(path: Path, now: datetime) -> pl.DataFrame:
    """LINES of a bill, one per thing that was billed; `run`, `resource` and `role` as its tags say.  Raises SpecError.

    now: a file that has no invoice ids counts as final once its period is over.
    """
    file = read_file(path)
    rows = file.rows
    columns = _columns(rows.columns, path)
    tags = _tags(rows, path)
    missing = {name: pl.lit(None, dtype=pl.String) for name in OPTIONAL if name not in columns | tags}
    found = rows.select(**{field: pl.col(name) for field, name in columns.items()}, **tags, **missing)
    if "provider" not in columns:
        found = found.with_columns(provider=pl.lit("aws"))
    return _lines(_checked(file, found, columns, now), now, has_invoices="invoice" in columns)


FIRST_YEAR = 2006
"""Amazon's cloud opened; nothing was billed before."""
LONGEST_TERM = timedelta(days=4 * 366)
"""A commitment of three years, paid ahead, ends so long after its bill."""
LATEST_USE = timedelta(days=400)
"""Refunds, credits and corrections come so long after what they are of."""
MAX_PERIOD = timedelta(days=32)
MAX_USD = 10**12


def _checked(file: BillFile, rows: pl.DataFrame, columns: dict[str, str], now: datetime) -> pl.DataFrame:
    """The rows with money and moments as such.  Raises SpecError for the first value that is none, missing or can't be
    true."""
    rows = _scalars(rows, file.path, columns)
    money = [pl.col(name).cast(EXACT, strict=False) for name in MONEY]
    read = rows.with_columns(*money, *(_moment(rows, name) for name in MOMENTS))
    for name, problem, wrong in _problems(rows, read, now):
        number = wrong.arg_true().min()
        if isinstance(number, int):
            given = rows[name][number]
            what = "is missing" if given is None else problem.format(str(given)[:60])
            more = f" (so are {wrong.sum() - 1:,} more)" if wrong.sum() > 1 else ""
            raise SpecError(f"{file.where(number)}: {columns[name]}: {what}{more}", hint=AGAIN)
    return read


def _problems(rows: pl.DataFrame, read: pl.DataFrame, now: datetime) -> Iterator[tuple[str, str, pl.Series]]:
    """(field, what is wrong with a value, which rows have it)."""
    for name in MONEY:
        yield name, "`{}` is no amount", read[name].is_null() & (rows[name].is_not_null() | (name == "usd"))
    for name in MOMENTS:
        yield name, "`{}` is no moment", read[name].is_null()
    yield "account", "", rows["account"].is_null()
    yield "currency", "is in {}, not USD", rows["currency"].ne_missing("USD")
    for name in MONEY:
        yield name, f"`{{}}` is more than {MAX_USD:,} USD", read[name].abs().fill_null(0) > MAX_USD
    first, last = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), now + LONGEST_TERM
    for name in MOMENTS:
        yield name, f"`{{}}` is not between {FIRST_YEAR} and {last.year}", (read[name] < first) | (read[name] > last)
    since, until, begun, ended = (read[name] for name in MOMENTS)
    yield "period_to", "`{}` is no later than the period's start", until <= since
    yield "period_to", "`{}` is more than a month after the period's start", until - since > MAX_PERIOD
    yield "to_at", "`{}` is before what is billed began", ended < begun
    day = timedelta(days=1)
    yield "from_at", "`{}` is after the billing period", begun > until + day
    yield "from_at", "`{}` is more than a year before the billing period", begun < since - LATEST_USE


def _scalars(rows: pl.DataFrame, path: Path, columns: dict[str, str]) -> pl.DataFrame:
    """The rows with text stripped, and every column of a type that it may have.  Raises SpecError."""
    texts = []
    for name, dtype in rows.schema.items():
        is_moment = name in MOMENTS and isinstance(dtype, pl.Datetime | pl.Date)
        is_number = dtype.is_numeric() and name not in MOMENTS
        if not (is_moment or is_number or isinstance(dtype, pl.String | pl.Null | pl.Categorical | pl.Enum)):
            raise SpecError(f"{path}: {columns.get(name, name)}: is a column of {dtype}", hint=AGAIN)
        if not is_moment and not (is_number and name in MONEY):
            texts.append(pl.col(name).cast(pl.String))
    rows = rows.with_columns(texts)
    text = pl.col(pl.String).str.replace_all("\0", "\ufffd", literal=True)  # which PostgreSQL refuses
    return rows.with_columns(text.str.strip_chars().replace("", None))


def _moment(rows: pl.DataFrame, name: str) -> pl.Expr:
    if rows.schema[name] == pl.String:
        return pl.col(name).str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    naive = getattr(rows.schema[name], "time_zone", None) is None
    moment = pl.col(name).cast(pl.Datetime("us"), strict=False)
    return moment.dt.replace_time_zone("UTC") if naive else pl.col(name).cast(MOMENT, strict=False)


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
    spelt = Counter(plain(name) for name in there)
    by_name = {plain(name): name for name in there}
    for field, name in known.items():
        if spelt[plain(name)] > 1:
            raise SpecError(f"{path}: has the column {name} in {spelt[plain(name)]} spellings", hint=AGAIN)
        if field not in OPTIONAL and plain(name) not in by_name:
            near = get_close_matches(name, there, n=1)
            raise SpecError(
                f"{path}: has no column {name}" + (f"; is it `{near[0]}`?" if near else ""),
                hint="import an AWS Cost and Usage Report with resource ids, or a FOCUS 1.0 or 1.2 file",
            )
    return {field: by_name[plain(name)] for field, name in known.items() if plain(name) in by_name}


def _tags(rows: pl.DataFrame, path: Path) -> dict[str, pl.Expr]:
    """run, resource and role as the tags say: columns of their own (legacy reports), or all tags in one column."""
    found: dict[str, list[pl.Expr]] = {
        tag: [pl.col(name).cast(pl.String) for name in rows.columns if plain(name).endswith(OUR_TAG + tag)]
        for tag in TAGS
    }
    for name in (name for name in TAG_COLUMNS if name in rows.columns):
        text, dtype = pl.col(name), rows.schema[name]
        if not isinstance(dtype, pl.String | pl.Null) and not (
            isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct)
        ):
            raise SpecError(f"{path}: {name}: is a column of {dtype}, not of tags", hint=AGAIN)
        if isinstance(dtype, pl.List):
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
        by_name = {plain(key): str(value) for key, value in pairs}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise SpecError(f"{path}: field {name}: `{text[:60]}` is no JSON object", hint="fetch the file again") from None
    return {tag: value for tag in TAGS for key, value in by_name.items() if key.endswith(OUR_TAG + tag)}


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
