"""What needs a person: from money, leftovers, telemetry and what the run reports.  Each has a page that shows more."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import polars as pl

from app import accounts, data, ui
from clusterctl.ledger.rows import LIVE
from clusterctl.runs.alerts import alert_text
from clusterctl.ui import formats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.accounts import Money
    from app.data import View

WORDS = {"lost": ("GPU was lost", "GPUs were lost"), "xid": ("Xid error", "Xid errors")}
"""Kinds of note that mean broken hardware: one, several."""
PAGES = {"collapse": "outcomes", "sandbox": "sandboxes"}
"""Where a kind of warning is seen best; else the RL pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing that needs a person."""

    level: Literal["bad", "warn"]
    text: str
    page: str
    """Name of the page's file."""


def alerts(view: View, money: Money) -> list[Alert]:
    """All of them, the worst first."""
    found = [*_money(view, money), *_leftovers(view), *_hardware(view), *_reported(view)]
    return sorted(found, key=lambda alert: alert.level)


def _money(view: View, money: Money) -> Iterator[Alert]:
    ahead = money.forecast
    if ahead is not None and ahead.left_usd is not None:
        end, out, limit = accounts.done_at(view, money), ahead.limit_at, ui.usd(ahead.limits.usd)
        if ahead.left_usd <= 0:
            yield Alert(level="bad", text=f"The budget of {limit} is spent", page="allocation")
        elif out is not None and end is not None and out < end:
            early = (end - out).total_seconds() / 3600
            when = f"{ui.clock(out, view.now)}, {formats.hours(early)} before the end"
            text = f"The budget of {limit} runs out at {when}"
            yield Alert(level="bad", text=text, page="plan")
    if money.unpriced:
        text = f"unpriced: {formats.count(len(money.unpriced), 'resource')}; the true bill is higher"
        yield Alert(level="warn", text=text, page="quality")


def _reported(view: View) -> Iterator[Alert]:
    """What the run's own steps and samples warn of."""
    for run in [view.run] if view.run is not None else data.live_runs(view.data):
        for alert in data.reported(view.data, run.run_id):
            whose = "" if view.run is not None else f"{run.run_id}: "
            text = f"{whose}{alert_text(alert)}"
            yield Alert(level=alert.level, text=text, page=PAGES.get(alert.kind, "pipeline"))


def _leftovers(view: View) -> Iterator[Alert]:
    rows = data.leftovers(view.data)
    if rows:
        priced = [r.usd_per_hour for r in rows if r.usd_per_hour is not None]
        known = sum(priced, Decimal(0)) * 24
        a_day = ui.at_least(known if len(priced) == len(rows) else None, known)
        noun = "resource is" if len(rows) == 1 else "resources are"
        yield Alert(level="warn", text=f"{len(rows)} {noun} left over, {a_day} a day", page="orphans")


def _hardware(view: View) -> Iterator[Alert]:
    notes = data.standing(view, "notes").filter(pl.col("at") > view.start, pl.col("kind").is_in(list(WORDS)))
    for row in notes.group_by("kind").agg(pl.len(), pl.col("text").last(), pl.col("node").last()).iter_rows(named=True):
        what = WORDS[row["kind"]][row["len"] > 1]
        yield Alert(level="warn", text=f"{row['len']} {what}, the last on {row['node']}: {row['text']}", page="gpus")
    if view.live and view.run is not None and view.run.state in LIVE:
        last = data.last_seen(view, "gpu")
        if last is not None and view.now - last > data.RECENT:
            yield Alert(level="warn", text=f"No telemetry of its GPUs since {ui.age(last, view.now)}", page="quality")
