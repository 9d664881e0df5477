"""Overview: is money being wasted, where, and what will it have cost?"""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import streamlit as st

from app import accounts, charts, data, fleet, measurements, page_alerts, time_links, trends, ui
from app.view import View
from app.waste import found_savings
from clusterctl.ledger.rows import LIVE
from clusterctl.ui import formats
from planners.costs.cost_tables import Purpose

FORMULA = "GPU-hours that were idle for this reason x price of their machine per hour / its GPUs"
LOUD_SHARE = 0.1
"""Idle time above this share is coloured: a step's sync and tail alone rarely take more."""
UNSEEN_SHARE = 0.01
"""GPU time that nobody measured above this share is said beside what was: it may have been idle too."""


def waste(view: View, parts: pl.DataFrame, use: pl.DataFrame) -> None:
    """The answer first: how much is wasted, and on what most of it."""
    by = charts.states(accounts.idle(parts)).with_columns(pl.col("usd").cast(pl.Float64))
    value, title = ("gpu_hours", "GPU-hours") if by["usd"].has_nulls() else ("usd", "dollars")
    text = ui.usd if value == "usd" else "{:,.1f} GPU-hours".format
    by = by.with_columns(text=pl.col(value).map_elements(text, return_dtype=pl.String))
    idle = parts.filter(pl.col("use") == Purpose.IDLE)
    wasted, total = accounts.gpu_hours(idle), accounts.gpu_hours(parts)
    if not total or use.is_empty():
        ui.gap("GPUs", "no telemetry of GPUs in this window: the run has none, or its nodes run no telemetry agent")
        phases(view)
        return
    share = wasted / total
    left, right = st.columns([2, 3])
    with left:
        cost = f"{wasted:,.0f} GPU-hours" if idle["usd"].has_nulls() else ui.usd(accounts.usd(idle))
        unseen = accounts.gpu_hours(parts, Purpose.UNMEASURED) / total
        lacking = f"; {formats.percent(unseen)} not measured" if unseen > UNSEEN_SHARE else ""
        worst = f"{formats.percent(share)} of GPU time{lacking}" + (f"; first: {by['state'][0]}" if by.height else "")
        hours = {"idle": f"{wasted:,.0f}", "held": f"{total:,.0f}", "formula": FORMULA}
        moved = trends.paid(view, Purpose.IDLE)
        ui.moving_figure("idle", cost, moved, delta=worst, bad=share > LOUD_SHARE, less_is_good=True, words=hours)
        gpus(view)
    with right, st.container(border=True, height="stretch"):
        st.caption(f"Idle {title} by reason", help=FORMULA)
        if by.height:
            charts.bars(by, value=value, label="state", text="text", colours=charts.state_colours(by))


def phases(view: View) -> None:
    """Where there is no GPU to waste: what a step's time goes to."""
    seconds = [(p.phase, p.seconds) for p in data.phases(view.data, view.run_id or "")]
    if seconds:
        rows = pl.DataFrame(seconds, schema=["phase", "seconds"], orient="row").group_by("phase").mean().sort("seconds")
        rows = rows.reverse().with_columns(text=pl.format("{} s", pl.col("seconds").round(1)))
        st.caption("Seconds of a step by phase", help="Mean over the steps of the run.")
        charts.bars(rows, value="seconds", label="phase", text="text")


def progress(view: View) -> None:
    """How far the run is, and whether it learns; of all runs, how many are live."""
    if view.run is None:
        live, count = len(data.live_runs(view.data)), data.run_count(view.data)
        ui.figure("live_runs", f"{live:,}", delta=f"of {count:,}")
        return
    steps = data.steps(view.data, view.run.run_id)
    if not steps:
        ui.figure("no_steps", "none yet")
        return
    rewards = [value for step in steps if (value := step.metrics.get("reward")) is not None]
    reward = f"reward {rewards[-1]:.2f}" if rewards else None
    ui.figure("steps", f"{steps[-1].step:,} of {steps[-1].of:,}", delta=reward)


