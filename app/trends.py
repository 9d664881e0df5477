"""How figures of the window stand to the same period before; None where either is not known, and so no arrow."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import streamlit as st

from app import accounts, data, fleet, measurements, ui
from app.view import BY_KEY, View
from planners.costs.allocate import allocate
from planners.costs.cost_tables import GPU_USAGE, USD, Purpose
from planners.costs.periods import LocalDay, Period, Trend, local_days
from planners.costs.rounding import prorate
from planners.costs.spend import spend, within

OF_GPUS = (Purpose.BUSY, Purpose.IDLE)
MOST_UNMEASURED = 0.05
"""Share of the GPU time of a period that may be missing: where more is, what GPUs did may only seem to have changed."""


def why_none(view: View, more: str = "") -> None:
    """Say why figures of a large fleet have no arrows.  more: what else is left out there."""
    if view.large:
        why = "no arrows, because the period before would have to be read too"
        st.caption(f"More than {data.LARGE_MACHINES} machines: {why}{more}.")


@st.cache_resource(ttl=600, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def _parts(earlier: View) -> pl.DataFrame:
    return accounts.account(earlier).parts


def paid(view: View, *uses: Purpose) -> Trend | None:
    """Of the dollars for these uses, or all; None also while one has no price."""
    if view.before is None:
        return None
    periods = [accounts.account(view).parts, _parts(view.before)]
    if set(uses) & set(OF_GPUS) and any(_unmeasured(parts) > MOST_UNMEASURED for parts in periods):
        return None
    chosen = [parts.filter(pl.col("use").is_in(list(uses))) if uses else parts for parts in periods]
    if any(parts["usd"].has_nulls() for parts in chosen):
        return None
    now, before = (float(accounts.usd(parts)) for parts in chosen)
    return Trend(now, before)


def _unmeasured(parts: pl.DataFrame) -> float:
    whole = accounts.gpu_hours(parts)
    return accounts.gpu_hours(parts, Purpose.UNMEASURED) / whole if whole else 0.0


def programs(view: View, now: int) -> Trend | None:
    """Of the programs that sandboxes ran, `now` in the window; None where no server reported in the period before."""
    if view.before is None:
        return None
    finished = measurements.window(view.before, "sandbox", "node", "finished")["finished"]
    return None if finished.is_empty() else Trend(now, float(finished.cast(pl.Int64).sum()))


def daily(view: View) -> pl.DataFrame:
    """day, whole (whether all of it lies in the window), usd, unpriced (resources): they add up to the window.

    Days are those of the viewer's zone.  What is estimated of GPUs that no run pays for is spread by what they used.
    """
    charges, days = data.charges(view), local_days(Period(view.start, view.end), ui.zone())
    estimated = _estimated(view, days)
    found = []
    for day, (usd, unpriced) in zip(days, estimated, strict=True):
        of_day = spend(allocate(within(charges, day.start, day.end), pl.DataFrame(schema=GPU_USAGE)))
        found.append((day.day, day.whole, of_day.known_usd + usd, len(of_day.unpriced) + unpriced))
    schema: Any = {"day": pl.Date, "whole": pl.Boolean, "known_usd": USD, "unpriced": pl.Int64}
    return pl.DataFrame(found, schema=schema, orient="row")


def _estimated(view: View, days: list[LocalDay]) -> list[tuple[Decimal, int]]:
    """Estimated dollars of each day, and how many machines have no price."""
    parts = fleet.parts(view)
    if parts.is_empty():
        return [(Decimal(0), 0)] * len(days)
    use = accounts.gpu_use(view).filter(pl.col("node").is_in(list(fleet.nodes(view))))
    ends = [use.filter(pl.col("at") > day.start, pl.col("at") <= day.end)["usd"].sum() for day in days]
    rows = pl.DataFrame({"total": parts["usd"].sum(), "weight": ends, "all": "all"})
    rows = prorate(rows.cast({"total": USD, "weight": pl.Float64}), total="total", weight="weight", over="all")
    return [(usd, len(spend(parts).unpriced)) for usd in rows["usd"]]
