"""Brings here what the place of a run elsewhere has written, beside the page: a place that is slow or out of reach
keeps nobody waiting."""

from __future__ import annotations

import contextlib
import threading
import time

import streamlit as st

from app import data
from app.view import Data
from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import LIVE
from clusterctl.paths import user_data_dir
from clusterctl.runs.run import open_run
from clusterctl.runs.watching import refresh

EVERY_SECONDS = 10.0
"""How often a place is asked, as long as somebody looks at the run's page."""


class PlaceReader:
    """Asks the places of runs, each in a thread of its own, and one at a time."""

    def __init__(self) -> None:
        self._lock, self._asked, self._busy = threading.Lock(), dict[str, float](), set[str]()

    def ask(self, run_id: str) -> None:
        """Begin to bring what is new, unless that was done a moment ago; returns at once."""
        with self._lock:
            if run_id in self._busy or time.monotonic() - self._asked.get(run_id, -EVERY_SECONDS) < EVERY_SECONDS:
                return
            self._busy.add(run_id)
        threading.Thread(target=self._bring, args=(run_id,), daemon=True, name=f"bring {run_id}").start()

    def _bring(self, run_id: str) -> None:
        try:
            with contextlib.suppress(ClusterctlError, OSError):  # what keeps it is noted, and the run's problems say it
                refresh(open_run(data.ledger("live"), user_data_dir(), run_id), logs=True)
        finally:
            with self._lock:
                self._busy.discard(run_id)
                self._asked[run_id] = time.monotonic()


@st.cache_resource(show_spinner=False)
def _reader() -> PlaceReader:
    return PlaceReader()


def bring(of: Data, run_id: str, state: str) -> None:
    """What is new of a live run, for the next time that the page is drawn."""
    if of == "live" and state in LIVE:
        _reader().ask(run_id)
