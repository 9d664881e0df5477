"""What if: the planner, asked again with other GPUs, regions, splits and groups, against the plan of the run."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import streamlit as st

from app import charts, data, planning, ui
from clusterctl.specfile.plan_file import plan_text
from clusterctl.ui import formats
from planners.runs.limits import planned_rate

if TYPE_CHECKING:
    from planners.plan.value import Plan

view: data.View = st.session_state["view"]
AS_PLANNED = "as planned"
SCHEDULES = [AS_PLANNED, "colocated", "disaggregated", "async"]
CAPACITY = {AS_PLANNED: None, "on demand": "[on_demand]", "spot": "[spot]", "either": "[on_demand, spot]"}
NODES = [AS_PLANNED, "any", 1, 2, 4, 8, 16, 32, 64]
ANY_NODES = "fleet.nodes=null"
SHARES = [AS_PLANNED, 20, 30, 40, 50, 60, 70, 80]
GROUPS = [AS_PLANNED, 2, 4, 8, 16, 32, 64]
TURNS = [AS_PLANNED, 1, 2, 4, 8, 16, 32, 64]


def questions(spec: dict[str, Any]) -> tuple[str, ...]:
    """What the viewer changes, as the `key=value` that `clusterctl plan --what-if` takes."""
    stage = spec["stages"][0]
    changes: list[str] = []
    left, middle, right = st.columns(3)
    with left:
        gpus = st.multiselect("GPUs", planning.gpus(), key="gpus", bind="query-params", placeholder=AS_PLANNED)
        nodes = st.select_slider("GPU nodes, at most", NODES, key="nodes", bind="query-params")
        changes += [f"fleet.gpus=[{', '.join(gpus)}]"] if gpus else []
        changes += (
            [] if nodes == AS_PLANNED else [ANY_NODES] if nodes == "any" else [f"fleet.nodes={{min: 1, max: {nodes}}}"]
        )
    with middle:
        clouds = st.multiselect(
            "Clouds", ["aws", "gcp", "azure"], key="clouds", bind="query-params", placeholder=AS_PLANNED
        )
        regions = st.multiselect(
            "Regions", planning.regions(), key="regions", bind="query-params", placeholder=AS_PLANNED
        )
        capacity = st.selectbox("Capacity", list(CAPACITY), key="capacity", bind="query-params")
        changes += [f"fleet.targets=[{', '.join(clouds)}]"] if clouds else []
        changes += [f"fleet.regions=[{', '.join(regions)}]"] if regions else []
        changes += [f"fleet.capacity={CAPACITY[capacity]}"] if CAPACITY[capacity] else []
    with right:
        if stage["kind"] != "rlcef":
            ui.gap("Split, group and turns", f"stage {stage.get('name', stage['kind'])} has none: it is no RL loop")
            return tuple(changes)
        schedule = st.selectbox("Schedule", SCHEDULES, key="schedule", bind="query-params")
        share = st.select_slider("GPUs that generate, %", SHARES, key="share", bind="query-params")
        group = st.select_slider("Samples per prompt", GROUPS, key="group", bind="query-params")
        turns = st.select_slider("Turns", TURNS, key="turns", bind="query-params")
    changes += [f"schedule={schedule}"] if schedule != AS_PLANNED else []
    changes += [f"rollout_share={share / 100}"] if isinstance(share, int) and schedule != "colocated" else []
    changes += [f"samples_per_prompt={group}"] if group != AS_PLANNED else []
    changes += [f"turns={turns}"] if turns != AS_PLANNED else []
    if schedule in {"colocated", "disaggregated"} and stage.get("staleness_steps"):
        changes.append("staleness_steps=0")
    return tuple(changes)


def answer(base: Plan, other: Plan) -> None:
    """Time, dollars, burn, GPUs and risk, against the plan as it is."""

    def risk(plan: Plan) -> float:
        return next((a.interruptions for a in plan.alternatives if a.number == plan.frontier_chosen), 0.0)

    def gpus(plan: Plan) -> int:
        return sum(pool.nodes * pool.gpus_per_node for pool in plan.pools if pool.stage == plan.stages[0].name)

    prices = f"Prices of {other.prices.oldest}, {other.prices.age_days} days old; book {other.prices.book}."
    with ui.figures():
        unpriced = base.at_least or other.at_least
        change = other.usd.p50 - base.usd.p50
        ui.figure(
            "Dollars",
            _dollars(other),
            bad=None if unpriced else _worse(change),
            delta=f"now {_dollars(base)}" if unpriced else f"{'+' if change >= 0 else ''}{ui.usd(change)}",
            help=f"P50 of the plan; 80 %: {ui.usd(other.usd.p10)} to {ui.usd(other.usd.p90)}. {prices}",
        )
        change = other.hours.p50 - base.hours.p50
        ui.figure(
            "Hours",
            formats.hours(other.hours.p50),
            delta=f"{change:+,.1f} h",
            bad=_worse(change),
            help=f"P50; 80 %: {formats.hours(other.hours.p10)} to {formats.hours(other.hours.p90)}.",
        )
        ui.figure("Burn", _rate(other), delta=f"now {_rate(base)}", help=prices)
        ui.figure("GPUs", f"{gpus(other):,}", delta=other.fleet, help="GPUs of the first stage, and where.")
        ui.figure(
            "Expected interruptions",
            f"{risk(other):.2g}",
            delta=f"now {risk(base):.2g}",
            help="Failures and preemptions during the run.",
        )
    for warning in other.warnings:
        st.markdown(f":orange[:material/warning:] {ui.md(warning)}")


def _dollars(plan: Plan) -> str:
    """The P50; `at least` where a price is unknown."""
    usd = Decimal(plan.usd.p50)
    return ui.at_least(None if plan.at_least else usd, usd)


def _rate(plan: Plan) -> str:
    """`$36.00/h`, `at least $36.00/h`."""
    rate = planned_rate(plan)
    return f"{ui.at_least(rate.usd_per_hour, rate.known_usd_per_hour)}/h"


def _worse(change: float) -> bool | None:
    return None if abs(change) < 1e-9 else change > 0


def frontier(base: Plan, other: Plan, free: Plan) -> None:
    """The fleets of any size that no other beats: dollars against hours, with bands and risk."""
    rows = [
        {
            "name": f"{a.gpus} {a.gpu or 'CPU'}, {a.cloud} {a.region}, {a.capacity_type.replace('_', ' ')}",
            "hours": a.hours.p50,
            "usd": a.usd.p50,
            "usd_low": a.usd.p10,
            "usd_high": a.usd.p90,
            "interruptions": a.interruptions,
            "what": what,
        }
        for plan, what in ((free, "alternative"), (other, "this plan"), (base, "as planned"))
        for a in plan.alternatives
        if not a.at_least and (what == "alternative" or a.number == plan.frontier_chosen)
    ]
    if not rows:
        ui.gap("Time against dollars", "a price of every fleet is unknown")
        return
    frame = pl.DataFrame(rows, infer_schema_length=None)
    st.caption("Time against dollars: ● fleets that nothing beats, ◇ this plan, ✕ as planned; lines are 80 % bands")
    st.altair_chart(charts.frontier(frame))
    shown = frame.with_columns(pl.col("hours").round(1), pl.col("usd").round(0), pl.col("interruptions").round(3))
    ui.table(
        shown,
        what="",
        name="fleet",
        hours="hours",
        usd="$",
        interruptions=("expected interruptions", "failures and preemptions"),
    )


def apply(other: Plan, changes: tuple[str, ...]) -> None:
    """How the answer becomes a change that others review."""
    st.caption("To propose it: change these keys in the run spec and open a pull request, or start the plan as it is")
    text = " \\\n  ".join(["clusterctl plan run.yaml --markdown", *(f"--what-if '{change}'" for change in changes)])
    st.code(text, language="sh")
    st.download_button("plan.json", plan_text(other), "plan.json", "application/json", icon=":material/download:")


def page() -> None:
    """The page: not redrawn by itself, only asked again."""
    plan = data.plan_of(view)
    if plan is None:
        name = st.selectbox("Run spec", planning.templates(), key="spec", bind="query-params")
        plan = planning.template(name or planning.templates()[0], view.now)
    changes = questions(plan.spec)
    other = planning.what_if(plan, changes, view.now) if changes else plan
    answer(plan, other)
    free = plan.spec["fleet"].get("nodes") and not any(change.startswith("fleet.nodes") for change in changes)
    frontier(plan, other, planning.what_if(plan, (*changes, ANY_NODES), view.now) if free else other)
    apply(other, changes)


ui.guarded(page)
