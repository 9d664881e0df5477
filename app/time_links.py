"""Ways to another time or page that the address keeps: ranges typed, dragged over a picture, or linked to."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, get_args

import streamlit as st
from streamlit.errors import StreamlitAPIException

from app import data, ui
from app.time_window import FROM_TO, WINDOWS
from app.view import Data
from clusterctl.errors import ClusterctlError
from planners.costs.periods import moment, written

LINKED = "linked"
"""In the address of a link of ours: it says more than the page."""


def set_range(start: datetime, end: datetime) -> None:
    """Look at this time from now on; before the script runs, as widgets can't be changed behind themselves."""
    words = range_words(start, end)
    st.session_state.update(words)
    with suppress(StreamlitAPIException):  # where its widgets are there already, they write the address
        for name in ("from", "to"):
            st.query_params[name] = words[name]


def range_words(start: datetime, end: datetime) -> dict[str, str]:
    """The words of the address for a time."""
    return {"window": FROM_TO, "from": written(start, ui.zone()), "to": written(end, ui.zone(), up=True)}


def fill_range() -> None:
    """Once a range is wanted: begin with the window that was looked at."""
    if st.session_state["window"] == FROM_TO and not st.session_state.get("from"):
        with suppress(ClusterctlError):
            view = data.current()
            set_range(view.start, view.end)


def spell_out(field: str) -> None:
    """With the zone's offset, so that the address means the same to everybody; what is no moment stays."""
    zone, ends = ui.zone(), field == "to"
    with suppress(ValueError, OverflowError):
        st.session_state[field] = written(moment(st.session_state[field] or "", zone, ends=ends), zone)


def dragged(chart: str) -> None:
    """Take the range that was dragged over a picture of time."""
    picked = st.session_state[chart]["selection"].get("range") or {}
    ends = next(iter(picked.values()), None)
    if ends and ends[0] != ends[-1]:
        set_range(*(datetime.fromtimestamp(at / 1000, tz=UTC) for at in sorted(ends)))
        st.session_state[ui.MOVED] = True


def link(label: str, page: str, address: Mapping[str, str] | None = None, **look: Any) -> None:
    """A way to a page with these words in its address, beside what is looked at.  look: options of `st.page_link`."""
    words = st.query_params.to_dict() | dict(address or {}) | {LINKED: "1"}
    st.page_link(f"views/{page}.py", label=label, query_params=words, **look)


def follow() -> None:
    """Let what a link says of the side bar count, before its widgets are drawn.

    They keep what they had before, and the browser sends that beside the words of the link, which are the last.
    """
    if LINKED in st.query_params:
        del st.query_params[LINKED]
        words = st.query_params.to_dict()
        known = {"data": get_args(Data), "window": WINDOWS}
        wanted = {name: words[name] for name in ("data", "run", "window", "from", "to") if name in words}
        kept: dict[str | int, str] = {name: word for name, word in wanted.items() if word in known.get(name, {word})}
        st.session_state.update(kept)
