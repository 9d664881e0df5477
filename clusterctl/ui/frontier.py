"""The picture of the frontier: dollars against hours of each alternative, with its 80% band.

Points carry the numbers that `--pick` takes; a list beside the picture says what they are.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from typing import Any

from clusterctl.ui.formats import DurationUnit, duration_unit, hours_band, usd, usd_band
from clusterctl.ui.plan_page.alternatives import labels_of
from clusterctl.ui.plan_page.pools import capacity
from clusterctl.ui.plan_page.summary import price_age
from planners.plan.value import Alternative, Plan

BAND = "#9aa7b8"
DOT = "#0072B2"
CHOSEN = "#D55E00"
LIMIT = "#CC79A7"
"""Blue, vermillion and purple of Okabe and Ito: told apart with any colour vision; the choice is a star besides."""
RISKY = 1.0
"""Expected interruptions from which a fleet is drawn hollow."""
WIDE = 4.0
"""Bands that span more than this factor get a logarithmic axis: a few fleets else crowd into a corner."""
TICKS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
DISTANCES, ROOM = (14.0, 20.0, 28.0, 40.0, 56.0), 14.0
"""Points between a point and its number, and between a number and anything else."""
ANGLES = [math.radians(angle) for angle in (35, -35, 145, -145, 65, -65, 115, -115)]
"""Around a point, tried in this order: right of it first, never on the lines of its band."""


def draw_frontier(plan: Plan, source: str) -> Any:
    from matplotlib.figure import Figure

    shown = list(plan.alternatives) or [_as_alternative(plan)]
    figure = Figure(figsize=(10.4, 5.2), layout="constrained")
    axes, beside = figure.subplots(1, 2, width_ratios=(2.4, 1))
    unit = duration_unit(plan.hours.p50 * 3600)
    scale = 3600 / unit.seconds
    for other in shown:
        _point(axes, other, plan, scale)
    _front(axes, shown, scale)
    _axes(axes, shown, scale)
    _limits(axes, plan, scale)
    axes.set_xlabel(f"{unit.word} from start to end")
    axes.set_ylabel("dollars of the whole run")
    money = usd_band(plan.usd, at_least=plan.at_least)[0].replace("unknown", "unknown dollars")
    axes.set_title(f"{source}: {money} in {hours_band(plan.hours)[0]}", loc="left")
    caption = f"Crosses: 80% bands. Hollow: one interruption or more is expected. {price_age(plan).text}."
    if any(other.at_least for other in shown):
        caption += " Arrows: at least these dollars, since a price is unknown."
    figure.text(0.01, -0.03, caption, fontsize=8, color="#555555")
    _list(beside, shown, plan, unit)
    _numbers(figure, axes, shown, plan, scale)
    return figure


def _as_alternative(plan: Plan) -> Alternative:
    """A plan without a frontier is its own only point."""
    from planners.plan.value import Alternative

    nowhere = dict.fromkeys(("label", "cloud", "region", "capacity_type"), "")
    return Alternative(
        **nowhere,
        number=plan.frontier_chosen,
        fleet=plan.fleet,
        gpu=next((pool.gpu for pool in plan.pools if pool.gpu), ""),
        gpus=sum(pool.gpus for pool in plan.pools),
        sandbox_nodes=0,
        hours=plan.hours,
        usd=plan.usd,
        at_least=plan.at_least,
        interruptions=0.0,
    )


def _point(axes: Any, other: Alternative, plan: Plan, scale: float) -> None:
    is_choice = other.number == plan.frontier_chosen
    left, x, right = (hours * scale for hours in other.hours.percentiles)
    low, y, high = other.usd.percentiles
    ends = {"xerr": [[max(x - left, 0)], [max(right - x, 0)]], "yerr": [[max(y - low, 0)], [max(high - y, 0)]]}
    cross = {"ecolor": CHOSEN, "elinewidth": 1.6} if is_choice else {"ecolor": BAND, "elinewidth": 0.9}
    axes.errorbar([x], [y], **ends, **cross, capsize=2.5, fmt="none", zorder=2)
    colour = CHOSEN if is_choice else DOT
    inside = "white" if other.interruptions >= RISKY else colour
    mark = {"marker": "^" if other.at_least else "*" if is_choice else "o", "markersize": 17 if is_choice else 8}
    edge = {"markerfacecolor": inside, "markeredgecolor": colour, "markeredgewidth": 1.4}
    axes.plot([x], [y], **mark, **edge, color=colour, linestyle="none", zorder=4)


def _front(axes: Any, shown: Sequence[Alternative], scale: float) -> None:
    """A thin line through the fleets that no other beats in both dollars and hours."""
    best: list[Alternative] = []
    priced = [other for other in shown if not other.at_least]
    for other in sorted(priced, key=lambda each: (each.hours.p50, each.usd.p50)):
        if not best or other.usd.p50 < best[-1].usd.p50:
            best.append(other)
    x, y = [other.hours.p50 * scale for other in best], [other.usd.p50 for other in best]
    axes.plot(x, y, color="#b8c4d0", linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)


def _limits(axes: Any, plan: Plan, scale: float) -> None:
    """The spec's limits as lines with their names."""
    limits = plan.spec.get("limits") or {}
    style = {"color": LIMIT, "linewidth": 1.4, "linestyle": (0, (1, 1.5)), "zorder": 1}
    text = {"color": LIMIT, "fontsize": 8, "zorder": 5}
    if limits.get("hours") and axes.get_xlim()[0] < limits["hours"] * scale < axes.get_xlim()[1]:
        axes.axvline(limits["hours"] * scale, **style)
        top = axes.get_xaxis_transform()
        axes.text(limits["hours"] * scale, 0.99, " limits.hours", transform=top, va="top", rotation=90, **text)
    if limits.get("usd") and axes.get_ylim()[0] < limits["usd"] < axes.get_ylim()[1]:
        axes.axhline(limits["usd"], **style)
        axes.text(0.99, limits["usd"], "limits.usd", transform=axes.get_yaxis_transform(), ha="right", **text)


