"""Charges from the ledger and use from a telemetry store, as the frames that `planners.costs` works on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import JSON, ColumnElement, Select, Text, cast, func, or_, select, type_coerce

from clusterctl.ledger.column_types import YEARS
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.ledger_tables import BILL_LINES, BILLS, COSTS, PLANS, RESOURCES, RUNS
from clusterctl.store.source import TelemetrySource
from clusterctl.targets.base import TAG_PREFIX
from planners.costs.cost_tables import CHARGES, ESTIMATE, GPU_USAGE, MOMENT, PRICE, USD
from planners.costs.invoices import LINES, settle
from planners.runs.limits import MACHINE

STEPS_SECONDS = (10, 60, 600)
MOST_ROWS = 600_000
"""Of use in memory, a day of 8 machines every 10 s; a longer time or a larger fleet is read in coarser steps.  About 60
MB, and half a second to allocate."""
GPUS_PER_NODE = 8
"""To guess how many rows a node has: as many as the usual machines carry."""
_YEARS = (YEARS[0], YEARS[-1])
TAGS = ("node", "gpus", "capacity-type", "reservation", "nodes", "unit")
"""Of a resource: columns of CHARGES."""
NUMBERS, MOMENTS = {"nodes", "gpus"}, {"from_at", "to_at", "period_from", "period_to"}


def read_charges(
    ledger: Ledger,
    *,
    run: str | Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.DataFrame:
    """CHARGES of one run, of several or of all, those that touch the time between `since` and `until`, uncut; what a
    final bill covers at what it says."""
    lines = read_lines(ledger, run=run)
    return settle(read_estimates(ledger, run=run, since=since, until=until), lines)


def read_estimates(
    ledger: Ledger,
    *,
    run: str | Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.DataFrame:
    """CHARGES at the prices that the ledger knows.  All charges of resources that a bill has, whatever their time."""
    costs, made = COSTS.c, RESOURCES.c
    query = select(
        costs.run_id.label("run"),
        costs.resource_id.label("resource"),
        *_moments(costs.from_at, costs.to_at),
        *_texts(costs.usd_per_hour, costs.usd, costs.quantity, made.tags, RUNS.c.labels),
        *(costs.source, made.role, made.kind, made.provider, made.address),
    ).join_from(COSTS, RESOURCES, made.resource_id == costs.resource_id)
    query = query.join(RUNS, RUNS.c.run_id == costs.run_id).where(*_wanted(run, since, until))
    rows = frame(ledger, query)
    own = {name.replace("-", "_"): tag(name) for name in TAGS}
    with explained(ledger):
        return (
            rows.with_columns(
                usd_per_hour=pl.col("usd_per_hour").cast(PRICE),
                usd=pl.col("usd").cast(USD),
                team=pl.col("labels").str.json_path_match("$.team"),
                status=pl.lit(ESTIMATE),
                **{
                    name: value.cast(pl.Int32, strict=False) if name in NUMBERS else value
                    for name, value in own.items()
                },
            )
            .with_columns(
                node=pl.coalesce("node", pl.when(pl.col("kind") == MACHINE).then("address")),
                unit=pl.when(pl.col("quantity").is_not_null()).then("unit"),
            )
            .select(CHARGES.names())
            .cast(CHARGES)
            .sort("run", "resource", "from_at")
        )


def first_charge(ledger: Ledger) -> datetime | None:
    """When the first charge of the ledger began."""
    return ledger.transact(lambda connection: connection.execute(select(func.min(COSTS.c.from_at))).scalar())


def read_use(source: TelemetrySource, charges: pl.DataFrame) -> pl.DataFrame:
    """GPU_USAGE of the charges' machines, while they were paid."""
    machines = charges.filter(pl.col("node").is_not_null(), pl.col("gpus").fill_null(1) > 0)
    if machines.is_empty():
        return pl.DataFrame(schema=GPU_USAGE)
    nodes = machines["node"].unique().to_list()
    start, end = machines.select(pl.col("from_at").min(), pl.col("to_at").max()).row(0)
    seconds = (end - start).total_seconds()
    fine = [step for step in STEPS_SECONDS if len(nodes) * GPUS_PER_NODE * seconds / step <= MOST_ROWS]
    rows = source.read(
        "gpu",
        start=start,
        end=end,
        step_seconds=min(fine, default=STEPS_SECONDS[-1]),
        nodes=nodes,
        columns=[name for name in GPU_USAGE.names() if name != "at"],
    )
    return rows.select(GPU_USAGE.names()).cast(GPU_USAGE)


