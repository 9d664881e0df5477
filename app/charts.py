"""Frames to pictures.  Colours have the hues of Okabe and Ito's; each has its name in words, beside it or on hover.

`python tools/palettes.py` shows that they are told apart with any colour vision, and in grey.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import altair as alt
import polars as pl
import streamlit as st

from app import time_links
from app.ui import LABELS

STATES: dict[str, tuple[str, str]] = LABELS["states"]
"""What a GPU does → words and colour."""
BLUE, ORANGE, GREEN, SKY = "#0168A3", "#EEA503", "#0A936B", "#34ABE8"
VERMILION, PINK, PALE, GREY = "#BE5402", "#D272A8", "#C3C3C3", "#535353"
PALETTE = (BLUE, ORANGE, GREEN, SKY, VERMILION, PINK, PALE, GREY)
"""Each has a lightness of its own."""
BACKGROUNDS = {"light": "#FFFFFF", "dark": "#181614"}
WORDS = {"light": "#1B1C22", "dark": "#FAFAFA"}
"""Both as in app/.streamlit/config.toml."""
HEAT_EXTENTS = {"light": [0.0, 0.9], "dark": [0.25, 1.0]}
"""The part of viridis that heat maps have: neither end is near the background, which is what has no data."""
HEAT_ENDS = {"light": ("#440154", "#BDDF26"), "dark": ("#3B528B", "#FDE725")}
"""Its first and last colour there."""
LINES = (BLUE, ORANGE, GREEN, PINK, SKY, VERMILION)
DASHES: list[Sequence[int]] = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 1], [1, 3]]
HEIGHT, LOW = 240, 180
MOST_AMOUNTS = 14
"""Columns beside each other above which an amount on top of each would run into the next."""
CLOCK = "timeFormat(datum.value, hours(datum.value) + minutes(datum.value) ? '%H:%M' : '%-d %b')"
"""Labels of a time axis; the browser draws moments in its own zone, which is the viewer's."""
DOLLARS = "abs(datum.value) < 1 ? format(datum.value, '$~g') : format(datum.value, '$~s')"
"""Labels of an axis of dollars: no SI prefix below one, where `$1.5m` would be read as a million and a half."""
MOMENT = "%-d %b %H:%M"


def theme() -> str:
    """light or dark, as the viewer has chosen."""
    return "dark" if st.context.theme.type == "dark" else "light"


def words_colour() -> str:
    """Colour of words inside a picture, readable on the viewer's background."""
    return WORDS[theme()]


def ordered(domain: Sequence[float] | None = None) -> alt.Scale:
    """Viridis is ordered by brightness, so it needs no colour vision; 0 is not the background."""
    limits: dict[str, Any] = {} if domain is None else {"domain": list(domain), "clamp": True}
    return alt.Scale(scheme=alt.SchemeParams(name="viridis", extent=HEAT_EXTENTS[theme()]), **limits)


def legend(names: Mapping[str, str]) -> None:
    """Colours with their names, in as many lines as the screen needs: Vega's own legend is cut off on a phone."""
    marks = " ".join(
        f'<span style="white-space:nowrap;margin-right:1em"><span style="color:{color}">&#9632;</span> '
        f"{html.escape(name)}</span>"
        for name, color in names.items()
    )
    st.html(f'<div style="font-size:0.85em;line-height:1.5">{marks}</div>')


def colour(field: str, names: Mapping[str, str]) -> alt.Color:
    """A colour per name, the same on every page."""
    scale = alt.Scale(domain=list(names), range=list(names.values()))
    return alt.Color(f"{field}:N", scale=scale, legend=None, sort=list(names))


def states(frame: pl.DataFrame, column: str = "reason") -> pl.DataFrame:
    """The reason of GPU rows in words: null is busy.  An unknown word stays itself."""
    words = {name: text for name, (text, _) in STATES.items()}
    return frame.with_columns(pl.col(column).fill_null("busy").replace(words).alias("state"))


def state_colours(frame: pl.DataFrame) -> dict[str, str]:
    """Colours of the states that are there, in their order."""
    found = set(frame["state"].unique().to_list())
    known = {text: color for text, color in STATES.values() if text in found}
    return known | dict.fromkeys(sorted(found - set(known)), GREY)


def _time_axis(field: str = "at") -> alt.X:
    axis = alt.Axis(labelOverlap=True, labelExpr=CLOCK, grid=False, tickCount=8)
    return alt.X(f"{field}:T", title=None, axis=axis)


def _of_time(title: str, chart: Any, height: int) -> None:
    """Draw a picture with an axis of time, over which a range can be dragged: that time is then looked at."""
    key = f"{title} {st.session_state.get('choice')}"  # another range begins with nothing marked
    chosen = alt.selection_interval(name="range", encodings=["x"])
    drawn = chart.add_params(chosen).properties(height=height)
    st.altair_chart(drawn, key=key, on_select=partial(time_links.dragged, key), selection_mode="range")