def _axes(axes: Any, shown: Sequence[Alternative], scale: float) -> None:
    """Limits with room for all bands; a logarithmic axis where they span much, else from zero where that is near."""
    hours = [hour * scale for other in shown for hour in other.hours.percentiles]
    dollars = [amount for other in shown for amount in other.usd.percentiles]
    _axis(axes.set_xscale, axes.set_xlim, axes.xaxis, hours, "{:g}".format)
    _axis(axes.set_yscale, axes.set_ylim, axes.yaxis, dollars, usd)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def _axis(set_scale: Any, set_limits: Any, axis: Any, ends: Sequence[float], text: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = min(ends), max(ends)
    if low > 0 and high / low > WIDE:
        set_scale("log")
        set_limits(low / 1.12, high * 1.12)
        axis.set_major_locator(LogLocator(subs=TICKS if high / low < 30 else (1.0, 2.0, 5.0)))
        axis.set_minor_formatter(NullFormatter())
    else:
        margin = 0.08 * (high - low) or 0.1 * high or 1.0
        set_limits(0 if low < high / 3 else max(low - margin, 0), high + margin)
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def _list(beside: Any, shown: Sequence[Alternative], plan: Plan, unit: DurationUnit) -> None:
    """What the numbers are, from the top of the picture down."""
    beside.axis("off")
    step = 1.0 / max(len(shown), 8)
    for row, other in enumerate(shown):
        is_choice = other.number == plan.frontier_chosen
        name = ", ".join(filter(None, ("this plan" if is_choice else "", *labels_of(other, is_choice=is_choice))))
        style = {"va": "top", "color": CHOSEN if is_choice else "#222222", "transform": beside.transAxes}
        top = 1.0 - row * step
        money = usd_band(other.usd, at_least=other.at_least)[0]
        head = f"{name}: {money}" if name else money
        beside.text(-0.12, top, f"{other.number}", fontsize=9, fontweight="bold", **style)
        beside.text(0.0, top, f"{head} in {hours_band(other.hours, unit)[0]}", fontsize=9, fontweight="bold", **style)
        gpus = f"{other.gpus:,} {other.gpu}" if other.gpus else "no GPUs"
        place = (gpus, f"{other.cloud} {other.region}".strip(), capacity(other))
        beside.text(0.0, top - 0.34 * step, ", ".join(filter(None, place)), fontsize=8, **style)


def _numbers(figure: Any, axes: Any, shown: Sequence[Alternative], plan: Plan, scale: float) -> None:
    """The number of each point near it, where there is most room beside points and numbers."""
    figure.draw_without_rendering()
    points = [complex(*axes.transData.transform((other.hours.p50 * scale, other.usd.p50))) for other in shown]
    pixels = figure.dpi / 72
    taken = list(points)
    for other, point in zip(shown, points, strict=True):
        offsets = [cmath.rect(distance * pixels, angle) for distance in DISTANCES for angle in ANGLES]
        best = max(offsets, key=lambda offset: _room(point + offset, taken, pixels) - abs(offset) / 4)
        taken.append(point + best)
        is_far = abs(best) > 1.5 * DISTANCES[0] * pixels
        bold = {"fontsize": 10, "fontweight": "bold", "ha": "center", "va": "center", "zorder": 6}
        axes.annotate(
            f"{other.number}",
            (other.hours.p50 * scale, other.usd.p50),
            **bold,
            xytext=(best.real / pixels, best.imag / pixels),
            textcoords="offset points",
            color=CHOSEN if other.number == plan.frontier_chosen else "#222222",
            arrowprops={"arrowstyle": "-", "color": "#555555", "linewidth": 0.7} if is_far else None,
        )


def _room(place: complex, taken: Sequence[complex], pixels: float) -> float:
    """Pixels to the nearest of what is there, as far as they matter: a number needs no more than ROOM."""
    return min(*(abs(place - other) for other in taken), ROOM * pixels)
