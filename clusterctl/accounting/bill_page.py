"""A bill beside our estimates, as people and programs read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from clusterctl.accounting.documents import rows_of
from clusterctl.accounting.page import MOST_LINES, NOBODY, money
from clusterctl.show.rounding import signed_percent
from clusterctl.show.spans import Line, Span, Style, clean, line
from clusterctl.show.table import Column, cell, draw

if TYPE_CHECKING:
    from decimal import Decimal

    from clusterctl.accounting.bills import Reconciled

STRANGERS = 5
"""Lines of a bill that are not ours, shown before the rest is one line."""


def bill_lines(found: Reconciled, columns: int) -> list[Line]:
    """The bill for a terminal of so many columns."""
    bill = found.bill
    standing = (
        f"invoice {clean(bill.invoice)}" if bill.invoice else "not final: no invoice yet, so its runs stay estimates"
    )
    out = [line(Span(clean(bill.bill_id), Style.STRONG), f"   {standing}"), []]
    billed, estimated = _sum(found.runs, "billed_usd"), _sum(found.runs, "estimated_usd")
    rows = [
        [cell(clean(row["run"])), *_amounts(row["estimated_usd"], row["billed_usd"], unpriced=row["unpriced"])]
        for row in found.runs.head(MOST_LINES).iter_rows(named=True)
    ]
    rest = found.runs.slice(MOST_LINES)
    if rest.height:
        rows.append([cell(f"{rest.height:,} more"), *_amounts(_sum(rest, "estimated_usd"), _sum(rest, "billed_usd"))])
    rows.append([cell("in all", Style.STRONG), *_amounts(estimated, billed)])
    heads = [
        Column(title="run"),
        *(Column(title=name, align="right") for name in ("estimated", "billed", "difference", "")),
    ]
    out += draw(heads, rows, columns)
    missing = found.runs["missing"].explode().drop_nulls()
    if missing.len():
        names = ", ".join(map(clean, missing.head(STRANGERS))) + (" …" if missing.len() > STRANGERS else "")
        out.append(line(Span(f"  estimated, and not on the bill ({missing.len()}): ", Style.WARN), names))
    others = found.strangers
    if others.height:
        total = money(_sum(others, "usd"), 2)
        out += [[], line(f"  on the bill, and of no run here: {total} in {others['rows'].sum():,} rows")]
        body = [
            [cell(clean(row["description"])), cell(clean(row["address"] or NOBODY)), cell(money(row["usd"], 2))]
            for row in others.head(STRANGERS).iter_rows(named=True)
        ]
        out += draw([Column(prose=True), Column(drop=1), Column(align="right")], body, columns, indent=4)
    return [*out, []]


def _sum(rows: pl.DataFrame, name: str) -> Decimal:
    whole: Decimal = rows.select(pl.col(name).sum()).item()
    return whole


def _amounts(estimated: Decimal, billed: Decimal, *, unpriced: int = 0) -> list[Line]:
    difference = billed - estimated
    ratio = signed_percent(float(billed / estimated)) if estimated > 0 and not unpriced else ""
    before = f"over {money(estimated, 2)}" if unpriced else money(estimated, 2)
    return [cell(before), cell(money(billed, 2)), cell(money(difference, 2)), cell(ratio)]


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
        "unmatched": rows_of(found.strangers.select("description", "address", "kind", "usd", "rows")),
        "unmatched_usd": str(_sum(found.strangers, "usd")),
    }
