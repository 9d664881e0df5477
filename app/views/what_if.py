"""What if: the planner, asked again with other GPUs, regions, splits and groups, against the plan of the run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import streamlit as st

from app import charts, data, planning, ui
from app.view import View
from clusterctl.specfile.plan_file import plan_text
from clusterctl.ui import formats
from planners.plan.value import Plan
from planners.runs.limits import planned_rate

AS_PLANNED = "as planned"
SCHEDULES = [AS_PLANNED, "colocated", "disaggregated", "async"]
CAPACITY = {AS_PLANNED: None, "on demand": "[on_demand]", "spot": "[spot]", "either": "[on_demand, spot]"}
ANY_NODES = "fleet.nodes=null"


def questions(spec: dict[str, Any]) -> tuple[str, ...]:
    """What the viewer changes, as the `key=value` that `clusterctl plan --what-if` takes."""
    stage = spec["stages"][0]
    changes: list[str] = []
    left, middle, right = st.columns(3)
    with left:
        changes += _listed("GPUs", "fleet.gpus", planning.gpus())
        nodes = _slid("GPU nodes, at most", "nodes", "any", 1, 2, 4, 8, 16, 32, 64)
        if nodes is not None:
            changes.append(ANY_NODES if nodes == "any" else f"fleet.nodes={{min: 1, max: {nodes}}}")
    with middle:
        changes += _listed("Clouds", "fleet.targets", planning.clouds(), key="clouds")
        changes += _listed("Regions", "fleet.regions", planning.regions())
        capacity = st.selectbox("Capacity", list(CAPACITY), **ui.kept("capacity"))
        changes += [f"fleet.capacity={CAPACITY[capacity]}"] if CAPACITY[capacity] else []
    with right:
        if stage["kind"] != "rlcef":
            ui.gap("Split, group and turns", f"stage {stage.get('name', stage['kind'])} has none: it is no RL loop")
            return tuple(changes)
        schedule = st.selectbox("Schedule", SCHEDULES, **ui.kept("schedule"))
        share = _slid("GPUs that generate, %", "share", 20, 30, 40, 50, 60, 70, 80)
        group = _slid("Samples per prompt", "group", 2, 4, 8, 16, 32, 64)
        turns = _slid("Turns", "turns", 1, 2, 4, 8, 16, 32, 64)
    changes += [f"schedule={schedule}"] if schedule != AS_PLANNED else []
    changes += [f"rollout_share={share / 100}"] if isinstance(share, int) and schedule != "colocated" else []
    changes += [f"samples_per_prompt={group}"] if group is not None else []
    changes += [f"turns={turns}"] if turns is not None else []
    if schedule in {"colocated", "disaggregated"} and stage.get("staleness_steps"):
        changes.append("staleness_steps=null")
    return tuple(changes)


def _listed(label: str, field: str, options: list[str], key: str | None = None) -> list[str]:
    """The change of a field to the list that the viewer picks; none if it is empty.  key: of the address."""
    key = key or field.removeprefix("fleet.")
    picked = st.multiselect(label, options, **ui.kept(key), placeholder=AS_PLANNED)
    return [f"{field}=[{', '.join(picked)}]"] if picked else []


def _slid(label: str, key: str, *options: str | int) -> str | int | None:
    """What the viewer slides to; None = as planned."""
    value = st.select_slider(label, [AS_PLANNED, *options], **ui.kept(key))
    return None if value == AS_PLANNED else value


def answer(base: Plan, other: Plan) -> None:
    """Time, dollars, burn, GPUs and risk, against the plan as it is."""

    def risk(plan: Plan) -> float:
        return next((a.interruptions for a in plan.alternatives if a.number == plan.frontier_chosen), 0.0)

    gpus = sum(pool.nodes * pool.gpus_per_node for pool in other.pools if pool.stage == other.stages[0].name)
    prices = f"Prices of {other.prices.oldest}, {other.prices.age_days} days old; book {other.prices.book}."
    with ui.figures():
        change, unpriced = other.usd.p50 - base.usd.p50, base.at_least or other.at_least
        delta = f"now {_dollars(base)}" if unpriced else f"{'+' if change >= 0 else ''}{ui.usd(change)}"
        low, _, high = map(ui.usd, other.usd.percentiles)
        bad = None if unpriced else _worse(change)
        ui.figure("asked_usd", _dollars(other), delta=delta, bad=bad, low=low, high=high, prices=prices)
        change = other.hours.p50 - base.hours.p50
        low, middle, high = map(formats.hours, other.hours.percentiles)
        ui.figure("asked_hours", middle, delta=f"{change:+,.1f} h", bad=_worse(change), low=low, high=high)
        ui.figure("asked_burn", _rate(other), delta=f"now {_rate(base)}", prices=prices)
        ui.figure("asked_gpus", f"{gpus:,}", delta=other.fleet)
        ui.figure("interruptions", f"{risk(other):.2g}", delta=f"now {risk(base):.2g}")
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
    names = ("name", "hours", "usd_low", "usd", "usd_high", "interruptions", "what")
    rows = [
        (
            f"{a.gpus} {a.gpu or 'CPU'}, {a.cloud} {a.region}, {a.capacity_type.replace('_', ' ')}",
            *(a.hours.p50, *a.usd.percentiles, a.interruptions, what),
        )
        for plan, what in ((free, "alternative"), (other, "this plan"), (base, "as planned"))
        for a in plan.alternatives
        if not a.at_least and (what == "alternative" or a.number == plan.frontier_chosen)
    ]
    if not rows:
        ui.gap("Time against dollars", "a price of every fleet is unknown")
        return
    frame = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    st.caption("Time against dollars: ● fleets that nothing beats, ◇ this plan, ✕ as planned; lines are 80% bands")
    charts.frontier(frame)
    ui.table("fleets", frame)


def apply(other: Plan, changes: tuple[str, ...]) -> None:
    """How the answer becomes a change that others review."""
    st.caption("To propose it: change these keys in the run spec and open a pull request, or start the plan as it is")
    text = " \\\n  ".join(["clusterctl plan run.yaml --markdown", *(f"--what-if '{change}'" for change in changes)])
    st.code(text, language="sh")
    st.download_button("plan.json", plan_text(other), "plan.json", "application/json", icon=":material/download:")


def page(view: View) -> None:
    plan = data.plan_of(view)
    if plan is None:
        name = st.selectbox("Run spec", planning.templates(), **ui.kept("spec"))
        plan = planning.template(name or planning.templates()[0], view.now)
    changes = questions(plan.spec)
    other = planning.what_if(plan, changes, view.now) if changes else plan
    answer(plan, other)
    free = plan.spec["fleet"].get("nodes") and not any(change.startswith("fleet.nodes") for change in changes)
    frontier(plan, other, planning.what_if(plan, (*changes, ANY_NODES), view.now) if free else other)
    apply(other, changes)


ui.guarded(page, data.current())
