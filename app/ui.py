"""What all pages share: figures with their formula, gaps with their reason, words that stay words, live redrawing."""

from __future__ import annotations

import html
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
import streamlit as st

from clusterctl.errors import ClusterctlError
from clusterctl.ui import formats
from clusterctl.ui.formats import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from decimal import Decimal

    from streamlit.delta_generator import DeltaGenerator

    from app.data import View

LIVE_SECONDS = 10.0
"""How often a page of a live run looks again."""
SHORT_TABLE = 20
"""Rows above which a table scrolls."""
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
    """`12 s ago`."""
    if moment is None:
        return UNKNOWN
    seconds = max(0, (now - moment).total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def figure(label: str, value: str, *, help: str, delta: str | None = None, bad: bool | None = None) -> None:  # noqa: A002 - Streamlit's word
    """One number: what it is on top, how it is computed on hover.  `bad` colours the delta, which also says why."""
    color: Any = {True: "red", False: "green", None: "off"}[bad]
    text = help.replace("$", r"\$")
    st.metric(label, value, delta, delta_color=color, delta_arrow="off", help=text, border=True, width="stretch")


def figures() -> DeltaGenerator:
    """A row for figures: as many beside each other as there is room for, two on a phone."""
    return st.container(horizontal=True, gap="small")


def gap(what: str, reason: str) -> None:
    """Where a picture would be: what is missing and why.  Never a zero."""
    with st.container(border=True):
        st.markdown(f":gray[:material/hide_source: **{md(what)}**: {md(reason)}]")


def problem(error: ClusterctlError) -> None:
    """One clear message and the way on; the rest of the page is still shown."""
    hint = f"\n\n{md(error.hint)}" if error.hint else ""
    st.warning(md(error.message) + hint, icon=":material/warning:")


def problems(texts: Iterable[str]) -> None:
    """What can't be read, beside what can."""
    for text in texts:
        st.warning(md(text), icon=":material/warning:")


def guarded(draw: Callable[[], None]) -> None:
    """Draw a part of a page; an error of ours becomes its message, and the other parts are drawn all the same."""
    try:
        draw()
    except ClusterctlError as error:
        problem(error)


def live(draw: Callable[[], None], *, again: bool) -> None:
    """Draw, and while the run is live draw again in place, without the rest of the page."""
    st.fragment(lambda: guarded(draw), run_every=LIVE_SECONDS if again else None)()


def table(rows: pl.DataFrame, **columns: str | tuple[str, str]) -> None:
    """Rows as a table: column → title, or (title, help); columns that are not named are left out.

    A title that begins with `$` is dollars; moments are shown in the viewer's zone; null is a dash.
    """
    titles = {name: (title, None) if isinstance(title, str) else title for name, title in columns.items()}
    config = {name: _column(rows.schema[name], title, text) for name, (title, text) in titles.items()}
    height: Any = "content" if rows.height <= SHORT_TABLE else 36 * SHORT_TABLE
    st.dataframe(
        rows.select(list(titles)),
        hide_index=True,
        column_config=config,
        width="stretch",
        height=height,
        placeholder="–",
    )


def _column(dtype: pl.DataType, title: str, text: str | None) -> Any:  # Streamlit's columns share no type
    if dtype.is_temporal() and dtype != pl.Date:
        return st.column_config.DatetimeColumn(title, help=text, format="D MMM HH:mm:ss", timezone=zone().key)
    if dtype == pl.Date:
        return st.column_config.DateColumn(title, help=text, format="D MMM YYYY")
    if dtype.is_numeric():
        return st.column_config.NumberColumn(
            title, help=text, format="dollar" if title.startswith("$") else "localized"
        )
    return st.column_config.Column(title, help=text)


def window_text(start: datetime, end: datetime) -> str:
    """`24.0 h up to 22 Jul 02:00 (Europe/Berlin)`."""
    there = end.astimezone(zone())
    length = formats.hours((end - start) / timedelta(hours=1))
    return f"{length} up to {there.day} {there:%b %H:%M} ({zone().key})"


def legend(names: Mapping[str, str]) -> None:
    """Colours with their names, in as many lines as the screen needs."""
    marks = " ".join(
        f'<span style="white-space:nowrap;margin-right:1em"><span style="color:{color}">&#9632;</span> '
        f"{html.escape(name)}</span>"
        for name, color in names.items()
    )
    st.html(f'<div style="font-size:0.85em;line-height:1.5">{marks}</div>')


def strip(parts: Iterable[tuple[str, str]]) -> None:
    """How old everything on the page is: (what, age)."""
    st.caption(" · ".join(f"{md(what)}: {md(text)}" for what, text in parts))


def need_run(view: View) -> bool:
    """Whether one run is chosen; else says that one must be."""
    if view.run is None:
        st.info("Choose one run on the left: this page is about a single run.", icon=":material/arrow_back:")
    return view.run is not None


def words_colour() -> str:
    """Colour of words inside a picture, readable on the viewer's background."""
    return "#FAFAFA" if st.context.theme.type == "dark" else "#31333F"