def _buckets(frame: pl.DataFrame, step_seconds: int) -> pl.DataFrame:
    """With the beginning of each bucket, whose end is `at`."""
    return frame.with_columns(begin=pl.col("at").dt.offset_by(f"-{step_seconds}s"))


def stacked(
    title: str,
    frame: pl.DataFrame,
    *,
    value: str,
    axis: str,
    step_seconds: int,
    height: int = HEIGHT,
    colours: Mapping[str, str] | None = None,
) -> None:
    """`value` over time by state, as columns that stand on each other: a gap in the data is a gap in the picture."""
    names = colours or state_colours(frame)
    order = {name: position for position, name in enumerate(names)}
    shown = _buckets(frame, step_seconds).with_columns(order=pl.col("state").replace_strict(order, default=99))
    tooltip = [
        alt.Tooltip("at:T", title="up to", format=MOMENT),
        alt.Tooltip("state:N", title="what"),
        alt.Tooltip(f"sum({value}):Q", title=axis, format=",.1f"),
    ]
    chart = alt.Chart(shown).mark_bar(stroke=None, binSpacing=0)
    chart = chart.encode(
        x=_time_axis("begin"),
        x2="at",
        y=alt.Y(f"sum({value}):Q", title=axis, stack="zero"),
        color=colour("state", names),
        order="order:Q",
        tooltip=tooltip,
    )
    st.caption(title)
    legend(names)
    _of_time(title, chart, height)


def bars(frame: pl.DataFrame, *, value: str, label: str, text: str, colours: Mapping[str, str] | None = None) -> None:
    """Lying columns with their amounts beside them, the longest first; above each its name, which is never cut."""
    y = alt.Y(f"{label}:N", sort=frame[label].to_list(), title=None, axis=None)
    longest = max(frame[value].drop_nulls(), default=0.0)
    x = alt.X(f"{value}:Q", title=None, axis=None, scale=alt.Scale(domain=[0, longest * 1.35 or 1.0]))
    base, ink = alt.Chart(frame).encode(y=y), words_colour()
    drawn = base.mark_bar(cornerRadiusEnd=2, size=13, yOffset=8).encode(x=x)
    amounts = base.mark_text(align="left", dx=5, dy=8, fontWeight="bold", color=ink).encode(x=x, text=f"{text}:N")
    names = base.mark_text(align="left", dy=-8, color=ink).encode(x=alt.value(1), text=f"{label}:N")
    layers = alt.layer(drawn.encode(color=colour(label, colours)) if colours else drawn, amounts, names)
    st.altair_chart(layers.properties(height=38 * max(1, frame.height) + 8))


def lines(
    title: str,
    frame: pl.DataFrame,
    values: Mapping[str, str],
    *,
    axis: str = "",
    x: str = "at",
    zero: bool = True,
    marks: Mapping[int, str] | None = None,
) -> None:
    """Columns of a frame as lines: name in words → column.  Nulls break a line; its dash tells it from the others.

    marks: steps → what is written beside a rule there.
    """
    order = list(values)
    palette = dict(zip(order, LINES, strict=False))
    long = frame.select(x, *(pl.col(column).cast(pl.Float64).alias(name) for name, column in values.items()))
    long = long.unpivot(index=x, variable_name="what", value_name="value")
    if frame.schema[x].is_temporal():
        x_axis, moment = _time_axis(x), alt.Tooltip(f"{x}:T", title="at", format=MOMENT)
    else:
        x_axis = alt.X(f"{x}:Q", title=x, scale=alt.Scale(nice=False, zero=False))
        moment = alt.Tooltip(f"{x}:Q", title=x)
    dashes = alt.Scale(domain=order, range=DASHES[: len(order)])
    chart = alt.Chart(long).mark_line(strokeWidth=2, clip=True)
    chart = chart.encode(
        x=x_axis,
        y=alt.Y("value:Q", title=axis, scale=alt.Scale(zero=zero)),
        color=colour("what", palette),
        strokeDash=alt.StrokeDash("what:N", sort=order, legend=None, scale=dashes),
        tooltip=[moment, alt.Tooltip("what:N", title="what"), alt.Tooltip("value:Q", title=axis, format=",.4~g")],
    )
    st.caption(title)
    legend(palette)
    if frame.schema[x].is_temporal():
        _of_time(title, chart, LOW)
    else:
        st.altair_chart(alt.layer(chart, *_marks(marks or {}, frame[x])).properties(height=LOW))


