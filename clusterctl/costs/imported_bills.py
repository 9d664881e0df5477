"""Imports bills into the ledger and sets them beside what was estimated, for people and programs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import select

from clusterctl.costs.invoice_file import SAME, read_bill
from clusterctl.costs.load import frame, read_estimates, read_lines
from clusterctl.costs.page import MOST_LINES, NOBODY, rows_of
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.ledger_tables import RESOURCES, RUNS
from clusterctl.ledger.rows import ImportedBill, ImportedLine
from clusterctl.ui.formats import UNKNOWN, charged_usd, exact_usd, signed_percent
from clusterctl.ui.spans import Line, Span, Style, clean, line
from clusterctl.ui.table import Cell, Column, cell, draw, right
from planners.costs.invoices import LINES, match_lines, reconcile
from planners.costs.spend import within


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """One bill beside our estimates of its month and provider."""

    bill: ImportedBill
    runs: pl.DataFrame
    """As `planners.costs.invoices.reconcile` gives them: by run estimated, billed, difference, and what is missing."""
    unmatched: pl.DataFrame
    """LINES without a run of ours: with an address if a tag names a run that the ledger does not know."""


def import_bills(ledger: Ledger, files: Sequence[Path], now: datetime) -> tuple[str, ...]:
    """Imports the files, which together hold whole months; returns the ids of the bills that changed.

    A bill is an account's month: imported again it is replaced, and the same content changes nothing.  Raises
    SpecError for a file that can't be read or holds a wrong value; nothing is imported then.
    """
    lines = pl.concat([read_bill(file, now) for file in files])
    of_resource = (RESOURCES.c.resource_id.label("resource"), RESOURCES.c.run_id.label("run"))
    resources = select(*of_resource, RESOURCES.c.address, RESOURCES.c.kind)
    runs = frame(ledger, select(RUNS.c.run_id.label("run")))["run"]
    found = match_lines(lines, frame(ledger, resources), runs)
    strange = found["run"].is_null() & lines["run"].is_null()
    found = found.with_columns(address=pl.when(~strange).then("address"), role=pl.when(~strange).then("role"))
    found = found.group_by(*SAME, maintain_order=True).agg(
        pl.col("from_at").min(), pl.col("to_at").max(), pl.col("usd", "rows").sum(), pl.col("invoice").first()
    )
    return ledger.put_bills(
        dict(
            _stored(rows, ", ".join(file.name for file in files), now)
            for rows in found.sort(*SAME).partition_by("bill", maintain_order=True)
        )
    )


def _stored(rows: pl.DataFrame, files: str, now: datetime) -> tuple[ImportedBill, list[ImportedLine]]:
    """One bill and its lines as the ledger keeps them."""
    first, digest = rows.row(0, named=True), hashlib.sha256(rows.select(LINES.names()).write_csv().encode())
    of_bill = {name: first[name] for name in ("provider", "account", "period_from", "period_to", "invoice")}
    bill = ImportedBill(bill_id=first["bill"], files=files, imported_at=now, digest=digest.hexdigest(), **of_bill)
    columns = rows.select(
        *("role", "address", "kind", "description", "from_at", "to_at", "usd", "rows"),
        bill_id="bill",
        run_id="run",
        resource_id="resource",
        line=pl.int_range(1, pl.len() + 1),
    )
    return bill, [ImportedLine(**row) for row in columns.iter_rows(named=True)]


def reconciled(ledger: Ledger) -> tuple[Reconciled, ...]:
    """Every imported bill beside our estimates, the newest month first."""
    bills, found = ledger.bills(), []
    if not bills:
        return ()
    since, until = min(bill.period_from for bill in bills), max(bill.period_to for bill in bills)
    lines, estimates = read_lines(ledger), read_estimates(ledger, since=since, until=until)
    for bill in bills:
        mine = lines.filter(pl.col("bill") == bill.bill_id)
        ours = within(estimates.filter(pl.col("provider") == bill.provider), bill.period_from, bill.period_to)
        unmatched = mine.filter(pl.col("run").is_null()).sort("usd", descending=True)
        found.append(Reconciled(bill=bill, runs=reconcile(ours, mine), unmatched=unmatched))
    return tuple(found)


UNMATCHED_SHOWN = 5
"""Lines of a bill that are not ours, shown before the rest is one line."""


def bill_lines(found: Reconciled, columns: int) -> list[Line]:
    """The bill for a terminal of so many columns."""
    bill = found.bill
    not_final = "not final: no invoice yet, so its runs stay estimates"
    standing = f"invoice {clean(bill.invoice)}" if bill.invoice else not_final
    out = [line(Span(clean(bill.bill_id), Style.STRONG), f"   {standing}"), []]
    rows: list[list[Cell]] = [
        [clean(run["run"].item()), *_amounts(run)] for run in found.runs.head(MOST_LINES).iter_slices(1)
    ]
    rest = found.runs.slice(MOST_LINES)
    if rest.height:
        rows.append([f"{rest.height:,} more", *_amounts(rest)])
    rows.append([cell("total", Style.STRONG), *_amounts(found.runs)])
    out += draw(["run", *map(right, ("estimated", "billed", "difference", ""))], rows, columns)
    missing = found.runs["missing"].explode().drop_nulls()
    if missing.len():
        names = ", ".join(map(clean, missing.head(UNMATCHED_SHOWN))) + (" …" if missing.len() > UNMATCHED_SHOWN else "")
        out.append(line(Span(f"  estimated, and not on the bill ({missing.len()}): ", Style.WARN), names))
    others = found.unmatched
    if others.height:
        total = exact_usd(_sum(others, "usd"), 2)
        out += [[], line(f"  on the bill, and of no run here: {total} in {others['rows'].sum():,} rows")]
        shown = others.select("description", "address", "usd").head(UNMATCHED_SHOWN)
        body = [[clean(what), clean(address or NOBODY), exact_usd(usd, 2)] for what, address, usd in shown.iter_rows()]
        out += draw([Column(prose=True), Column(drop=1), right()], body, columns, indent=4)
    return [*out, []]


def _sum(rows: pl.DataFrame, name: str) -> Decimal:
    whole: Decimal = rows.select(pl.col(name).sum()).item()
    return whole


def _amounts(runs: pl.DataFrame) -> list[Cell]:
    """Estimated, billed, difference and ratio of some runs together."""
    known, billed = _sum(runs, "known_usd"), _sum(runs, "billed_usd")
    if runs["unpriced"].sum():
        return [charged_usd(None, known=known, places=2), exact_usd(billed, 2), cell(UNKNOWN), ""]
    ratio = signed_percent(float(billed / known)) if known > 0 else ""
    return [exact_usd(known, 2), exact_usd(billed, 2), exact_usd(billed - known, 2), ratio]


def as_data(found: Reconciled) -> dict[str, Any]:
    """The same for programs."""
    bill = found.bill
    return {
        "bill": bill.bill_id,
        "invoice": bill.invoice,
        "status": "final" if bill.invoice else "not final",
        "period_from": bill.period_from.isoformat(),
        "period_to": bill.period_to.isoformat(),
        "files": bill.files,
        "imported_at": bill.imported_at.isoformat(),
        "runs": rows_of(found.runs),
        "unmatched": rows_of(found.unmatched.select("description", "address", "kind", "usd", "rows")),
        "unmatched_usd": str(_sum(found.unmatched, "usd")),
    }
