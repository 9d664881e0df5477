"""The picture of one unit of work: a lane per pool, a bar per phase, and the gaps in which a pool is idle hatched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clusterctl.show.rounding import number, percent, phase_unit, usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planners.plan.value import Plan, Pool, StagePlan

COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#999999")
"""Okabe and Ito's colours without the orange ones, which mark sandboxes."""
SANDBOX = "#E69F00"
IDLE = "#b03a2e"
IDLE_SANDBOX = "#8a8a8a"
"""Idle GPUs are what costs; idle sandboxes are drawn quieter."""
SHORT = 0.06
"""Bars narrower than this share of the picture carry their name above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One phase in one lane; seconds from the beginning of the unit."""

    name: str
    lane: int
    start: float
    seconds: float
    colour: str


def lanes_and_bars(plan: Plan, stage: StagePlan) -> tuple[list[Pool], list[Bar]]:
    """The stage's pools as lanes, and its phases placed in them.  A phase of an unknown pool is the first pool's."""
    lanes = [pool for pool in plan.pools if pool.stage == stage.name]
    bars: list[Bar] = []
    begin = 0.0
    for index, phase in enumerate(stage.phases):
        start = begin if phase.start_seconds is None else phase.start_seconds
        colour = SANDBOX if phase.pool == "sandbox" else COLOURS[index % len(COLOURS)]
        lane = next((row for row, pool in enumerate(lanes) if phase.pool and phase.pool in pool.role), 0)
        bars.append(Bar(name=phase.name, lane=lane, start=start, seconds=phase.seconds, colour=colour))
        begin = max(begin, start + phase.exposed_seconds)
    return lanes, bars


def gaps(bars: Sequence[Bar], lane: int, until: float) -> list[tuple[float, float]]:
    """Start and seconds of the times when a lane has no bar."""
    found: list[tuple[float, float]] = []
    end = 0.0
    for bar in sorted((bar for bar in bars if bar.lane == lane), key=lambda bar: bar.start):
        if bar.start - end > until * 1e-3:
            found.append((end, bar.start - end))
        end = max(end, bar.start + bar.seconds)
    if until - end > until * 1e-3:
        found.append((end, until - end))
    return found


def draw_timeline(plan: Plan, stage: StagePlan) -> Any:
    """A matplotlib figure."""
    from matplotlib.figure import Figure

    lanes, bars = lanes_and_bars(plan, stage)
    total = max([stage.seconds_per_unit.p50, *(bar.start + bar.seconds for bar in bars)])
    unit = phase_unit(total)
    scale = 1 / unit.seconds
    rows = max(len(lanes), 1)
    figure = Figure(figsize=(9.0, 1.5 + 0.95 * rows), layout="constrained")
    axes = figure.add_subplot()
    for lane in range(rows):
        holds_gpus = not lanes or bool(lanes[lane].gpu)
        _gaps(
            axes, gaps(bars, lane, total), lane, colour=IDLE if holds_gpus else IDLE_SANDBOX, total=total, scale=scale
        )
    for bar in bars:
        _bar(axes, bar, total, scale)
    axes.set_ylim(rows - 0.35, -0.75)
    axes.set_xlim(0, total * scale)
    axes.set_yticks(range(rows), [_lane_name(pool) for pool in lanes] or ["everything"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit.word)
    axes.set_title(f"{stage.name}: {number(total * scale)} {unit.name} per {stage.unit}", loc="left", pad=10)
    figure.text(0.01, -0.06 / rows, _caption(stage), fontsize=8, color="#555555", va="top")
    return figure


def _lane_name(pool: Pool) -> str:
    held = f"{pool.nodes * pool.gpus_per_node:,} {pool.gpu}" if pool.gpu else f"{pool.slots or 0:,} slots"
    return f"{pool.role}\n{held}"


def _bar(axes: Any, bar: Bar, total: float, scale: float) -> None:
    axes.barh(
        bar.lane, bar.seconds * scale, left=bar.start * scale, height=0.5, color=bar.colour, edgecolor="white",
        linewidth=1.0, zorder=3,
    )  # fmt: skip
    middle = (bar.start + bar.seconds / 2) * scale
    if bar.seconds / total >= SHORT:
        text = f"{bar.name}\n{percent(bar.seconds / total)}"
        dark = bar.colour in ("#0072B2", "#009E73")
        axes.text(
            middle, bar.lane, text, ha="center", va="center", fontsize=8.5, color="white" if dark else "black", zorder=4
        )
    else:
        axes.annotate(
            f"{bar.name} {percent(bar.seconds / total)}", (middle, bar.lane - 0.25), xytext=(0, 7),
            textcoords="offset points", ha="center", va="bottom", fontsize=8, zorder=4,
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": "#777777"},
        )  # fmt: skip


def _gaps(
    axes: Any, found: Sequence[tuple[float, float]], lane: int, *, colour: str, total: float, scale: float
) -> None:
    for start, seconds in found:
        axes.barh(
            lane, seconds * scale, left=start * scale, height=0.5, facecolor="white", edgecolor=colour, hatch="////",
            linewidth=0.8, zorder=2,
        )  # fmt: skip
        if seconds / total >= SHORT:
            axes.text(
                (start + seconds / 2) * scale, lane, f"idle\n{percent(seconds / total)}", ha="center", va="center",
                fontsize=8.5, color=colour, zorder=4,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.9},
            )  # fmt: skip


def _caption(stage: StagePlan) -> str:
    """The cost of the waiting, under the picture."""
    parts = ["Hatched: the pool is idle."]
    if stage.idle is not None and stage.idle.usd is not None:
        parts.append(f"GPUs wait for the sandbox fleet: {usd(stage.idle.usd)} of the run.")
        if stage.idle.cure_nodes is not None and stage.idle.cure_usd is not None:
            parts.append(f"{stage.idle.cure_nodes:,} more sandbox nodes (+{usd(stage.idle.cure_usd)}) remove it.")
    return " ".join(parts)
