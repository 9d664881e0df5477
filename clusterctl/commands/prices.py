"""`clusterctl prices`: look into the price book, check it, refresh it, extend it."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from typer import Argument, Option

from clusterctl.catalog import show
from clusterctl.catalog.price_book import PriceBook, load_book
from clusterctl.catalog.query import Filters, SortBy, comparison, listing, series
from clusterctl.errors import PriceError, SpecError
from clusterctl.ui.csv_text import csv_text
from clusterctl.ui.formats import count
from clusterctl.ui.streams import emit, emit_data, emit_json
from clusterctl.ui.terminal import terminal

app = typer.Typer(help="Query, check, refresh and extend the price book.", no_args_is_help=True)


def _split(values: list[str] | None) -> list[str]:
    """Options may be repeated, and hold several values with commas between them."""
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]


def _several(name: str, text: str) -> Any:  # any: what typer calls its options is private
    return Option(name, callback=_split, help=text)


Clouds = Annotated[list[str] | None, _several("--cloud", "aws, lambda, ...; repeatable, or comma-separated.")]
Regions = Annotated[list[str] | None, _several("--region", "Region; repeatable, or comma-separated.")]
Gpus = Annotated[list[str] | None, _several("--gpu", "GPU, such as H100; repeatable, or comma-separated.")]
Instances = Annotated[list[str] | None, _several("--instance", "Instance type; `*` matches any text.")]
CAPACITIES = "on_demand, spot, reserved_1y, reserved_3y, capacity_block."
Capacities = Annotated[list[str] | None, _several("--capacity", CAPACITIES)]
MinGpus = Annotated[float | None, Option("--min-gpus", min=0, help="Minimum number of GPUs per machine.")]
Limit = Annotated[
    int | None, Option("--limit", min=1, help="Maximum number of rows (default: 20 in a table; all in JSON and CSV).")
]
Book = Annotated[Path | None, Option("--book", help="Price book folder instead of the current one.")]
AsJson = Annotated[bool, Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, Option("--csv", help="Print CSV.")]


@app.command("list")
def list_prices(
    *,
    cloud: Clouds = None,
    region: Regions = None,
    gpu: Gpus = None,
    instance: Instances = None,
    capacity: Capacities = None,
    min_gpus: MinGpus = None,
    sort: Annotated[SortBy, Option(help="Order of the rows.")] = "price",
    limit: Limit = None,
    book: Book = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List offers: $/h, $/GPU-h, age of the price."""
    opened = load_book(book)
    filters = Filters(cloud=cloud, region=region, gpu=gpu, instance=instance, capacity=capacity, min_gpus=min_gpus)
    rows = listing(opened, filters, today=_today(), sort=sort)
    _print(rows, opened, limit=limit, as_json=as_json, as_csv=as_csv)


