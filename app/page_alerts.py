"""What needs a person: from money, leftovers, telemetry and what the run reports.  Each has a page that shows more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal, NamedTuple

import polars as pl

from app import accounts, data, measurements, ui
from app.accounts import Money
from app.view import View
from clusterctl.ledger.rows import LIVE
from clusterctl.runs.run_alerts import alert_text
from clusterctl.ui import formats

WORDS = {"lost": ("GPU was lost", "GPUs were lost"), "xid": ("Xid error", "Xid errors")}
"""Kinds of note that mean broken hardware: one, several."""
PAGES = {"collapse": "outcomes", "sandbox": "sandboxes"}
"""Where a kind of warning is seen best; else the RL pipeline."""


class PageAlert(NamedTuple):
    level: Literal["bad", "warn"]
    text: str
    page: str
    """Name of the page's file."""


def alerts(view: View, money: Money) -> list[PageAlert]:
    """All of them, the worst first."""
    found = [*_money(view, money), *_leftovers(view), *_hardware(view), *_reported(view)]
    return sorted(found, key=lambda alert: alert.level)


def _money(view: View, money: Money) -> Iterator[PageAlert]:
    ahead = money.forecast
    if ahead is not None and ahead.left_usd is not None:
        end, out, limit = accounts.done_at(view, money), ahead.limit_at, ui.usd(ahead.limits.usd)
        if ahead.left_usd <= 0:
            yield PageAlert("bad", f"The budget of {limit} is spent", "allocation")
        elif out is not None and end is not None and out < end:
            early = formats.hours((end - out).total_seconds() / 3600)
            text = f"The budget of {limit} runs out at {ui.clock(out, view.now)}, {early} before the end"
            yield PageAlert("bad", text, "plan")
    if money.unpriced:
        text = f"unpriced: {formats.count(len(money.unpriced), 'resource')}; the true bill is higher"
        yield PageAlert("warn", text, "quality")


def _reported(view: View) -> Iterator[PageAlert]:
    """What the run's own steps and samples warn of."""
    for run in [view.run] if view.run is not None else data.live_runs(view.data):
        for alert in data.reported(view.data, run.run_id):
            whose = "" if view.run is not None else f"{run.run_id}: "
            yield PageAlert(alert.level, f"{whose}{alert_text(alert)}", PAGES.get(alert.kind, "pipeline"))


def _leftovers(view: View) -> Iterator[PageAlert]:
    rows = data.leftovers(view.data)
    if rows:
        noun = "resource is" if len(rows) == 1 else "resources are"
        yield PageAlert("warn", f"{len(rows)} {noun} left over, {ui.a_day(rows)} a day", "orphans")


def _hardware(view: View) -> Iterator[PageAlert]:
    notes = measurements.standing(view, "notes").filter(pl.col("at") > view.start, pl.col("kind").is_in(list(WORDS)))
    by = notes.group_by("kind", maintain_order=True).agg(pl.len(), pl.col("node", "text").last())
    for kind, count, node, text in by.iter_rows():
        yield PageAlert("warn", f"{count} {WORDS[kind][count > 1]}, the last on {node}: {text}", "gpus")
    if view.live and view.run is not None and view.run.state in LIVE:
        last = measurements.last_seen(view, "gpu")
        silent = max(measurements.SILENT, timedelta(seconds=3 * view.finest_seconds))
        if last is not None and view.now - last > silent:
            yield PageAlert("warn", f"No telemetry of its GPUs since {ui.age(last, view.now)}", "quality")