def gpus(view: View) -> None:
    """How many GPUs there are and work now; nothing of a run that has ended."""
    if not view.is_now or (view.run is not None and view.run.state not in LIVE):
        return
    now, seconds = measurements.busy_now(view), max(measurements.NOW_SECONDS, view.finest_seconds)
    paid = accounts.gpus_paid(view)
    silent = f"; {formats.count(paid - now.measured, 'GPU')} not measured" if paid > now.measured else ""
    share = f"{formats.percent(now.busy / now.measured if now.measured else None)} busy{silent}"
    of = max(paid, now.measured)
    ui.figure("busy_now", f"{now.busy:,.0f} of {of:,}", delta=share, bad=bool(silent) or None, seconds=f"{seconds}")


def money(view: View, found: accounts.Money) -> None:
    """What it costs, will cost, and how long the budget lasts."""
    ahead = found.forecast
    end = accounts.done_at(view.run, ahead, view.now)
    with ui.figures():
        progress(view)
        ui.figure("spent", spent(found), delta="since the start", prices=found.prices)
        rate = ui.at_least(found.rate.usd_per_hour, found.rate.known_usd_per_hour)
        an_hour = rate if rate == formats.UNKNOWN else f"{rate}/h"
        ui.figure("burn", an_hour, delta="what is live now", prices=found.prices)
        completion(view, found)
        if view.run is None and found.limited:
            budgets(found)
            return
        if ahead is None or ahead.left_usd is None:
            ui.figure("no_budget", "no limit", delta="limits.usd sets one")
            return
        ui.figure(
            "budget",
            ("at most " if ahead.spent.unpriced else "") + ui.usd(ahead.left_usd),
            bad=bool(ahead.limit_at and end and ahead.limit_at < end) or ahead.left_usd < 0,
            delta=f"lasts until {ui.clock(ahead.limit_at, view.now)}" if ahead.limit_at else "nothing is charged now",
            limit=ui.usd(ahead.limits.usd),
            spent=ui.usd(ahead.spent.known_usd),
        )


def budgets(found: accounts.Money) -> None:
    """What is left of the limits of all live runs that have one."""
    left = sum((ahead.left_usd for ahead in found.limited if ahead.left_usd is not None), Decimal(0))
    at_most = "at most " if any(ahead.spent.unpriced for ahead in found.limited) else ""
    of, others = len(found.limited), len(found.forecasts) - len(found.limited)
    lacking = f"; {formats.count(others, 'run')} without a limit" if others else ""
    ui.figure("budgets", at_most + ui.usd(left), delta=f"of {formats.count(of, 'run')}{lacking}", bad=left < 0 or None)


def spent(found: accounts.Money) -> str:
    """What has been charged, as far as prices are known."""
    return ui.at_least(None if found.unpriced else found.spent, found.spent)


def completion(view: View, found: accounts.Money) -> None:
    """What the run will have cost."""
    ahead, run = found.forecast, view.run
    band = ahead.known_usd if ahead is not None else None
    if run is not None and run.state not in LIVE:
        ui.figure("ended", spent(found), delta=f"the run has {run.state}")
    elif ahead is None or band is None:
        ui.figure("no_forecast", formats.UNKNOWN, delta="choose one run" if run is None else "it has no plan")
    else:
        ui.figure(
            "completion",
            ui.at_least(ahead.usd_at_end, band.p50),
            delta=f"80%: {ui.usd(band.p10)} – {ui.usd(band.p90)}",
            basis=ahead.basis,
            ends=ui.clock(accounts.done_at(run, ahead, view.now), view.now),
            unpriced=" Only what has a known price." if ahead.unpriced else "",
        )


