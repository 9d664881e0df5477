"""An account as people read it: what it is so far, how it goes on, what it went to; and as JSON and CSV.

In JSON and CSV money is exact decimal text, null or an empty cell = unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl

from clusterctl.ui.formats import charged_places, charged_usd, exact_usd, number, percent, unit_price
from clusterctl.ui.spans import Line, Span, Style, clean, line, wrap
from clusterctl.ui.table import Cell, Column, cell, draw, right
from planners.costs.cost_tables import FORMULAS, Purpose
from planners.costs.rounding import rounded
from planners.costs.spend import by_price

if TYPE_CHECKING:
    from clusterctl.costs.queries import Account
    from clusterctl.ledger.rows import Run
    from planners.plan.value import Plan
    from planners.runs.forecast import Forecast, UsdBand

MOST_LINES = 50
HANGING = 14
"""Indent of a continued line: where the figures stand."""
NOBODY = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What `cost` shows: an account, split, and for one run how it goes on."""

    account: Account
    columns: Sequence[str]
    """The leading columns of `rows`."""
    rows: pl.DataFrame
    """As `planners.costs.spend.by` gives them."""
    run: Run | None = None
    plan: Plan | None = None
    forecast: Forecast | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def places(self) -> int:
        return charged_places(self.account.spend.known_usd)


def page_lines(page: Page, columns: int) -> list[Line]:
    """The page for a terminal of so many columns."""
    spent = page.account.spend
    charged = charged_usd(spent.usd, known=spent.known_usd, places=page.places)
    so_far = line("  so far      ", Span(charged, Style.STRONG))
    ahead = page.forecast
    if ahead is not None and ahead.limits.usd is not None:
        left = ("at most " if ahead.spent.unpriced else "") + exact_usd(ahead.left_usd, page.places)
        so_far += line(f" of {exact_usd(ahead.limits.usd, 2)}; {left} left")
    head = [_title(page), [], so_far, *(_ahead(page, ahead) if ahead else []), []]
    table = _table(page, columns) if page.rows.height else [line(Span("  no charges", Style.DIM))]
    foot = [line(Span("  not readable: ", Style.WARN), clean(problem)) for problem in page.account.problems]
    foot += [line(Span("  not measured: ", Style.WARN), clean(reason)) for reason in page.account.unmeasured]
    if spent.unpriced:
        names = ", ".join(map(clean, spent.unpriced[:5])) + (" …" if len(spent.unpriced) > 5 else "")
        foot.append(line(Span(f"  unpriced ({len(spent.unpriced)}): ", Style.WARN), names))
    wrapped = [[one for given in lines for one in wrap(given, columns, HANGING)] for lines in (head, foot)]
    return [*wrapped[0], *table, *wrapped[1]]


def _title(page: Page) -> Line:
    """`rlcef-1, running   an estimate: no invoice is imported`"""
    name = "all runs" if page.run is None else f"{clean(page.run.run_id)}, {page.run.state}"
    for word, moment in (("since", page.since), ("until", page.until)):
        name += f", {word} {_moment(moment)}" if moment else ""
    standing = page.account.status
    words = {"billed": "billed", "estimate": "an estimate: no invoice is imported"}.get(standing, standing)
    return line(Span(name, Style.STRONG), Span(f"   {words}", Style.PLAIN if standing == "billed" else Style.WARN))


def _ahead(page: Page, ahead: Forecast) -> list[Line]:
    """Rate, forecast and plan of one run."""
    found: list[Line] = []
    if ahead.rate.known_usd_per_hour or ahead.rate.unpriced:
        rate = charged_usd(ahead.rate.usd_per_hour, known=ahead.rate.known_usd_per_hour, places=2)
        found.append(line(f"  per hour    {rate}"))
        if ahead.limit_at is not None:
            how = "before" if ahead.rate.unpriced or ahead.spent.unpriced else "at"
            found[-1].append(Span(f"; the limit is reached {how} {_moment(ahead.limit_at)}", Style.WARN))
    band = ahead.known_usd
    if band is not None and band.p10 != band.p90:
        low, middle, high = (
            charged_usd(None if ahead.unpriced else usd, known=usd, places=page.places)
            for usd in (band.p10, band.p50, band.p90)
        )
        found.append(line("  forecast    ", Span(middle, Style.STRONG), f" ({low} to {high}, 80%; by {ahead.basis})"))
    if page.plan is not None and not page.plan.at_least:
        low, middle, high = (exact_usd(Decimal(str(usd)), page.places) for usd in page.plan.usd.percentiles)
        found.append(line(f"  planned     {middle} ({low} to {high})"))
    return found


def _table(page: Page, columns: int) -> list[Line]:
    """The split, the most expensive first, and its sum; what goes beyond MOST_LINES is one line."""
    shown, rest, spent = page.rows.head(MOST_LINES), page.rows.slice(MOST_LINES), page.account.spend
    amounts: list[Decimal | None] = shown["known_usd"].to_list()
    if rest.height:
        amounts.append(spent.known_usd - sum(shown["known_usd"], Decimal(0)))
    amounts = rounded(amounts, page.places)
    names = [name.replace("use", "purpose") for name in page.columns if name != "reason"]
    blank = [""] * (len(names) - 1)
    body: list[list[Cell]] = [
        [*_names(row, page.columns), *_figures(row, amount, page.places)]
        for row, amount in zip(shown.iter_rows(named=True), amounts, strict=False)
    ]
    if rest.height:
        sums: dict[str, Any] = {name: rest[name].sum() for name in ("unpriced", "gpu_hours")}
        sums |= {name: None if rest[name].has_nulls() else rest[name].sum() for name in ("share", "idle_usd")}
        body.append([cell(f"{rest.height:,} more"), *blank, *_figures(sums, amounts[-1], page.places)])
    whole = {"unpriced": len(spent.unpriced), "gpu_hours": spent.gpu_hours or None, "idle_usd": spent.idle_usd}
    body.append([cell("total", Style.STRONG), *blank, *_figures(whole, spent.known_usd, page.places)])
    heads: list[Column | str] = [
        *names,
        right("$"),
        right("share"),
        right("GPU-hours", drop=2),
        right("of which idle", drop=1),
    ]
    figures = {"GPU-hours": spent.gpu_hours, "of which idle": spent.idle_usd != 0 and "use" not in page.columns}
    return draw(heads, body, columns, hide={title for title, amount in figures.items() if not amount})


