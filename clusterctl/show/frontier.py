"""The picture of the frontier: dollars against hours of each alternative, with its 80 % band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clusterctl.show.labels import Box, place_labels
from clusterctl.show.page.run import price_age
from clusterctl.show.rounding import duration_unit, usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planners.plan.value import Alternative, Plan

BAND = "#9aa7b8"
DOT = "#0072B2"
CHOSEN = "#D55E00"
"""Blue and vermillion of Okabe and Ito: told apart with any colour vision; the choice is a star besides."""
RISKY = 1.0
"""Expected interruptions from which a fleet is drawn hollow."""


def draw_frontier(plan: Plan, source: str) -> Any:
    """A matplotlib figure."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(8.6, 5.2), layout="constrained")
    axes = figure.add_subplot()
    unit = duration_unit(plan.hours.p50 * 3600)
    scale = 3600 / unit.seconds
    shown = list(plan.alternatives) or [_as_alternative(plan)]
    for other in shown:
        _point(axes, other, plan, scale)
    _front(axes, shown, scale)
    _limits(axes, shown, scale)
    axes.set_xlabel(f"{unit.word} from start to end")
    axes.set_ylabel("dollars of the whole run")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: usd(value)))
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    at_least = "at least " if plan.at_least else ""
    axes.set_title(
        f"{source}: {at_least}{usd(plan.usd.p50)} in {unit.of(plan.hours.p50 * 3600)} {unit.name}", loc="left"
    )
    caption = f"Crosses: 80 % bands. Hollow: one interruption or more is expected. {price_age(plan.prices).text}."
    figure.text(0.01, -0.03, caption, fontsize=8, color="#555555")
    _labels(figure, axes, shown, plan, scale)
    return figure


def _as_alternative(plan: Plan) -> Alternative:
    """A plan without a frontier is its own only point."""
    from planners.plan.value import Alternative

    gpus = sum(pool.nodes * pool.gpus_per_node for pool in plan.pools)
    kinds = [pool.gpu for pool in plan.pools if pool.gpu]
    return Alternative(
        number=plan.frontier_chosen, label="", fleet=plan.fleet, cloud="", region="", capacity_type="",
        gpu=kinds[0] if kinds else "", gpus=gpus, sandbox_nodes=0, hours=plan.hours, usd=plan.usd, interruptions=0.0,
    )  # fmt: skip


def _point(axes: Any, other: Alternative, plan: Plan, scale: float) -> None:
    is_choice = other.number == plan.frontier_chosen
    colour = CHOSEN if is_choice else DOT
    x, y = other.hours.p50 * scale, other.usd.p50
    axes.errorbar(
        [x], [y],
        xerr=[[max(x - other.hours.p10 * scale, 0)], [max(other.hours.p90 * scale - x, 0)]],
        yerr=[[max(y - other.usd.p10, 0)], [max(other.usd.p90 - y, 0)]],
        ecolor=CHOSEN if is_choice else BAND, elinewidth=1.8 if is_choice else 1.1, capsize=2.5, fmt="none", zorder=2,
    )  # fmt: skip
    axes.plot(
        [x], [y], marker="*" if is_choice else "o", markersize=17 if is_choice else 8, color=colour, linestyle="none",
        markerfacecolor="white" if other.interruptions >= RISKY else colour, markeredgecolor=colour,
        markeredgewidth=1.4, zorder=4,
    )  # fmt: skip


def _limits(axes: Any, shown: Sequence[Alternative], scale: float) -> None:
    """Room for all bands, from zero dollars on when that costs less than a third of the picture."""
    left, right = min(o.hours.p10 for o in shown) * scale, max(o.hours.p90 for o in shown) * scale
    low, high = min(o.usd.p10 for o in shown), max(o.usd.p90 for o in shown)
    margin_x, margin_y = 0.06 * (right - left) or 0.1 * right or 1.0, 0.08 * (high - low) or 0.1 * high or 1.0
    axes.set_xlim(max(left - margin_x, 0), right + 2 * margin_x)
    axes.set_ylim(0 if low < high / 3 else low - margin_y, high + margin_y)


def _labels(figure: Any, axes: Any, shown: Sequence[Alternative], plan: Plan, scale: float) -> None:
    """A label beside each point, where it covers neither another label nor a point."""
    figure.draw_without_rendering()
    area = axes.get_window_extent()
    points = [tuple(axes.transData.transform((other.hours.p50 * scale, other.usd.p50))) for other in shown]
    texts = [_label(other, plan) for other in shown]
    pixels_per_point = figure.dpi / 72
    sizes = [_text_size(text, pixels_per_point) for text in texts]
    bands = [box for other in shown for box in _band_boxes(axes, other, scale)]
    boxes = place_labels(points, sizes, within=Box(area.x0, area.y0, area.x1, area.y1), avoid=bands)
    to_data = axes.transData.inverted()
    for other, text, point, box in zip(shown, texts, points, boxes, strict=True):
        x, y = to_data.transform((box.left, box.bottom))
        is_choice = other.number == plan.frontier_chosen
        axes.text(
            x, y, text, fontsize=8.5, color=CHOSEN if is_choice else "#222222", zorder=5, linespacing=1.15,
            fontweight="bold" if is_choice else "normal", va="bottom",
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
        near = box.nearest(point)
        if abs(near[0] - point[0]) + abs(near[1] - point[1]) > 24 * pixels_per_point:
            end = to_data.transform(near)
            start = to_data.transform(point)
            axes.plot([start[0], end[0]], [start[1], end[1]], color="#999999", linewidth=0.7, zorder=1)


def _band_boxes(axes: Any, other: Alternative, scale: float) -> list[Box]:
    """The two lines of a point's band, in pixels."""

    def pixels(hours: float, dollars: float) -> tuple[float, float]:
        x, y = axes.transData.transform((hours * scale, dollars))
        return float(x), float(y)

    left, middle_y = pixels(other.hours.p10, other.usd.p50)
    right, _ = pixels(other.hours.p90, other.usd.p50)
    middle_x, bottom = pixels(other.hours.p50, other.usd.p10)
    _, top = pixels(other.hours.p50, other.usd.p90)
    return [Box(left, middle_y - 2, right, middle_y + 2), Box(middle_x - 2, bottom, middle_x + 2, top)]


def _front(axes: Any, shown: Sequence[Alternative], scale: float) -> None:
    """A thin line through the fleets that no other beats in both dollars and hours."""
    best: list[Alternative] = []
    for other in sorted(shown, key=lambda each: (each.hours.p50, each.usd.p50)):
        if not best or other.usd.p50 < best[-1].usd.p50:
            best.append(other)
    x, y = [other.hours.p50 * scale for other in best], [other.usd.p50 for other in best]
    axes.plot(x, y, color="#b8c4d0", linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)


def _label(other: Alternative, plan: Plan) -> str:
    name = "this plan" if other.number == plan.frontier_chosen else other.label
    first = f"{other.number}  {name}".strip() if len(plan.alternatives) > 1 else (name or other.fleet)
    gpus = f"{other.gpus:,} {other.gpu}" if other.gpus else "no GPUs"
    place = f"{other.cloud} {other.region}".strip()
    capacity = other.capacity_type.replace("_", " ")
    return f"{first}\n{', '.join(filter(None, (gpus, place, capacity)))}"


def _text_size(text: str, pixels_per_point: float) -> tuple[float, float]:
    """Width and height of a label: generous, because bold text and other fonts are wider."""
    lines = text.split("\n")
    return max(len(line) for line in lines) * 5.0 * pixels_per_point, len(lines) * 11.5 * pixels_per_point