def observed(view: View, parts: pl.DataFrame) -> None:
    """What GPUs cost that no run has paid for, as an estimate."""
    mine = parts.filter(pl.col("node").is_in(list(fleet.nodes(view))))
    if mine.is_empty():
        return
    known, (rate, unknown) = accounts.usd(mine), fleet.usd_per_hour(view)
    hours = f"{accounts.gpu_hours(mine):,.0f} GPU-hours"
    with ui.figures():
        ui.figure("estimate", ui.at_least(None if mine["usd"].has_nulls() else known, known), delta=hours)
        now = ui.at_least(None if unknown else rate, rate)
        ui.figure("estimate_rate", now if now == formats.UNKNOWN else f"{now}/h", delta="what is seen now")
    ui.estimates(view)


def cheaper(view: View) -> None:
    """The one or two savings that are worth most; of a large fleet Where alone shows them: they are dear to find."""
    if view.large:
        return
    rows = [one for one in found_savings(view) if one.usd_a_day is not None][:2]
    if not rows:
        return
    with st.container(border=True, gap="xxsmall"):
        for one in rows:
            text, link = st.columns([6, 1], vertical_alignment="center", gap="small")
            amount = f"{ui.usd(one.usd_a_day)} a day"
            text.markdown(f":blue[:material/savings:] {ui.md(one.what)}: **{ui.md(amount)}**", help=ui.md(one.how))
            with link:
                time_links.link("View details", "where")


def warnings(view: View, found: accounts.Money) -> None:
    """What needs a person; each line leads to the page that shows more."""
    rows, unknown = page_alerts.alerts(view, found)
    with st.container(border=True, gap="xxsmall"):
        if not rows and not unknown:
            ui.fine("No open alerts.")
        for why in unknown:
            st.markdown(f":orange[:material/help:] Not known whether all is right: {ui.md(why)}")
        for alert in rows:
            colour, icon = {"bad": ("red", ":material/error:"), "warn": ("orange", ":material/warning:")}[alert.level]
            text, link = st.columns([6, 1], vertical_alignment="center", gap="small")
            text.markdown(f":{colour}[{icon}] {ui.md(alert.text)}")
            with link:
                time_links.link("View details", alert.page, alert.address)


def body(view: View) -> None:
    has_runs = view.run is not None or bool(data.runs(view.data))
    if not has_runs and not fleet.nodes(view):
        ui.problems(data.store(view.data).problems())
        ui.nothing_yet()
        return
    use, found, account = accounts.gpu_use(view), accounts.money(view), accounts.account(view)
    waste(view, account.parts, use)
    if has_runs:
        money(view, found)
    ui.guarded(observed, view, account.parts)
    warnings(view, found)
    ui.guarded(cheaper, view)
    trends.why_none(view, "; savings are on Where")
    if use["usd"].has_nulls():
        by = charts.states(view.whole(use).group_by("at", "reason").agg(pl.col("gpu_hours").sum()))
        by = by.with_columns(gpus=pl.col("gpu_hours") * 3600.0 / view.covered_seconds())
        charts.stacked("GPUs, by what they did", by, value="gpus", axis="GPUs", step_seconds=view.step_seconds)
    elif not use.is_empty():
        by = view.whole(use).group_by("at", "reason").agg(pl.col("usd").sum())
        rate = charts.states(by.with_columns(usd=pl.col("usd") * 3600.0 / view.covered_seconds()))
        title = "Dollars per hour, by what the GPUs did"
        charts.stacked(title, rate, value="usd", axis="$ per hour", step_seconds=view.step_seconds)
    ui.problems(account.problems)
    steps = data.steps(view.data, view.run_id) if view.run_id else ()
    ages = {
        "GPU telemetry": ui.age(measurements.last_seen(view, "gpu"), view.now),
        "last step": ui.age(steps[-1].at if steps else None, view.now),
        "prices": found.prices,
        "page": "refreshes every 10 s" if view.live else "final",
    }
    st.caption(" · ".join(f"{ui.md(what)}: {ui.md(text)}" for what, text in ages.items()))


ui.live(body)