def _marks(marks: Mapping[int, str], steps: pl.Series) -> list[alt.Chart]:
    """Upright rules with their words above the picture, one above the other, on the side with more room."""
    if not marks:
        return []
    at = pl.DataFrame({"step": list(marks), "words": list(marks.values())})
    at = at.with_columns(y=-4 - 13 * pl.int_range(pl.len()))
    tooltip: list[Any] = ["step", alt.Tooltip("words:N", title="what")]

    def of(rows: pl.DataFrame) -> alt.Chart:
        return alt.Chart(rows).encode(x=alt.X("step:Q", title=steps.name), tooltip=tooltip)

    drawn, late = [of(at).mark_rule(color=VERMILION, strokeWidth=2, strokeDash=[4, 3])], _middle(steps) < pl.col("step")
    sides: tuple[tuple[Literal["left", "right"], pl.Expr, int], ...] = (("left", ~late, 4), ("right", late, -4))
    for side, where, dx in sides:
        words = of(at.filter(where)).mark_text(
            align=side, baseline="bottom", dx=dx, fontWeight="bold", color=words_colour()
        )
        drawn.append(words.encode(text="words:N", y=alt.Y("y:Q", axis=None, scale=None)))
    return drawn


def _middle(steps: pl.Series) -> float:
    lowest, highest = steps.cast(pl.Float64).min(), steps.cast(pl.Float64).max()
    return (float(lowest or 0) + float(highest or 0)) / 2  # type: ignore[arg-type]


def days(frame: pl.DataFrame) -> None:
    """Dollars of each day, written on top: name, known_usd, text, part ("whole day", or "part of the day", paler)."""
    names = {"whole day": BLUE, "part of the day": SKY}
    shown = frame.with_columns(pl.col("known_usd").cast(pl.Float64))
    order = shown["name"].to_list()
    x = alt.X("name:O", sort=order, title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True, ticks=False))
    y = alt.Y("known_usd:Q", title="$ per day", axis=alt.Axis(labelExpr=DOLLARS, grid=False, tickCount=4))
    tips = [alt.Tooltip("name:N", title="day"), alt.Tooltip("text:N", title="cost"), alt.Tooltip("part:N", title="of")]
    base = alt.Chart(shown).encode(x=x, y=y, tooltip=tips)
    drawn = base.mark_bar(cornerRadiusEnd=2).encode(color=colour("part", names))
    words = base.mark_text(baseline="bottom", dy=-3, fontWeight="bold", color=words_colour()).encode(text="text:N")
    legend({part: names[part] for part in names if part in set(shown["part"])})
    st.altair_chart((alt.layer(drawn, words) if len(order) <= MOST_AMOUNTS else drawn).properties(height=LOW))


def heat(
    frame: pl.DataFrame,
    *,
    value: str,
    title: str,
    step_seconds: int,
    domain: Sequence[float] | None,
    rows: Sequence[str],
) -> None:
    """Column `row` x time: what has no data stays empty."""
    gradient = alt.Legend(orient="bottom", gradientLength=160)
    tooltip = [
        alt.Tooltip("row:N", title="GPU"),
        alt.Tooltip("at:T", title="up to", format=MOMENT),
        alt.Tooltip(f"{value}:Q", title=title, format=",.4~g"),
    ]
    chart = alt.Chart(_buckets(frame, step_seconds)).mark_rect(stroke=None)
    chart = chart.encode(
        x=_time_axis("begin"),
        x2="at",
        y=alt.Y("row:N", title=None, sort=list(rows), axis=alt.Axis(labelOverlap=True)),
        color=alt.Color(f"{value}:Q", title=title, scale=ordered(domain), legend=gradient),
        tooltip=tooltip,
    )
    _of_time(title, chart, 13 * len(rows) + 130)


def frontier(frame: pl.DataFrame) -> None:
    """Fleets: hours, usd, usd_low, usd_high, interruptions, what (alternative, this plan, as planned), name."""
    words = words_colour()
    tooltip: list[Any] = [
        "name",
        "what",
        alt.Tooltip("hours", format=",.1f"),
        alt.Tooltip("usd", format="$,.0f"),
        alt.Tooltip("interruptions", title="expected interruptions", format=".2g"),
    ]
    hours = alt.X("hours:Q", title="hours", scale=alt.Scale(zero=False, padding=20), axis=alt.Axis(tickCount=8))
    base = alt.Chart(frame).encode(x=hours, tooltip=tooltip)
    y = alt.Y("usd:Q", title="dollars", scale=alt.Scale(zero=False), axis=alt.Axis(labelExpr=DOLLARS))
    legend_ = alt.Legend(title="expected interruptions", orient="bottom", gradientLength=160)
    risk = alt.Color("interruptions:Q", scale=ordered(), legend=legend_)
    drawn = [
        base.mark_rule(color=words, opacity=0.5).encode(y=alt.Y("usd_low:Q", title="dollars"), y2="usd_high:Q"),
        base.mark_point(size=120, filled=True, opacity=1).encode(y=y, color=risk),
    ]
    for what, shape, angle in (("this plan", "diamond", 0), ("as planned", "cross", 45)):
        mark = base.mark_point(size=320, shape=shape, color=words, strokeWidth=2, angle=angle)
        drawn.append(mark.encode(y=y).transform_filter(alt.datum.what == what))
    st.altair_chart(alt.layer(*drawn).properties(height=320))