def in_plan(ledger: Ledger, *path: str) -> ColumnElement[str]:
    """A value within the stored plans, as text, read by the database: plans are large."""
    if ledger.file is not None:
        return cast(func.json_extract(PLANS.c.content, f"$.{'.'.join(path)}"), Text)
    return func.json_extract_path_text(cast(PLANS.c.content, JSON), *path)


def _of(column: ColumnElement[Any], run: str | Sequence[str]) -> ColumnElement[bool]:
    return column == run if isinstance(run, str) else column.in_(run)


def _wanted(
    run: str | Sequence[str] | None, since: datetime | None, until: datetime | None
) -> list[ColumnElement[bool]]:
    billed = COSTS.c.resource_id.in_(select(BILL_LINES.c.resource_id).where(BILL_LINES.c.resource_id.is_not(None)))
    found = [] if run is None else [_of(COSTS.c.run_id, run)]
    if since is not None:
        found.append(or_(COSTS.c.to_at > since, billed))
    if until is not None:
        found.append(or_(COSTS.c.from_at < until, billed))
    return found


def read_lines(ledger: Ledger, *, run: str | Sequence[str] | None = None) -> pl.DataFrame:
    """LINES of the imported bills: those of a run, of several, or all."""
    bills, lines = BILLS.c, BILL_LINES.c
    query = select(
        *(bills.bill_id.label("bill"), bills.provider, bills.account, bills.invoice),
        *_moments(bills.period_from, bills.period_to, lines.from_at, lines.to_at),
        *(lines.run_id.label("run"), lines.resource_id.label("resource")),
        *(lines.role, lines.address, lines.kind, lines.description),
        *_texts(lines.usd, lines.rows),
    ).join_from(BILLS, BILL_LINES, lines.bill_id == bills.bill_id)
    rows = frame(ledger, query if run is None else query.where(_of(lines.run_id, run)))
    with explained(ledger):
        return rows.select(LINES.names()).cast(LINES)


def tag(name: str) -> pl.Expr:
    """A tag of ours, of a resource whose column `tags` is JSON."""
    return pl.col("tags").str.json_path_match(f"$['{TAG_PREFIX}/{name}']")


def _texts(*columns: ColumnElement[Any]) -> list[ColumnElement[str]]:
    """The columns as the database writes them: exact amounts, JSON."""
    return [cast(column, Text).label(column.key) for column in columns]


def _moments(*columns: ColumnElement[Any]) -> list[ColumnElement[str]]:
    """Moments as the driver gives them: SQLite keeps them as text."""
    return [type_coerce(column, Text).label(column.key) for column in columns]


def frame(ledger: Ledger, query: Select[Any]) -> pl.DataFrame:
    """Rows as a frame of text, and of MOMENTS; SQLAlchemy's types would cost seconds for 100,000 runs."""
    names = [str(column.key) for column in query.selected_columns]
    plain = query.with_only_columns(*(type_coerce(column, Text).label(column.key) for column in query.selected_columns))
    rows = ledger.transact(lambda connection: [tuple(row) for row in connection.execute(plain).all()])
    schema = {name: None if name in MOMENTS else pl.String for name in names}
    moments = [name for name in names if name in MOMENTS]
    with explained(ledger):
        found = pl.DataFrame(rows, schema=schema, orient="row", infer_schema_length=None)
        texts = pl.col(name for name in moments if found.schema[name] == pl.String)
        found = found.with_columns(texts.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", time_zone="UTC"))
        found = found.with_columns(pl.col(moments).cast(MOMENT))
        if moments and not found.select(pl.all_horizontal(pl.col(moments).dt.year().is_between(*_YEARS).all())).item():
            raise ValueError("a moment is of another century")
    return found


@contextmanager
def explained(ledger: Ledger) -> Iterator[None]:
    """Turn what reading damaged values raises into a StateError."""
    try:
        yield
    except (pl.exceptions.PolarsError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ledger.damaged(ValueError(str(error).partition("\n")[0][:200])) from error
