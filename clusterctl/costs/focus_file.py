"""A FOCUS data set of what runs have cost, as CSV or Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import polars as pl
from sqlalchemy import Text, cast, select

from clusterctl.costs.load import frame, in_plan, read_charges, read_lines, read_use, tag
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.ledger_tables import PLANS, RESOURCES, RUNS
from clusterctl.specfile.write import write_atomic
from clusterctl.store.source import TelemetrySource
from clusterctl.ui.csv_text import csv_text
from planners.costs.allocate import allocate
from planners.costs.cost_tables import PARTS
from planners.costs.focus import ATTRIBUTES, INVOICES, focus
from planners.costs.focus import RUNS as PLANNED
from planners.costs.spend import within

TAGS = {"region": "region", "zone": "zone", "sku": "instance-type", "gpus": "gpus"}
"""Attribute of a resource → the tag that says it."""


def focus_rows(
    ledger: Ledger,
    source: TelemetrySource,
    version: str,
    *,
    run: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows (`planners.costs.focus`), and the resources that are left out: FOCUS knows no unknown price."""
    charges = within(read_charges(ledger, run=run, since=since, until=until), since, until)
    months = [within(charges, start, end) for start, end in _months(charges)]
    parts = pl.concat([pl.DataFrame(schema=PARTS), *(allocate(paid, read_use(source, paid)) for paid in months)])
    unpriced = parts.filter(pl.col("usd").is_null())["resource"].unique().sort()
    rows = focus(
        parts, attributes=_attributes(ledger), invoices=_invoices(ledger), runs=_planned(ledger), version=version
    )
    return rows, tuple(unpriced)


def focus_bytes(rows: pl.DataFrame, *, parquet: bool) -> bytes:
    if not parquet:
        return csv_text(rows).encode()
    content = io.BytesIO()
    rows.write_parquet(content)
    return content.getvalue()


def write_focus(rows: pl.DataFrame, path: Path) -> None:
    """Writes the whole file or none: Parquet if its name ends so, else CSV.  Raises ClusterctlError."""
    write_atomic(path, focus_bytes(rows, parquet=path.suffix == ".parquet"))


def _months(charges: pl.DataFrame) -> Iterator[tuple[datetime, datetime]]:
    """The calendar months, in UTC, that the charges touch: a charge may not cross a billing period."""
    if charges.is_empty():
        return
    first, last = charges.select(pl.col("from_at").min().dt.truncate("1mo"), pl.col("to_at").max()).row(0)
    starts = pl.datetime_range(first, last, "1mo", time_unit="us", time_zone="UTC", eager=True)
    yield from zip(starts, starts.dt.offset_by("1mo"), strict=True)


def _attributes(ledger: Ledger) -> pl.DataFrame:
    own = RESOURCES.c
    rows = frame(ledger, select(own.resource_id.label("resource"), own.address, cast(own.tags, Text).label("tags")))
    return (
        rows.with_columns(**{name: tag(word) for name, word in TAGS.items()})
        .select(ATTRIBUTES.names())
        .cast(ATTRIBUTES, strict=False)
    )


def _invoices(ledger: Ledger) -> pl.DataFrame:
    """INVOICES of what final bills cover, by the names that `planners.costs.invoices.settle` gives it."""
    lines = read_lines(ledger).filter(pl.col("invoice").is_not_null(), pl.col("run").is_not_null())
    lines = lines.with_columns(
        resource=pl.coalesce("resource", "address", "description"), month=pl.col("period_from").dt.truncate("1mo")
    )
    return lines.unique(["resource", "month"], keep="first", maintain_order=True).select(INVOICES.names())


def _planned(ledger: Ledger) -> pl.DataFrame:
    """The plan of every run; its dollars only if all of them are known."""
    query = select(
        RUNS.c.run_id.label("run"),
        RUNS.c.plan_id.label("plan"),
        in_plan(ledger, "usd", "p50").label("planned_usd"),
        in_plan(ledger, "at_least").label("at_least"),
    ).join_from(RUNS, PLANS, PLANS.c.plan_id == RUNS.c.plan_id, isouter=True)
    known = pl.col("at_least").is_in(["0", "false"])
    usd = pl.when(known).then(pl.col("planned_usd").cast(pl.Float64, strict=False).round(6))
    return frame(ledger, query).with_columns(planned_usd=usd).select(PLANNED.names()).cast(PLANNED)
