"""An account as programs read it: JSON and CSV.  Money is exact decimal text, null or an empty cell = unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from planners.costs.summary import by_price
from planners.costs.tables import FORMULAS

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from clusterctl.accounting.page import Page

SCHEMA = "clusterctl.cost/1"


def as_json(page: Page) -> dict[str, Any]:
    """The page as data."""
    spent, run, ahead, plan = page.account.spend, page.run, page.outlook, page.plan
    known_plan = None if plan is None or plan.at_least else plan.usd
    band, left = (ahead.forecast, ahead.runway) if ahead else (None, None)
    return {
        "schema": SCHEMA,
        "run": run and run.run_id,
        "state": run and run.state,
        "since": _iso(page.since),
        "until": _iso(page.until),
        "charged_until": _iso(spent.until),
        "status": page.account.standing,
        "usd": _text(spent.usd),
        "known_usd": _text(spent.known_usd),
        "idle_usd": _text(spent.idle_usd),
        "gpu_hours": spent.gpu_hours,
        "unpriced": list(spent.unpriced),
        "usd_per_hour": _text(ahead.burn.usd_per_hour) if ahead else None,
        "usd_at_end": band and {name: str(getattr(band, name)) for name in ("p10", "p50", "p90", "basis")},
        "planned_usd": known_plan and known_plan.model_dump(),
        "limit_usd": _text(run.limit_usd if run else None),
        "left_usd": _text(left.left_usd if left else None),
        "limit_at": _iso(left.at if left else None),
        "by": list(page.columns),
        "rows": rows_of(page.rows),
        "formulas": {use: FORMULAS[use] for use in FORMULAS if use in page.account.parts["use"]},
        "prices": rows_of(by_price(page.account.parts)),
        "problems": list(page.account.problems),
    }


def as_csv(page: Page) -> str:
    """The rows of the split, with a header."""
    return csv_text(page.rows)


def csv_text(rows: pl.DataFrame) -> str:
    """CSV for people too: text that a spreadsheet would run as a formula gets a ' before it (OWASP, CSV Injection), as
    labels are whatever somebody wrote."""
    rows = rows.with_columns(pl.col(pl.String).str.replace(r"^([=+\-@\t\r])", "'${1}"))
    return rows.write_csv().rstrip("\n") + "\n"


def rows_of(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """A frame for JSON: money and moments as text."""
    moments = frame.select(pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    return frame.with_columns(*moments, pl.col(pl.Decimal).cast(pl.String)).to_dicts()


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
