"""What all pages share: figures with their formula, gaps with their reason, words that stay words, live redrawing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ParamSpec
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import data, fleet
from app.view import View
from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import Resource
from clusterctl.ui import formats
from clusterctl.ui.csv_text import csv_text
from clusterctl.ui.formats import UNKNOWN
from planners.costs.periods import Trend

P = ParamSpec("P")

LIVE_SECONDS = 10.0
"""How often a page of a live run looks again."""
MOVED = "moved"
"""Of the session: a picture has chosen another time, so the whole page is drawn anew, not the part with the picture."""
SHORT_TABLE = 20
"""Rows above which a table scrolls."""
LABELS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("labels.toml").read_text("utf-8"))
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^=])")


def md(text: object) -> str:
    """Any text inside Markdown as itself: a run may be called `**[x](y)` or `$1$`."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def usd(amount: Decimal | float | None, *, cents: bool = False) -> str:
    """`$10,698`; cents below 100 dollars or where asked; unknown where nobody knows."""
    return formats.exact_usd(amount, 2 if cents and amount is not None and not -100 < amount < 100 else None)


def at_least(amount: Decimal | None, known: Decimal) -> str:
    """`$12.40`; of an unknown amount the part that is known: `at least $12.40`."""
    return usd(amount) if amount is not None or not known else f"at least {usd(known)}"


def a_day(resources: Sequence[Resource]) -> str:
    """What resources cost in a day, as far as their prices are known."""
    prices = [row.usd_per_hour for row in resources if row.usd_per_hour is not None]
    known = sum(prices, Decimal(0)) * 24
    return at_least(known if len(prices) == len(resources) else None, known)


def number(value: float | None, unit: str = "", places: int = 1) -> str:
    """`12.3 s`; unknown where nobody knows."""
    return UNKNOWN if value is None else f"{value:,.{places}f}{f' {unit}' if unit else ''}"


def zone() -> ZoneInfo:
    """The viewer's time zone, as the browser says; UTC where it says nothing that we know."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def clock(moment: datetime | None, now: datetime) -> str:
    """A moment in the viewer's zone: `14:05` today, else `22 Jul 14:05`."""
    if moment is None:
        return UNKNOWN
    there, today = moment.astimezone(zone()), now.astimezone(zone())
    return f"{there:%H:%M}" if there.date() == today.date() else f"{there.day} {there:%b %H:%M}"


def age(moment: datetime | None, now: datetime) -> str:
    """`12 s ago`; what is later than now says so: two clocks differ."""
    if moment is None:
        return UNKNOWN
    seconds = (now - moment).total_seconds()
    if seconds <= -1:
        return f"{-seconds:.0f} s ahead of this clock"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{abs(seconds):.0f} s ago"


def figure(name: str, value: str, *, delta: str | None = None, bad: bool | None = None, **words: str) -> None:
    """A figure of labels.toml: what it is on top, how it is computed on hover, with `words` filled into either.

    `bad` colours the delta, which also says why.
    """
    color: Any = {True: "red", False: "green", None: "off"}[bad]
    label, text = _labels(name, words)
    st.metric(label, value, delta, delta_color=color, delta_arrow="off", help=text, border=True, width="stretch")


def moving_figure(
    name: str,
    value: str,
    moved: Trend | None,
    *,
    delta: str | None,
    bad: bool | None,
    less_is_good: bool | None,
    words: Mapping[str, str],
) -> None:
    """A figure beside the same period before: an arrow whose colour says whether that is good; none where the period
    before is unknown.

    less_is_good: None = neither is.  A bad figure has a sign beside its label, as the arrow has a colour of its own.
    """
    if moved is None:
        figure(name, value, delta=delta, bad=bad, **words)
        return
    arrow: Any = {1: "up", -1: "down", 0: "off"}[moved.direction]
    good = None if less_is_good is None or not moved.direction else (moved.direction < 0) == less_is_good
    color: Any = {True: "green", False: "red", None: "gray"}[good]
    label, text = _labels(name, words)
    st.metric(
        label,
        value,
        _moved(moved),
        delta_arrow=arrow,
        delta_color=color,
        delta_description=delta,
        icon=":material/warning:" if bad else None,
        help=f"{text} The arrow: against the same period before.",
        border=True,
        width="stretch",
    )


def _labels(name: str, words: Mapping[str, str]) -> tuple[str, str]:
    """Label and help of a figure."""
    label, text = (LABELS["figures"][name][part].format(**words) for part in ("label", "help"))
    return label, text.replace("$", r"\$")


def _moved(moved: Trend) -> str:
    """`+12%`, `-8%`, `12 x`: against the same period before."""
    if not moved.direction:
        return "as before"
    if moved.change is None:
        return "0 before"
    return f"{moved.change:+.0%}" if moved.change < 9 else f"{moved.change + 1:,.0f} x"


def figures() -> DeltaGenerator:
    """A row for figures: as many beside each other as there is room for, two on a phone."""
    return st.container(horizontal=True, gap="small")


def gap(what: str, reason: str) -> None:
    """Where a picture would be: what is missing and why.  Never a zero."""
    with st.container(border=True):
        st.markdown(f":gray[:material/hide_source: **{md(what)}**: {md(reason)}]")


def problem(text: str, hint: str | None = None) -> None:
    """One clear message and the way on; the rest of the page is still shown."""
    st.warning(md(text) + (f"\n\n{md(hint)}" if hint else ""), icon=":material/warning:")


