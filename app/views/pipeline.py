"""RL pipeline: who waits for whom, what is thrown away, whether it learns, and the split that would wait least."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import accounts, alert_links, charts, data, ui
from app.view import View
from clusterctl.ui import formats
from planners.costs.cost_tables import Purpose

LAST = 20
"""Steps that a figure is the mean of."""
LOUD_SHARE = 0.2
"""A role that idles more than this is coloured."""
METRICS = (
    ("tokens", "tokens_per_second", "", "all together"),
    ("gpu_tokens", "tokens_per_second_per_gpu", "", "of those that generate"),
    ("sandbox_wait", "", "s", "per step"),
    ("tail", "tail_seconds", "s", "tail of a step"),
    ("staleness", "staleness_steps", "steps", "behind the trainer"),
    ("discarded", "discarded_rollouts", "", "per step"),
)
"""Figure, the metric of a step ("" = seconds of phase sandbox), its unit, and what stands under it."""
SPLIT_FORMULA = (
    "Busy GPU-seconds of trainer and rollout stay what they are and divide over the GPUs that do them; a step then"
    " takes the longer of both. True as long as work scales with GPUs, and in whole nodes."
)


def figures(view: View, frame: pl.DataFrame) -> None:
    """The state of the loop, as means of the last steps; what nobody reports is named, not shown as 0."""
    use = pl.col("use")
    idle = pl.col("gpu_hours").filter(use == Purpose.IDLE).sum()
    measured = accounts.account(view).parts.filter(use.is_in([Purpose.BUSY, Purpose.IDLE])).drop_nulls("role")
    shares = measured.group_by("role").agg(share=idle / pl.col("gpu_hours").sum()).sort("role")
    missing = []
    with ui.figures():
        for role, share in shares.iter_rows():
            loud = share > LOUD_SHARE or None
            ui.figure("role_idle", formats.percent(share), bad=loud, delta="of its GPU time", role=role.capitalize())
        for name, metric, unit, delta in METRICS:
            value = data.mean(frame, metric, LAST) if metric else data.phase_mean(view, "sandbox", LAST)
            if value is None:
                missing.append(ui.LABELS["figures"][name]["label"])
            else:
                ui.figure(name, ui.number(value, unit, 0 if value >= 10 else 1), delta=delta, steps=f"{LAST}")
    missing += [] if shares.height else ["Idle GPUs"]
    if missing:
        ui.gap("Not reported by this run", ", ".join(missing))


def split(use: pl.DataFrame) -> None:
    """The split of the nodes between trainer and rollout that shortens the step, and what it would be worth."""
    seen = use.filter(pl.col("role").is_in(["trainer", "rollout"]), pl.col("reason") != "unmeasured")
    busy_hours = pl.col("gpu_hours").filter(pl.col("reason") == "busy").sum()
    by = seen.group_by("role").agg(nodes=pl.col("node").n_unique(), busy=busy_hours)
    nodes, busy = dict(by.select("role", "nodes").iter_rows()), dict(by.select("role", "busy").iter_rows())
    if len(nodes) < 2 or not all(busy.values()):
        ui.gap("Suggested split", "needs a trainer and a rollout pool on nodes of their own, both measured")
        return
    total, held = sum(nodes.values()), float(seen["gpu_hours"].sum())

    def longest(trainers: int) -> float:
        return float(max(busy["trainer"] / trainers, busy["rollout"] / (total - trainers)))

    best = min(range(1, total), key=longest)
    text = f"{nodes['trainer']} trainer + {nodes['rollout']} rollout nodes"
    if best == nodes["trainer"]:
        ui.fine(f"The split of {text} is the best in whole nodes.", help=SPLIT_FORMULA)
        return
    gain = 1.0 - longest(best) / longest(nodes["trainer"])
    usd = ui.usd(gain * float(seen["usd"].sum())).replace("$", r"\$")
    st.markdown(
        f":material/lightbulb: **{best} trainer + {total - best} rollout nodes** instead of {text}: "
        f"{gain:.0%} shorter steps: {gain * held:,.0f} GPU-hours, {usd} in this window.",
        help=SPLIT_FORMULA,
    )


def curves(view: View, frame: pl.DataFrame, near: int | None) -> None:
    """Whether it learns, and what drifts, in two columns; all steps, or those near one; warnings at their steps."""
    if near is not None:
        frame = frame.filter((pl.col("step") - near).abs() <= alert_links.NEAR_STEPS)
        if frame.is_empty():
            ui.gap(f"Steps near {near}", "the run has reported none of them")
            return
        first, last = frame.select(first=pl.col("step").min(), last=pl.col("step").max()).row(0)
        st.caption(f"Steps {first:,} to {last:,}; choose no step above to see all")
    columns = st.columns(2)
    for position, (title, lines) in enumerate(ui.LABELS["curves"].items()):
        with columns[position % 2]:
            have = {name: column for name, column in lines.items() if column in frame.columns}
            if have:
                marks = alert_links.marks(view, frame, have.values())
                charts.lines(title, frame, have, x="step", zero=len(have) > 1, marks=marks)
            else:
                ui.gap(title, "the job does not report it")


def waits(view: View, use: pl.DataFrame) -> None:
    """What trainer and rollout GPUs did over time."""
    use = view.whole(use)
    for role in use["role"].drop_nulls().unique().sort():
        by = use.filter(pl.col("role") == role).group_by("at", "reason").agg(pl.col("gpu_hours").sum())
        shown = charts.states(by.with_columns(gpus=pl.col("gpu_hours") * 3600 / view.covered_seconds()))
        title = f"GPUs of {ui.md(role)}, by what they did"
        charts.stacked(title, shown, value="gpus", axis="GPUs", step_seconds=view.step_seconds, height=160)


def body(view: View) -> None:
    assert view.run is not None
    use, frame = accounts.gpu_use(view), data.step_rows(view.data, view.run.run_id)
    figures(view, frame)
    if frame.is_empty():
        ui.gap("Steps", "no step is done yet")
    ui.guarded(split, use)
    waits(view, use)
    if frame.height:
        curves(view, frame, None if step is None else int(step))


step = st.number_input("Near step", min_value=0, value=None, step=1, placeholder="all steps", **ui.kept("step"))
ui.live(body, of_one_run=True)
