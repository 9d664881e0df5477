"""The picture of one unit of work: a lane per pool, a bar per phase, and the gaps in which a pool is idle hatched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from clusterctl.ui.formats import cured, number, percent, phase_unit, usd
from clusterctl.ui.plan_page.pools import pool_contents
from planners.plan.value import Plan, Pool, StagePlan

COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#999999")
"""Okabe and Ito's colours without the orange ones, which mark sandboxes."""
SANDBOX = "#E69F00"
BESIDE = "#F6D590"
"""Sandboxes in use while samples are still generated: they judge what has ended, or are held by what goes on."""
IDLE = "#b03a2e"
IDLE_SANDBOX = "#8a8a8a"
"""Idle GPUs are what costs; idle sandboxes are drawn quieter."""
DARK = ("#0072B2", "#009E73")
"""Colours that carry white text."""
FILLED = {"edgecolor": "white", "linewidth": 1.0, "zorder": 3}
HATCHED = {"facecolor": "white", "hatch": "////", "linewidth": 0.8, "zorder": 2}
BEHIND_NAME = {"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.9}
LETTER = 0.0105
"""Width of a letter as a share of the picture: a name that doesn't fit its bar stands above it."""


class Bar(NamedTuple):
    """One phase, or one gap, in one lane; seconds from the beginning of the unit."""

    name: str
    lane: int
    start: float
    seconds: float
    colour: str
    is_idle: bool = False


class Callout(NamedTuple):
    """A name that stands above its bar."""

    lane: int
    at: float
    """Middle of the bar, in the unit of the picture."""
    text: str
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
        if phase.pool == "sandbox" and start > 0:
            bars.append(Bar("beside generation", lane, 0.0, start, BESIDE))
        bars.append(Bar(phase.name, lane, start, phase.seconds, colour))
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
    from matplotlib.figure import Figure

    lanes, bars = lanes_and_bars(plan, stage)
    total = max([stage.seconds_per_unit.p50, *(bar.start + bar.seconds for bar in bars)])
    unit = phase_unit(total)
    scale = 1 / unit.seconds
    rows = max(len(lanes), 1)
    figure = Figure(figsize=(9.0, 1.5 + 0.95 * rows), layout="constrained")
    axes = figure.add_subplot()
    callouts = [_draw(axes, bar, total, scale) for bar in bars]
    for lane in range(rows):
        colour = IDLE if not lanes or lanes[lane].gpu else IDLE_SANDBOX
        idle = [Bar("idle", lane, start, seconds, colour, is_idle=True) for start, seconds in gaps(bars, lane, total)]
        callouts += [_draw(axes, bar, total, scale) for bar in idle]
    _write_callouts(axes, [callout for callout in callouts if callout is not None], total * scale)
    axes.set_ylim(rows - 0.35, -0.75)
    axes.set_xlim(0, total * scale)
    names = [f"{pool.role}\n{pool_contents(pool)}" for pool in lanes]
    axes.set_yticks(range(rows), names or ["everything"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit.word)
    axes.set_title(f"{stage.name}: {number(total * scale)} {unit.name} per {stage.unit}", loc="left", pad=10)
    figure.text(0.01, -0.06 / rows, _caption(stage), fontsize=8, color="#555555", va="top")
    return figure


def _draw(axes: Any, bar: Bar, total: float, scale: float) -> Callout | None:
    """Draw a bar with its name in it; where that doesn't fit, return what is to be written above."""
    style = HATCHED | {"edgecolor": bar.colour} if bar.is_idle else FILLED | {"color": bar.colour}
    axes.barh(bar.lane, bar.seconds * scale, left=bar.start * scale, height=0.5, **style)
    share, middle = bar.seconds / total, (bar.start + bar.seconds / 2) * scale
    if share < len(bar.name) * LETTER:
        return Callout(bar.lane, middle, f"{bar.name} {percent(share)}", bar.colour if bar.is_idle else "#222222")
    text, colour = (
        f"{bar.name}\n{percent(share)}",
        bar.colour if bar.is_idle else "white" if bar.colour in DARK else "black",
    )
    place = {"ha": "center", "va": "center", "zorder": 4, "bbox": BEHIND_NAME if bar.is_idle else None}
    axes.text(middle, bar.lane, text, fontsize=8.5, color=colour, **place)
    return None


def _write_callouts(axes: Any, callouts: Sequence[Callout], total: float) -> None:
    """Names above their bars; a name that would touch the one before it goes a line higher."""
    free_from: dict[tuple[int, int], float] = {}
    for callout in sorted(callouts, key=lambda each: each.at):
        half = len(callout.text) * LETTER * total / 2
        level = next(level for level in range(9) if free_from.get((callout.lane, level), -total) <= callout.at - half)
        free_from[callout.lane, level] = callout.at + half
        centre = min(callout.at, total - half)  # the last name must not leave the picture
        axes.annotate(
            callout.text,
            (callout.at, callout.lane - 0.25),
            xytext=(centre, callout.lane - 0.33 - 0.15 * level),
            ha="center",
            va="bottom",
            fontsize=8,
            color=callout.colour,
            zorder=4,
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": "#777777", "shrinkA": 0, "shrinkB": 0},
        )


def _caption(stage: StagePlan) -> str:
    """The cost of the waiting, under the picture."""
    parts = ["Hatched: the pool is idle."]
    paid = stage.demand.get("sandbox-hours paid")
    if paid:
        parts.append(f"Sandboxes are in use {percent(stage.demand['sandbox-hours used'] / paid)} of their hours.")
    idle = stage.idle
    if idle is not None and idle.usd is not None:
        parts.append(f"GPUs wait for the sandbox fleet: {usd(idle.usd)} of the run.")
        if idle.cure_nodes is not None and idle.cure_usd is not None:
            more = f"{idle.cure_nodes:,} more sandbox nodes (+{usd(idle.cure_usd)})"
            parts.append(f"{more} remove {cured(idle.cure_share)}.")
    return " ".join(parts)