def problems(texts: Iterable[str]) -> None:
    """What can't be read, beside what can."""
    for text in texts:
        problem(text)


def estimates(view: View) -> None:
    """That some prices are estimates, and how they come about."""
    text = fleet.estimate_words(view)
    if text is not None:
        hint = "To state your own price or place: `machine-prices.yaml`, docs/telemetry.md."
        st.caption(f":material/info: {md(text)}", help=hint)


def fine(text: str, help: str | None = None) -> None:  # noqa: A002 - Streamlit's word
    st.markdown(f":green[:material/check_circle:] {text}", help=help)


def guarded(draw: Callable[P, None], *args: P.args, **options: P.kwargs) -> None:
    """Draw a part of a page; an error of ours becomes its message, and the other parts are drawn all the same."""
    try:
        draw(*args, **options)
    except ClusterctlError as error:
        problem(error.message, error.hint)


def live(draw: Callable[[View], None], *, of_one_run: bool = False, ended_too: bool = False) -> None:
    """Draw what is looked at; while new data may come draw it again in place, as it is then, without the rest.

    of_one_run: the page says nothing of all runs together.  ended_too: also where the chosen run has ended.
    """
    began = data.current()
    again = began.live or (ended_too and began.data == "live")

    def fragment() -> None:
        now = data.current()
        if st.session_state.pop(MOVED, False) or (began.live and not now.live):
            st.rerun()  # the run has ended: the whole page says so, and stands still
        if not of_one_run or need_run(now):
            guarded(draw, now)

    st.fragment(fragment, run_every=LIVE_SECONDS if again else None)()


def table(
    name: str, rows: pl.DataFrame, first: Iterable[str] = (), choose: Callable[[dict[str, Any]], None] | None = None
) -> None:
    """Rows as a table of labels.toml, after the columns `first`, which are called as they are; others are left out.

    A title that begins with `$` is dollars; moments are shown in the viewer's zone; null is a dash.  choose: what is
    done with a row that somebody picks, before the page is drawn anew.
    """
    columns = _columns(name, first)
    shown = rows.select(
        pl.col(column).round(said["places"]) if "places" in said else pl.col(column) for column, said in columns.items()
    )
    height: Any = "content" if rows.height <= SHORT_TABLE else 36 * SHORT_TABLE
    config = {
        column: _column(rows.schema[column], said["title"], said.get("help"), said.get("width"))
        for column, said in columns.items()
    }
    said: dict[str, Any] = {"hide_index": True, "column_config": config, "width": "stretch", "placeholder": "–"}
    if choose is None:
        st.dataframe(shown, height=height, **said)
        return
    key = f"table {name} {st.session_state.get('choice')}"

    def chosen() -> None:
        picked = st.session_state[key]["selection"]["rows"]
        if picked:
            choose(rows.row(picked[0], named=True))
            st.session_state[MOVED] = True

    st.dataframe(shown, height=height, key=key, on_select=chosen, selection_mode="single-row", **said)


def table_csv(name: str, rows: pl.DataFrame, first: Iterable[str] = ()) -> str:
    """The same rows as CSV under the same titles; dollars to the cent, other numbers as they are."""
    titles = [pl.col(column).alias(said["title"]) for column, said in _columns(name, first).items()]
    return csv_text(rows.select(titles))


def _columns(name: str, first: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Columns of a table → what is said of each."""
    labels = {column: {"title": column} for column in first} | LABELS["tables"][name]
    return {column: {"title": said} if isinstance(said, str) else said for column, said in labels.items()}


def _column(dtype: pl.DataType, title: str, text: str | None, width: Any) -> Any:  # Streamlit's columns share no type
    if dtype == pl.Date:
        return st.column_config.DateColumn(title, help=text, format="D MMM YYYY")
    if dtype.is_temporal():
        return st.column_config.DatetimeColumn(title, help=text, format="D MMM HH:mm:ss", timezone=zone().key)
    if dtype.is_numeric():
        unit = "dollar" if title.startswith("$") else "localized"
        return st.column_config.NumberColumn(title, help=text, format=unit)
    return st.column_config.Column(title, help=text, width=width)


def window_text(start: datetime, end: datetime) -> str:
    """`24.0 h up to 22 Jul 02:00 (Europe/Berlin)`; where the browser names no zone that we know, it says so."""
    there = end.astimezone(zone())
    length = formats.hours((end - start) / timedelta(hours=1))
    known = zone().key == st.context.timezone
    return f"{length} up to {there.day} {there:%b %H:%M} ({zone().key}{'' if known else ': your zone is unknown'})"


def kept(name: str) -> dict[str, Any]:
    """Options of a widget whose value the address keeps."""
    return {"key": name, "bind": "query-params"}


def nothing_yet() -> None:
    """What to do when there is nothing yet."""
    st.subheader("Nothing has run here yet", anchor=False)
    st.markdown("Start a run, and it appears here within seconds:")
    st.code("clusterctl init quickstart --out quickstart.yaml\nclusterctl up quickstart.yaml", language="sh")
    st.markdown("Or look at a recorded day of a simulated run: choose **simulated** on the left.")


def need_run(view: View) -> bool:
    """Whether one run is chosen; else says that one must be."""
    if view.run is None:
        st.info("Choose one run on the left: this page is about a single run.", icon=":material/arrow_back:")
    return view.run is not None
