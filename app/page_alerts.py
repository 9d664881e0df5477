"""What needs a person: from money, leftovers, telemetry and what the run reports.  Each has a page that shows more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal, NamedTuple

import polars as pl

from app import accounts, data, measurements, ui
from app.accounts import Money
from app.view import View
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.runs.run_alerts import alert_text
from clusterctl.ui import formats
from planners.runs.forecast import Forecast

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
    found = [*_failed(view), *_money(view, money), *_leftovers(view), *_hardware(view), *_reported(view)]
    return sorted(found, key=lambda alert: alert.level)


def _money(view: View, money: Money) -> Iterator[PageAlert]:
    for run, ahead in money.forecasts:
        whose = "" if money.one else f"{run.run_id}: "
        yield from _budget(view, run, ahead, whose)
        yield from _over_plan(view, run, ahead, whose)
    if money.unpriced:
        text = f"unpriced: {formats.count(len(money.unpriced), 'resource')}; the true bill is higher"
        yield PageAlert("warn", text, "quality")


def _budget(view: View, run: Run, ahead: Forecast, whose: str) -> Iterator[PageAlert]:
    """Whether the limit in dollars is reached, or will be before the work is done."""
    if ahead.left_usd is None:
        return
    end, out, limit = accounts.done_at(run, ahead, view.now), ahead.limit_at, ui.usd(ahead.limits.usd)
    if ahead.left_usd <= 0:
        yield PageAlert("bad", f"{whose}the budget of {limit} is spent", "allocation")
    elif out is not None and end is not None and out < end:
        early = formats.hours((end - out).total_seconds() / 3600)
        text = f"{whose}the budget of {limit} runs out at {ui.clock(out, view.now)}, {early} before the end"
        yield PageAlert("bad", text, "plan")


def _over_plan(view: View, run: Run, ahead: Forecast, whose: str) -> Iterator[PageAlert]:
    """Whether a run costs, or has cost, more than nine of ten runs of its plan would."""
    plan = data.plan(view.data, run.plan_id) if run.plan_id is not None else None
    band = ahead.known_usd if run.state in LIVE else None
    usd = float(band.p50 if band is not None else ahead.spent.known_usd)
    if plan is not None and not plan.at_least and plan.usd.p50 > 0 and usd > plan.usd.p90:
        times = f"{usd / plan.usd.p50:.1f} x its planned {ui.usd(plan.usd.p50)}"
        text = f"{whose}{'will cost' if run.state in LIVE else 'has cost'} {ui.usd(usd)}, {times}"
        yield PageAlert("bad", text, "plan")


def _failed(view: View) -> Iterator[PageAlert]:
    """Runs that have failed, the chosen one or those of the window, each with its reason."""
    for run in [view.run] if view.run is not None else data.runs(view.data):
        within = run.ended_at is None or run.ended_at > view.start
        if run.state == "failed" and (within or view.run is not None):
            whose = "this run" if view.run is not None else run.run_id
            yield PageAlert("bad", f"{whose} has failed{f': {run.note}' if run.note else ''}", "plan")


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
