"""Frames to pictures.  Colours are Okabe and Ito's; every colour also has its name in words, beside it or on hover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from app import ui

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STATES: dict[str, tuple[str, str]] = {
    "busy": ("busy", "#009E73"), "waiting_rollout": ("waits for rollouts", "#0072B2"),
    "waiting_sandbox": ("waits for sandboxes", "#E69F00"), "waiting_sync": ("waits for weights", "#56B4E9"),
    "no_process": ("no process", "#999999"), "booting": ("boots", "#CC79A7"),
    "unknown": ("idle, reason unknown", "#D55E00"), "unmeasured": ("not measured", "#6B6B6B"),
}  # fmt: skip
"""What a GPU does → words and colour."""
BLUE, ORANGE, GREEN, SKY, VERMILION, PINK, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#56B4E9",
    "#D55E00",
    "#CC79A7",
    "#999999",
)
HEIGHT = 240
GRADIENT = alt.Legend(orient="bottom", gradientLength=160)


CLOCK = "timeFormat(datum.value, hours(datum.value) + minutes(datum.value) ? '%H:%M' : '%-d %b')"
"""Labels of a time axis; the browser draws moments in its own zone, which is the viewer's."""
MOMENT = "%-d %b %H:%M"


def at(field: str = "at", title: str | None = None) -> alt.X:
    """The time axis."""
    return alt.X(f"{field}:T", title=title, axis=alt.Axis(labelOverlap=True, labelExpr=CLOCK, grid=False, tickCount=8))


def colour(field: str, names: Mapping[str, str]) -> alt.Color:
    """A colour per name, the same on every page.  `ui.legend` names them: Vega's own is cut off on a phone."""
    return alt.Color(
        f"{field}:N", scale=alt.Scale(domain=list(names), range=list(names.values())), legend=None, sort=list(names)
    )


def states(frame: pl.DataFrame, column: str = "reason") -> pl.DataFrame:
    """The reason of GPU rows in words: null is busy.  An unknown word stays itself."""
    words = {name: text for name, (text, _) in STATES.items()}
    return frame.with_columns(pl.col(column).fill_null("busy").replace(words).alias("state"))


def state_colours(frame: pl.DataFrame) -> dict[str, str]:
    """Colours of the states that are there, in their order."""
    found = set(frame["state"].unique().to_list())
    known = {text: color for text, color in STATES.values() if text in found}
    return known | dict.fromkeys(sorted(found - set(known)), GREY)


def stacked(
    frame: pl.DataFrame,
    *,
    value: str,
    title: str,
    step_seconds: int,
    height: int = HEIGHT,
    colours: Mapping[str, str] | None = None,
) -> alt.Chart:
    """`value` over time by state, as columns that stand on each other: a gap in the data is a gap in the picture."""
    names = state_colours(frame) if colours is None else colours
    order = {name: position for position, name in enumerate(names)}
    shown = frame.with_columns(
        begin=pl.col("at").dt.offset_by(f"-{step_seconds}s"), order=pl.col("state").replace_strict(order, default=99)
    )
    chart: alt.Chart = (
        alt.Chart(shown)
        .mark_bar(stroke=None, binSpacing=0)
        .encode(
            x=at("begin"),
            x2="at",
            y=alt.Y(f"sum({value}):Q", title=title, stack="zero"),
            color=colour("state", names),
            order="order:Q",
            tooltip=[
                alt.Tooltip("at:T", title="up to", format=MOMENT),
                alt.Tooltip("state:N", title="what"),
                alt.Tooltip(f"sum({value}):Q", title=title, format=",.1f"),
            ],
        )
        .properties(height=height)
    )
    return chart


def bars(
    frame: pl.DataFrame, *, value: str, label: str, text: str, colours: Mapping[str, str] | None = None
) -> alt.LayerChart | alt.FacetChart:
    """Lying columns with their amounts written beside them: the longest first."""
    order = frame[label].to_list()
    y = alt.Y(f"{label}:N", sort=order, title=None, axis=alt.Axis(labelLimit=170, ticks=False, domain=False))
    base = alt.Chart(frame).encode(
        y=y, x=alt.X(f"{value}:Q", title=None, axis=None, scale=alt.Scale(domain=[0, _room(frame, value)]))
    )
    drawn = (
        base.mark_bar(cornerRadiusEnd=2)
        if colours is None
        else base.mark_bar(cornerRadiusEnd=2).encode(color=colour(label, colours))
    )
    words = base.mark_text(align="left", dx=5, fontWeight="bold", color=ui.words_colour()).encode(text=f"{text}:N")
    return alt.layer(drawn, words).properties(height=34 * max(1, frame.height) + 8)


def _room(frame: pl.DataFrame, value: str) -> float:
    top = frame[value].max()
    return (float(top) if isinstance(top, int | float) else 0.0) * 1.35 or 1.0


