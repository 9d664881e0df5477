"""Plan vs actual: what each phase takes, against what the plan said, and which assumption is off."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from app import accounts, charts, data, ui
from app.view import View
from clusterctl.ledger.rows import LIVE
from clusterctl.ui import formats
from planners.plan.value import Plan, StagePlan

SHOWN_SECONDS = 0.05
"""What the table shows as 0.0 has no ratio."""
OFF = 1.15
"""A phase that took 15% more or less than planned is worth a look: the narrowest band of a plan is 20%."""


def by_phase(view: View, stage: StagePlan, run_id: str) -> pl.DataFrame:
    """phase, planned (s), low, actual, high (fastest, mean and slowest of all steps), ratio, steps (that had it).

    A step without the phase counts with 0 s: planned seconds are those of a mean step too.
    """
    rows = [(phase.phase, phase.seconds) for phase in data.phases(view.data, run_id) if phase.stage == stage.name]
    seen = pl.DataFrame(rows, schema={"phase": pl.String, "seconds": pl.Float64}, orient="row")
    seconds = pl.col("seconds")
    number = sum(step.stage == stage.name for step in data.steps(view.data, run_id))
    least = pl.when(pl.len() < number).then(0.0).otherwise(seconds.min())
    actual = seen.group_by("phase", maintain_order=True).agg(
        actual=seconds.sum() / max(number, 1), low=least, high=seconds.max(), steps=pl.len()
    )
    parts = accounts.parts_of(view, stage)
    schema = {"phase": pl.String, "planned": pl.Float64}
    planned = pl.DataFrame([(p.name, p.seconds / parts) for p in stage.phases], schema=schema, orient="row")
    both = planned.join(actual, on="phase", how="full", coalesce=True, maintain_order="left_right")
    shown = pl.max_horizontal("actual", "planned") >= SHOWN_SECONDS
    return both.with_columns(ratio=pl.when(shown, pl.col("planned") > 0).then(pl.col("actual") / pl.col("planned")))


def picture(rows: pl.DataFrame) -> None:
    """Planned as an outline, actual as a column in it, with the range of the steps."""
    numbers = ("planned", "actual", "low", "high", "ratio")
    tips: list[Any] = ["phase", *(alt.Tooltip(name, format=",.1f") for name in numbers)]
    y = alt.Y("phase:N", sort=rows["phase"].to_list(), title=None)
    base = alt.Chart(rows).encode(y=y, tooltip=tips)
    outline = base.mark_bar(size=20, fill=None, stroke=charts.words_colour(), strokeWidth=1.5)
    layers = alt.layer(
        outline.encode(x=alt.X("planned:Q", title="seconds")),
        base.mark_bar(size=10, color=charts.BLUE).encode(x="actual:Q"),
        base.mark_rule(color=charts.ORANGE, strokeWidth=3).encode(x="low:Q", x2="high:Q"),
    )
    st.caption("Seconds per phase: outline = planned, blue = actual, orange = from the fastest to the slowest step")
    st.altair_chart(layers.properties(height=34 * rows.height + 40))


def assumptions(view: View, plan: Plan, stage: StagePlan, run_id: str) -> pl.DataFrame:
    """What the spec assumed and the run reports: name, planned, actual, ratio."""
    spec: dict[str, Any] = next((each for each in plan.spec["stages"] if each.get("name") == stage.name), {})
    last = [step.metrics for step in data.steps(view.data, run_id) if step.stage == stage.name][-20:]

    def mean(name: str) -> float | None:
        values = [value for step in last if (value := step.get(name)) is not None]
        return sum(values) / len(values) if values else None

    pairs = {
        "tokens per response": (spec.get("response_tokens", {}).get("mean"), mean("response_tokens_mean")),
        "share of tasks solved": (spec.get("resolve_rate"), mean("pass_at_1")),
        **{f"yield of {name}": (share, mean(f"yield_{name}")) for name, share in (spec.get("yields") or {}).items()},
    }
    rows = [(name, a, b, b / a) for name, (a, b) in pairs.items() if a and b is not None]
    return pl.DataFrame(rows, schema=["assumption", "planned", "actual", "ratio"], orient="row")


def stage_part(view: View, plan: Plan, stage: StagePlan, run_id: str) -> None:
    """One stage: step time, phases, assumptions."""
    rows, found = by_phase(view, stage, run_id), accounts.step_seconds(view, plan, stage)
    st.subheader(ui.md(stage.title), anchor=False)
    if not found:
        ui.gap("Steps", f"no step of stage {stage.name} is done yet, so there is nothing to compare")
        return
    parts = accounts.parts_of(view, stage)
    low, planned, high = (seconds / parts for seconds in stage.seconds_per_unit.percentiles)
    actual = sum(found) / len(found)
    with ui.figures():
        words = {"unit": stage.unit if parts == 1 else "part", "count": f"{len(found)}"}
        band = {"low": f"{low:,.0f}", "high": f"{high:,.0f}"}
        ratio = f"{actual / planned:.2f} x the planned {planned:,.0f} s"
        ui.figure("unit_seconds", f"{actual:,.0f} s", delta=ratio, bad=actual > planned * OFF or None, **words, **band)
        worst = rows.drop_nulls("ratio").with_columns(more=pl.col("actual") - pl.col("planned")).sort("more")
        for row in worst.tail(1).iter_rows(named=True):
            more = f"{row['more']:+,.0f} s: {row['ratio']:.2f} x planned"
            ui.figure("overrun", row["phase"], delta=more, bad=row["ratio"] > OFF or None)
    picture(rows)
    waterfall(rows, planned, actual)
    ui.table("phases", rows)
    off = assumptions(view, plan, stage, run_id)
    if off.height:
        st.caption("Which assumption is off: the spec's number against the mean of the last 20 steps")
        ui.table("assumptions", off)


def waterfall(rows: pl.DataFrame, planned: float, actual: float) -> None:
    """From the planned step to the actual one: what each phase adds, and what overlap hides or waiting adds.

    The axis begins below what changes, which is small beside a whole step.
    """
    steps = [(row["phase"], row["actual"] - row["planned"]) for row in rows.drop_nulls("ratio").iter_rows(named=True)]
    steps.append(("hidden or waiting", actual - planned - sum(change for _, change in steps)))
    levels = [planned, actual, *(planned + sum(change for _, change in steps[:n]) for n in range(1, len(steps) + 1))]
    low, high = min(levels), max(levels)
    floor = max(0.0, low - (high - low or high) / 4)
    bars, at = [("planned", floor, planned, "total", f"{planned:,.0f} s")], planned
    for name, change in steps:
        bars.append((name, at, at + change, "longer" if change > 0 else "shorter", f"{change:+,.1f} s"))
        at += change
    bars.append(("actual", floor, actual, "total", f"{actual:,.0f} s"))
    frame = pl.DataFrame(bars, schema=["what", "from", "to", "kind", "text"], orient="row")
    frame = frame.with_columns(top=pl.max_horizontal("from", "to"))
    colours = {"total": charts.GREY, "longer": charts.VERMILION, "shorter": charts.GREEN}
    overlap = (
        "Phases of different pools overlap: what is hidden behind another phase, or is waiting, stands in the last"
    )
    begins = f"; the axis begins at {floor:,.0f} s" if floor else ""
    st.caption(f"From the planned to the actual step{begins}", help=f"{overlap} column but one.")
    charts.legend(colours)
    x = alt.X("what:N", sort=frame["what"].to_list(), title=None, axis=alt.Axis(labelAngle=-30, labelLimit=140))
    scale = alt.Scale(domain=[floor, high + (high - floor) / 8], zero=False, nice=False)
    tips: list[Any] = ["what", alt.Tooltip("text:N", title="seconds")]
    base = alt.Chart(frame).encode(x=x, tooltip=tips)
    y = alt.Y("from:Q", title="seconds", scale=scale)
    drawn = base.mark_bar().encode(y=y, y2="to", color=charts.colour("kind", colours))
    words = base.mark_text(baseline="bottom", dy=-3, fontWeight="bold", color=charts.words_colour())
    layers = alt.layer(drawn, words.encode(y=alt.Y("top:Q", title="seconds", scale=scale), text="text:N"))
    st.altair_chart(layers.properties(height=charts.HEIGHT))


def body(view: View) -> None:
    plan = data.plan_of(view)
    if plan is None or view.run is None:
        ui.gap("Plan", "this run was started without a plan")
        return
    found = accounts.money(view)
    coming = found.forecast if view.run.state in LIVE else None
    known = (coming.known_usd_at_end if coming else None) or found.spent
    with ui.figures():
        p50 = Decimal(plan.usd.p50)
        ui.figure(
            "plan_usd",
            ui.at_least(None if (coming or found).unpriced else known, known),
            delta=f"planned {ui.at_least(None if plan.at_least else p50, p50)}",
            bad=(not plan.at_least and float(known) > plan.usd.p50 * OFF) or None,
            label="Dollars at the end" if coming else "Dollars",
            plan=plan.id,
            low=ui.usd(plan.usd.p10),
            high=ui.usd(plan.usd.p90),
            prices=f"{plan.prices.oldest}",
        )
        took = found.forecast.hours.p50 if found.forecast and found.forecast.hours else None
        late = (took is not None and took > plan.hours.p50 * OFF) or None
        low, middle, high = map(formats.hours, plan.hours.percentiles)
        ui.figure("plan_hours", formats.hours(took), delta=f"planned {middle}", bad=late, low=low, high=high)
    for stage in plan.stages:
        stage_part(view, plan, stage, view.run.run_id)


ui.live(body, of_one_run=True)
