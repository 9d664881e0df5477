"""Streamlit, which imports and reads what pages need as soon as it serves: the first visitor does not wait for it."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

from streamlit import runtime
from streamlit.web import cli

from clusterctl.errors import ClusterctlError

MODULES = ("app.page_alerts", "app.charts", "app.planning", "pandas", "pyarrow")
"""With all that they import; Streamlit itself would import the last two when it draws the first table."""


def warm() -> None:
    """Import it, and read what Overview shows of all runs; Streamlit's caches want a runtime to be there."""
    for name in MODULES:
        import_module(name)
    import altair as alt
    import polars as pl

    from app import accounts, data, measurements
    from app.time_window import Chosen

    alt.Chart(pl.DataFrame({"x": [1.0]})).mark_bar().encode(x="x:Q").to_dict()  # the first picture loads the schema
    with contextlib.suppress(ClusterctlError):  # the page says it
        view = data.view("live", data.ALL_RUNS, Chosen())
        accounts.account(view), accounts.gpu_use(view)
        for table in ("gpu", "host", "sandbox"):
            measurements.last_seen(view, table)
        for run in data.live_runs("live"):
            data.reported("live", run.run_id)


def _warm_once_served() -> None:
    while not runtime.exists():
        time.sleep(0.02)
    warm()


if __name__ == "__main__":
    threading.Thread(target=_warm_once_served, daemon=True).start()
    script, *flags = sys.argv[1:]
    cli.main(["run", str(Path(__file__).with_name(script)), *flags], prog_name="streamlit")