def lines(
    frame: pl.DataFrame,
    *,
    values: Mapping[str, str],
    title: str,
    x: str = "at",
    height: int = HEIGHT,
    zero: bool = True,
) -> alt.Chart:
    """Columns of a frame as lines: name in words → column.  Nulls break a line; its dash tells it from the others."""
    order = list(values)
    long = frame.select(x, *(pl.col(column).cast(pl.Float64).alias(name) for name, column in values.items()))
    long = long.unpivot(index=x, variable_name="what", value_name="value")
    timed = frame.schema[x].is_temporal()
    axis = at(x) if timed else alt.X(f"{x}:Q", title=x, scale=alt.Scale(nice=False, zero=False))
    palette = line_colours(values)
    moment = alt.Tooltip(f"{x}:T", title="at", format=MOMENT) if timed else alt.Tooltip(f"{x}:Q", title=x)
    chart: alt.Chart = (
        alt.Chart(long)
        .mark_line(strokeWidth=2, clip=True)
        .encode(
            x=axis,
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=zero)),
            color=colour("what", palette),
            strokeDash=alt.StrokeDash(
                "what:N", sort=order, legend=None, scale=alt.Scale(domain=order, range=DASHES[: len(order)])
            ),
            tooltip=[moment, alt.Tooltip("what:N", title="what"), alt.Tooltip("value:Q", title=title, format=",.4~g")],
        )
        .properties(height=height)
    )
    return chart


def line_colours(values: Mapping[str, str]) -> dict[str, str]:
    """Colours of the lines of `lines`, by name."""
    return dict(zip(values, (BLUE, ORANGE, GREEN, PINK, SKY, VERMILION), strict=False))


DASHES: list[Sequence[int]] = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 1], [1, 3]]


def heat(
    frame: pl.DataFrame,
    *,
    row: str,
    value: str,
    title: str,
    step_seconds: int,
    domain: tuple[float, float] | None = None,
    rows: Sequence[str] = (),
) -> alt.Chart:
    """Rows x time: what has no data stays empty.  Viridis is ordered by brightness, so it needs no colour vision."""
    shown = frame.with_columns(begin=pl.col("at").dt.offset_by(f"-{step_seconds}s"))
    scale: Any = (
        alt.Scale(scheme="viridis") if domain is None else alt.Scale(scheme="viridis", domain=list(domain), clamp=True)
    )
    names = list(rows) or frame[row].unique().sort().to_list()
    chart: alt.Chart = (
        alt.Chart(shown)
        .mark_rect(stroke=None)
        .encode(
            x=at("begin"),
            x2="at",
            y=alt.Y(f"{row}:N", title=None, sort=names, axis=alt.Axis(labelOverlap=True)),
            color=alt.Color(f"{value}:Q", title=title, scale=scale, legend=GRADIENT),
            tooltip=[
                alt.Tooltip(f"{row}:N", title="GPU"),
                alt.Tooltip("at:T", title="up to", format=MOMENT),
                alt.Tooltip(f"{value}:Q", title=title, format=",.4~g"),
            ],
        )
        .properties(height=13 * len(names) + 130)
    )
    return chart


def frontier(frame: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Fleets: hours, usd, usd_low, usd_high, interruptions, what (alternative, this plan, as planned), name."""
    words = ui.words_colour()
    tips: list[Any] = [
        "name",
        "what",
        alt.Tooltip("hours", format=",.1f"),
        alt.Tooltip("usd", format="$,.0f"),
        alt.Tooltip("interruptions", title="expected interruptions", format=".2g"),
    ]
    hours = alt.X("hours:Q", title="hours", scale=alt.Scale(zero=False, padding=20), axis=alt.Axis(tickCount=8))
    base = alt.Chart(frame).encode(x=hours, tooltip=tips)
    y = alt.Y("usd:Q", title="dollars", scale=alt.Scale(zero=False), axis=alt.Axis(format="$~s"))
    risk = alt.Color(
        "interruptions:Q",
        scale=alt.Scale(range=[SKY, ORANGE, VERMILION]),
        legend=alt.Legend(title="expected interruptions", orient="bottom", gradientLength=160),
    )

    marks = {"this plan": "diamond", "as planned": "cross"}
    drawn = [
        base.mark_rule(color=words, opacity=0.5).encode(y=alt.Y("usd_low:Q", title="dollars"), y2="usd_high:Q"),
        base.mark_point(size=120, filled=True, opacity=1).encode(y=y, color=risk),
    ]
    for what, shape in marks.items():
        mark = base.mark_point(size=320, shape=shape, color=words, strokeWidth=2, angle=45 if shape == "cross" else 0)
        drawn.append(mark.encode(y=y).transform_filter(alt.datum.what == what))
    return alt.layer(*drawn).properties(height=320)
