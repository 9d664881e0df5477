"""Imported bills: match lines to resources, compare estimated with billed, and set charges to what was billed."""

from __future__ import annotations

import polars as pl

from planners.costs.cost_tables import BILLED, CHARGES, MOMENT, PRICE, USD, text
from planners.costs.rounding import prorate
from planners.costs.spend import within
from planners.runs.limits import REPORTED

EXACT = pl.Decimal(38, 12)
"""Clouds bill fractions of a millionth."""

LINES = pl.Schema(
    text("bill", "provider", "account", "invoice")
    | {"period_from": MOMENT, "period_to": MOMENT}
    | text("run", "resource", "role", "address", "kind", "description")
    | {"from_at": MOMENT, "to_at": MOMENT, "usd": EXACT, "rows": pl.Int64}
)
"""What a bill says of one thing: `address` is its id at the provider; `run` and `resource` are ours, null =
unmatched; `invoice` is null while the bill is not final; `rows` of the file were added up."""


def match_lines(lines: pl.DataFrame, resources: pl.DataFrame, runs: pl.Series) -> pl.DataFrame:
    """The lines with `run` and `resource` as the ledger knows them.

    lines: `run` and `resource` are what the bill's tags say.  resources: resource, run, address, kind.  A line belongs
    to the resource that its tag names; else to that with its address, or with the last part of it (an ARN); else to the
    run that its tag names, and there to what the job reported of its kind, if that is one thing.
    """
    known = resources.drop_nulls("address").unique("address", keep="last", maintain_order=True)
    found = lines.with_columns(last=pl.col("address").str.split("/").list.last())
    tagged = resources.select("resource", tag_run="run", tagged="resource")
    found = found.join(tagged, on="resource", how="left")
    for key, name in (("address", "same"), ("last", "end")):
        by_address = known.select(pl.col("address").alias(key), **{name: "resource", f"{name}_run": "run"})
        found = found.join(by_address, on=key, how="left")
    tag = pl.when(pl.col("run").is_in(runs.implode())).then("run")
    found = found.with_columns(run=pl.coalesce("tag_run", "same_run", "end_run", tag))
    single = pl.len().over("run", "kind") == 1
    reported = resources.filter(pl.col("kind").is_in(list(REPORTED)) & single).select("run", "kind", only="resource")
    found = found.join(reported, on=["run", "kind"], how="left")
    return found.with_columns(resource=pl.coalesce("tagged", "same", "end", "only")).select(LINES.names())


def settle(charges: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Charges in which what a final bill covers costs what it says, with status billed.

    A resource's billed dollars of a period are spread over its charges in the period by time; exact.  What the bill has
    for a run beyond its charges becomes a charge of its own.  `charges` must hold all charges of the lines' resources.
    """
    lines = lines.filter(pl.col("invoice").is_not_null() & pl.col("run").is_not_null())
    source = pl.format("invoice {} of {}", "invoice", "provider")
    for period_from, period_to in lines.select("period_from", "period_to").unique().sort("period_from").rows():
        mine = lines.filter(pl.col("period_from") == period_from, pl.col("period_to") == period_to)
        by_resource = mine.group_by("resource").agg(
            whole=pl.col("usd").sum().round(6).cast(USD), paid_as=source.first()
        )
        touched = charges.join(by_resource, on="resource", how="semi")
        inside = within(touched, period_from, period_to).join(by_resource, on="resource")
        seconds = (pl.col("to_at") - pl.col("from_at")).dt.total_microseconds() / 1e6
        inside = prorate(inside.with_columns(seconds=seconds), total="whole", weight="seconds", over="resource")
        rate = pl.col("usd").cast(pl.Float64) * 3600 / pl.col("seconds")
        hourly = pl.when(pl.col("unit").is_null()).then(rate.round(12).cast(PRICE))
        inside = inside.with_columns(usd_per_hour=hourly, source="paid_as", status=pl.lit(BILLED))
        beyond = mine.join(inside, on="resource", how="anti").with_columns(
            resource=pl.coalesce("resource", "address", "description"),
            usd=pl.col("usd").round(6).cast(USD),
            source=source,
            status=pl.lit(BILLED),
        )
        rest = [within(touched, None, period_from), within(touched, period_to, None)]
        others = charges.join(by_resource, on="resource", how="anti")
        frames = [others, inside.select(CHARGES.names()), _as_charges(beyond, charges), *rest]
        charges = pl.concat(frame.cast(CHARGES) for frame in frames)
    return charges


def _as_charges(lines: pl.DataFrame, charges: pl.DataFrame) -> pl.DataFrame:
    teams = charges.select("run", "team").unique("run")
    missing = {name: pl.lit(None) for name in CHARGES.names() if name not in lines.columns and name != "team"}
    return lines.join(teams, on="run", how="left").with_columns(**missing).select(CHARGES.names())


def reconcile(charges: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """By run: run, estimated_usd (null = a resource has no known price), known_usd (the known part of it), unpriced
    (how many resources have no known price), billed_usd, difference_usd (billed - estimated, null = unknown), missing
    (resources with a cost that the bill does not have).

    charges: estimates within the bill's period and of its provider.  Runs that one side lacks are there, with 0.
    """
    billed = lines.filter(pl.col("run").is_not_null())
    missing = charges.join(billed.drop_nulls("resource"), on="resource", how="anti").filter(pl.col("usd") > 0)
    none = pl.col("usd").is_null()
    ours = charges.group_by("run").agg(
        known_usd=pl.col("usd").sum(), unpriced=pl.col("resource").filter(none).n_unique()
    )
    theirs = billed.group_by("run").agg(billed_usd=pl.col("usd").sum().round(6).cast(USD))
    gone = missing.group_by("run").agg(missing=pl.col("resource").unique().sort())
    rows = ours.join(theirs, on="run", how="full", coalesce=True).join(gone, on="run", how="left")
    rows = rows.with_columns(
        pl.col("known_usd", "billed_usd").fill_null(pl.lit(0).cast(USD)),
        pl.col("unpriced").fill_null(0),
        pl.col("missing").fill_null([]),
    )
    rows = rows.with_columns(estimated_usd=pl.when(pl.col("unpriced") == 0).then("known_usd"))
    rows = rows.with_columns(difference_usd=pl.col("billed_usd") - pl.col("estimated_usd"))
    columns = ("run", "estimated_usd", "known_usd", "unpriced", "billed_usd", "difference_usd", "missing")
    return rows.select(columns).sort("billed_usd", "run", descending=[True, False])
