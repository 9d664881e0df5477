"""RL pipeline: who waits for whom, what is thrown away, whether it learns, and the split that would wait least."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import accounts, charts, data, ui
from clusterctl.ui import formats

view: data.View = st.session_state["view"]
LAST = 20
"""Steps that a figure is the mean of."""
LOUD_SHARE = 0.2
"""A role that idles more than this is coloured."""
SPLIT_FORMULA = (
    "Busy GPU-seconds of trainer and rollout stay what they are and divide over the GPUs that do them; a step then"
    " takes the longer of both. True as long as work scales with GPUs, and in whole nodes."
)


def idle_shares(use: pl.DataFrame) -> dict[str, float]:
    """Share of measured GPU time that each role was idle."""
    seen = use.filter(pl.col("reason") != "unmeasured")
    idle = pl.col("gpu_hours").filter(pl.col("reason") != "busy").sum()
    by = seen.group_by("role").agg(share=idle / pl.col("gpu_hours").sum())
    return {row["role"]: row["share"] for row in by.drop_nulls("role").iter_rows(named=True)}


def figures(frame: pl.DataFrame, shares: dict[str, float]) -> None:
    """The state of the loop, as means of the last steps; what nobody reports is named, not shown as 0."""
    note = f"Mean of the last {LAST} steps, as the job reports it."
    rows: list[tuple[str, float | None, str, str, str]] = [
        ("Tokens per second", data.mean(frame, "tokens_per_second", LAST), "", "all together", note),
        (
            "Tokens per second and GPU",
            data.mean(frame, "tokens_per_second_per_gpu", LAST),
            "",
            "of those that generate",
            note,
        ),
        (
            "Wait for sandboxes",
            data.phase_mean(view, "sandbox", LAST),
            "s",
            "per step",
            f"Seconds of phase sandbox that generation doesn't hide. {note}",
        ),
        (
            "Long-tail samples",
            data.mean(frame, "tail_seconds", LAST),
            "s",
            "tail of a step",
            f"Seconds in which only long-tail samples were still generated. {note}",
        ),
        (
            "Staleness",
            data.mean(frame, "staleness_steps", LAST),
            "steps",
            "behind the trainer",
            f"Steps between the generating and the trained policy. {note}",
        ),
        ("Discarded rollouts", data.mean(frame, "discarded_rollouts", LAST), "", "per step", note),
    ]
    with ui.figures():
        for role, share in sorted(shares.items()):
            ui.figure(
                f"{role.capitalize()} idle",
                formats.percent(share),
                bad=share > LOUD_SHARE or None,
                delta="of its GPU time",
                help="Idle GPU time of the role / its measured GPU time, in the window.",
            )
        for label, value, unit, delta, text in rows:
            if value is not None:
                ui.figure(label, ui.number(value, unit, 0 if value >= 10 else 1), delta=delta, help=text)
    missing = [label for label, value, *_ in rows if value is None]
    missing += [] if shares else ["Idle GPUs"]
    if missing:
        ui.gap("Not reported by this run", ", ".join(missing))


def split(use: pl.DataFrame) -> None:
    """The split of the nodes between trainer and rollout that shortens the step, and what it would be worth."""
    seen = use.filter(pl.col("role").is_in(["trainer", "rollout"]), pl.col("reason") != "unmeasured")
    nodes = {row[0]: row[1] for row in seen.group_by("role").agg(pl.col("node").n_unique()).iter_rows()}
    busy = {
        row[0]: row[1]
        for row in seen.filter(pl.col("reason") == "busy").group_by("role").agg(pl.col("gpu_hours").sum()).iter_rows()
    }
    if len(nodes) < 2 or len(busy) < 2:
        ui.gap("Suggested split", "needs a trainer and a rollout pool on nodes of their own, both measured")
        return
    total, held = sum(nodes.values()), float(seen["gpu_hours"].sum())

    def longest(trainers: int) -> float:
        return float(max(busy["trainer"] / trainers, busy["rollout"] / (total - trainers)))

    best = min(range(1, total), key=longest)
    gain = 1.0 - longest(best) / longest(nodes["trainer"])
    usd = float(seen["usd"].sum())
    text = f"{nodes['trainer']} trainer + {nodes['rollout']} rollout nodes"
    if best == nodes["trainer"]:
        st.markdown(
            f":green[:material/check_circle:] The split of {text} is the best in whole nodes.", help=SPLIT_FORMULA
        )
        return
    saved = f"{gain:.0%} shorter steps: {gain * held:,.0f} GPU-hours, {ui.usd(gain * usd)} in this window"
    st.markdown(
        f":material/lightbulb: **{best} trainer + {total - best} rollout nodes** instead of {text}: "
        f"{saved.replace('$', chr(92) + '$')}.",
        help=SPLIT_FORMULA,
    )


def curves(frame: pl.DataFrame) -> None:
    """Whether it learns, and what drifts."""
    found = {
        "Reward and tests passed": {
            "reward": "reward",
            "visible tests": "pass_at_1_visible",
            "hidden tests": "pass_at_1_hidden",
        },
        "Entropy, nats": {"entropy": "entropy_nats"},
        "Tokens per response": {"mean": "response_tokens_mean"},
        "Share of answers": {
            "do not compile": "not_compiled_share",
            "time limit": "time_limit_share",
            "cut off": "truncated_share",
        },
    }
    columns = st.columns(2)
    for position, (title, wanted) in enumerate(found.items()):
        with columns[position % 2]:
            have = {name: column for name, column in wanted.items() if column in frame.columns}
            if not have:
                ui.gap(title, "the job does not report it")
                continue
            st.caption(title)
            ui.legend(charts.line_colours(have))
            st.altair_chart(charts.lines(frame, values=have, title="", x="step", height=180, zero=len(have) > 1))


def waits(use: pl.DataFrame) -> None:
    """What trainer and rollout GPUs did over time."""
    for role in use["role"].drop_nulls().unique().sort():
        mine = use.filter(pl.col("role") == role)
        shown = charts.states(
            mine.group_by("at", "reason").agg(gpus=pl.col("gpu_hours").sum() * 3600 / view.step_seconds)
        )
        st.caption(f"GPUs of {ui.md(role)}, by what they did")
        ui.legend(charts.state_colours(shown))
        st.altair_chart(charts.stacked(shown, value="gpus", title="GPUs", step_seconds=view.step_seconds, height=160))


def body() -> None:
    """The page."""
    assert view.run is not None
    use, frame = accounts.gpu_use(view), data.step_rows(view.data, view.run.run_id)
    figures(frame, idle_shares(use))
    if frame.is_empty():
        ui.gap("Steps", "no step is done yet")
    ui.guarded(lambda: split(use))
    waits(use)
    if frame.height:
        curves(frame)


if ui.need_run(view):
    ui.live(body, again=view.live)