@app.command("compare")
def compare_prices(
    gpus: Annotated[
        list[str], Argument(help="GPUs to compare, such as H100 H200.", callback=_split, show_default=False)
    ],
    *,
    cloud: Clouds = None,
    region: Regions = None,
    capacity: Capacities = None,
    min_gpus: MinGpus = None,
    limit: Limit = None,
    book: Book = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Compare the prices of GPUs by region, cheapest first."""
    opened = load_book(book)
    filters = Filters(cloud=cloud, region=region, gpu=gpus, capacity=capacity, min_gpus=min_gpus)
    rows = comparison(listing(opened, filters, today=_today(), sort="gpu-price"))
    _print(rows, opened, limit=limit, as_json=as_json, as_csv=as_csv, compare=True)


@app.command("history")
def price_history(
    instance: Annotated[str, Argument(help="Instance type, such as p5.48xlarge.", show_default=False)],
    *,
    cloud: Clouds = None,
    region: Regions = None,
    capacity: Capacities = None,
    limit: Limit = None,
    book: Book = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show an instance type's price over time."""
    rows = series(load_book(book), instance, Filters(cloud=cloud, region=region, capacity=capacity))
    if as_json:
        text = show.as_json({"schema": show.SCHEMA, "num_prices": rows.height, "prices": rows.to_dicts()})
    elif as_csv:
        text = csv_text(rows)
    else:
        text = show.history_table(rows, terminal(), limit=limit)
    (emit_json if as_json else emit)(text)


@app.command("check")
def check_prices(*, book: Book = None, as_json: AsJson = False) -> None:
    """Check every row of the book.

    Exit code 4 if a rule is broken; notes do not count.
    """
    from clusterctl.catalog.check_book import check_book
    from clusterctl.catalog.lookup import load_gpus

    findings = check_book(load_book(book).frames(), known_gpus=load_gpus().keys(), today=_today())
    if as_json:
        report = {"schema": show.SCHEMA, "findings": [asdict(finding) for finding in findings]}
        emit_json(show.as_json(report))
    else:
        emit(show.check_table(findings, terminal()))
    broken = [finding.rule for finding in findings if finding.level == "broken"]
    if broken:
        raise PriceError(
            f"the price book breaks {count(len(broken), 'rule')}: {', '.join(broken)}",
            hint="run `clusterctl prices refresh`, or delete the refreshed book to use the embedded one",
        )


@app.command("refresh")
def refresh_prices(
    *,
    cloud: Clouds = None,
    region: Regions = None,
    out: Annotated[Path | None, Option(help="Write the book to this folder instead.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Read and compare, write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read today's prices from the clouds.

    Writes a dated book beside the embedded one and shows what changed.

    AWS and Azure need no account; Google needs an API key in GOOGLE_API_KEY and is left out without one unless it is
    requested.  After a failure the old book is unchanged (exit code 4); run the command again to continue.
    """
    from clusterctl.catalog.refresh.refresh_book import refresh
    from clusterctl.catalog.show import report_json, report_text

    clouds, notes = _clouds_to_refresh(cloud or [])
    report = refresh(clouds, regions=region or None, out=out, dry_run=dry_run, now=datetime.now(UTC))
    emit_json(report_json(report, notes)) if as_json else emit(report_text(report, notes, terminal()))


@app.command("import")
def import_prices(
    file: Annotated[Path, Argument(help="CSV file of offers; docs/prices.md has its columns.", show_default=False)],
    *,
    out: Annotated[Path | None, Option(help="Write the book to this folder instead.")] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Read and compare, write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take offers from a CSV file into the price book.

    Writes a dated book in which they replace the prices of the same machines: any cloud, each price with its source
    and date. A run spec that names the cloud under fleet.targets then plans with them.
    """
    from clusterctl.catalog.refresh.refresh_book import import_offers
    from clusterctl.catalog.show import report_json, report_text

    report = import_offers(file, now=datetime.now(UTC), out=out, dry_run=dry_run)
    emit_json(report_json(report, ())) if as_json else emit(report_text(report, (), terminal()))


def _clouds_to_refresh(asked: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """The clouds, and a note when one is left out because nobody asked for it and it needs a key."""
    from clusterctl.catalog.refresh.endpoint import BASE_URLS, KEY_VARIABLE

    strange = [name for name in asked if name not in BASE_URLS]
    if strange:
        raise SpecError(f"--cloud: prices of `{strange[0]}` cannot be refreshed", hint=f"known: {', '.join(BASE_URLS)}")
    if asked:
        return list(dict.fromkeys(asked)), ()
    if os.environ.get(KEY_VARIABLE):
        return list(BASE_URLS), ()
    note = f"gcp not refreshed: its price list needs an API key in {KEY_VARIABLE}"
    return [name for name in BASE_URLS if name != "gcp"], (note,)


def _print(
    rows: pl.DataFrame, book: PriceBook, *, limit: int | None, as_json: bool, as_csv: bool, compare: bool = False
) -> None:
    if as_json and as_csv:
        raise SpecError("--json and --csv exclude each other", hint="give one of them")
    if as_json:
        text = show.offers_json(rows, book.priced_at, limit=limit)
    elif as_csv:
        text = csv_text(rows if limit is None else rows.head(limit))
    else:
        text = show.offers_table(rows, book.priced_at, terminal(), limit=limit, compare=compare)
    (emit_json if as_json else emit_data if as_csv else emit)(text)


def _today() -> date:
    return datetime.now(UTC).date()