def _names(row: Mapping[str, Any], columns: Sequence[str]) -> list[Line]:
    """The key cells of a row; a reason stands behind its use."""
    style = Style.WARN if row.get("use") in {Purpose.IDLE, Purpose.UNUSED} else Style.PLAIN
    found: list[Line] = []
    for name in columns:
        if name == "reason":
            found[-1] += [Span(f": {row[name].replace('_', ' ')}")] if row[name] is not None else []
        else:
            found.append(cell(NOBODY if row[name] is None else clean(row[name]), style))
    return found


def _figures(row: Mapping[str, Any], amount: Decimal | None, places: int) -> list[Line]:
    """Dollars, share, GPU-hours and idle dollars of a row."""
    known, share, gpu_hours, idle = amount or Decimal(0), row.get("share"), row["gpu_hours"], row["idle_usd"]
    return [
        cell(charged_usd(None if row["unpriced"] else known, known=known, places=places)),
        cell("" if share is None else percent(share)),
        cell("" if gpu_hours is None else f"{gpu_hours:,.2f}"),
        cell("" if idle == 0 else exact_usd(idle, places)),
    ]


def explanation_lines(page: Page, columns: int) -> list[Line]:
    """Where the figures come from: the formula of each use, and each price with its source and age."""
    parts = page.account.parts
    uses: list[list[Cell]] = [[use, FORMULAS[Purpose(use)]] for use in parts["use"].unique().sort()]
    found = [[], line(Span("  formulas", Style.STRONG)), *draw(["", Column(prose=True)], uses, columns)]
    rows = []
    for row in by_price(parts).head(MOST_LINES).iter_rows(named=True):
        source, since = f"{row['status']}, {row['source']}", f"charged since {_moment(row['since'])}"
        rows.append((f"{row['provider']} {row['kind']}", _rate(row), source, since))
    for pool in page.plan.pools if page.plan else ():
        age = f"price of {pool.price_as_of}" if pool.price_as_of else "undated price"
        rate = _rate({"usd_per_hour": pool.usd_per_node_hour})
        rows.append((f"{pool.cloud} {pool.role}", rate, f"planned, {pool.price_source}", age))
    body: list[list[Cell]] = [[clean(text) for text in row] for row in rows]
    until = page.account.spend.until
    found += [[], line(Span("  prices", Style.STRONG), f", charged until {_moment(until)}" if until else "")]
    return found + draw(["", right(), Column(prose=True), Column(drop=1)], body, columns)


def _rate(row: Mapping[str, Any]) -> str:
    """Per hour, or how much was reported and what it cost."""
    if row.get("unit") is not None:
        return f"{number(row['quantity'])} {row['unit']}: {exact_usd(row['usd'], 6)}"
    return "no hourly rate" if row["usd_per_hour"] is None else f"{unit_price(row['usd_per_hour'])}/h"


def _moment(moment: datetime) -> str:
    """In the reader's zone, and which that is."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}"


SCHEMA = "clusterctl.cost/1"


def as_json(page: Page) -> dict[str, Any]:
    spent, run, ahead, plan = page.account.spend, page.run, page.forecast, page.plan
    certain = ahead if ahead and not ahead.spent.unpriced else None
    return {
        "schema": SCHEMA,
        "run": run and run.run_id,
        "state": run and run.state,
        "since": _iso(page.since),
        "until": _iso(page.until),
        "charged_until": _iso(spent.until),
        "status": page.account.status,
        "usd": _text(spent.usd),
        "known_usd": _text(spent.known_usd),
        "idle_usd": _text(spent.idle_usd),
        "gpu_hours": spent.gpu_hours,
        "unpriced": list(spent.unpriced),
        "usd_per_hour": _text(ahead.rate.usd_per_hour) if ahead else None,
        "known_usd_per_hour": _text(ahead.rate.known_usd_per_hour) if ahead else None,
        "usd_at_end": _band(ahead, ahead.usd) if ahead else None,
        "known_usd_at_end": _band(ahead, ahead.known_usd) if ahead else None,
        "planned_usd": plan.usd.model_dump() if plan and not plan.at_least else None,
        "limit_usd": _text(run.limit_usd if run else None),
        "left_usd": _text(certain.left_usd if certain else None),
        "limit_at": _iso(certain.limit_at if certain and not certain.rate.unpriced else None),
        "by": list(page.columns),
        "rows": rows_of(page.rows),
        "formulas": {use: FORMULAS[use] for use in FORMULAS if use in page.account.parts["use"]},
        "prices": rows_of(by_price(page.account.parts)),
        "problems": list(page.account.problems),
        "unmeasured": list(page.account.unmeasured),
    }


def _band(ahead: Forecast, band: UsdBand | None) -> dict[str, str] | None:
    if band is None:
        return None
    return {"p10": str(band.p10), "p50": str(band.p50), "p90": str(band.p90), "basis": ahead.basis}


def rows_of(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """A frame for JSON: money and moments as text."""
    moments = frame.select(pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    return frame.with_columns(*moments, pl.col(pl.Decimal).cast(pl.String)).to_dicts()


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
