"""How long the server takes for each page of the dashboard on a day of a large fleet that benchmarks/store.py built.

A ledger is made in which every run of that day pays for its nodes; each page is then run as Streamlit runs it, first
with empty caches, then again.  Two threads.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "2")
REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))
PAGES = ("overview", "gpus", "pipeline", "sandboxes", "allocation", "orphans", "outcomes", "quality")
"""The pages that read telemetry or the ledger at length; `plan` and `what_if` read a plan."""
START = datetime(2026, 5, 4, tzinfo=UTC)
END = START + timedelta(hours=24)
TURNS = 3


def make_ledger(home: Path, folder: Path) -> int:
    """Runs of the day with a machine per node, at one price; how many machines there are."""
    from sqlalchemy import insert

    from clusterctl.ledger import open_ledger
    from clusterctl.ledger.rows import Cost, Resource, Run
    from clusterctl.ledger.store import values_of
    from clusterctl.ledger.tables import COSTS, RESOURCES, RUNS
    from clusterctl.store import open_store

    with open_store(str(folder)) as store:
        held = store.read("gpu", start=START, end=END, step_seconds=86_400, columns=["node", "run", "seconds"])
    payer = held.sort("seconds").group_by("node").last().fill_null("spare").sort("node").select("node", "run").rows()
    price, hours = Decimal("55.04"), Decimal(24)
    started = {"state": "running", "created_at": START, "started_at": START, "limit_usd": Decimal(10**6)}
    runs = [
        Run(run_id=run, name=run, target="aws", labels={"team": f"team-{len(run)}"}, **started)  # type: ignore[arg-type]
        for run in sorted({run for _, run in payer})
    ]
    resources = [
        Resource(resource_id=f"{run}/{node}", run_id=run, role="node", kind="machine", provider="aws", address=node,
                 tags={"clusterctl.dev/node": node, "clusterctl.dev/gpus": "8"}, usd_per_hour=price,
                 price_source="list", state="live", intended_at=START, live_at=START)
        for node, run in payer
    ]  # fmt: skip
    costs = [
        Cost(run_id=r.run_id, resource_id=r.resource_id, from_at=START, to_at=END, usd_per_hour=price,
             usd=price * hours, source="list")
        for r in resources
    ]  # fmt: skip
    with open_ledger(str(home / "ledger.db")) as ledger:
        for table, rows in ((RUNS, runs), (RESOURCES, resources), (COSTS, costs)):
            values: list[dict[str, Any]] = [values_of(row) for row in rows]  # type: ignore[type-var]
            ledger.write(lambda connection, t=table, v=values: connection.execute(insert(t), v) and None)
    return len(payer)


def measure(window: str) -> dict[str, list[tuple[float, float]]]:
    """(wall seconds, processor seconds) of each page: with empty caches, then again."""
    import streamlit as st
    from streamlit import config
    from streamlit.testing.v1 import AppTest

    from app import data

    config.set_option("server.address", "127.0.0.1")
    data.now_of = lambda _: END
    found: dict[str, list[tuple[float, float]]] = {}
    for page in PAGES:
        st.cache_data.clear()
        app = AppTest.from_file(str(REPO / "app" / "main.py"), default_timeout=120)
        app.query_params["run"], app.query_params["window"] = data.ALL_RUNS, window
        if page != "overview":
            app.run()
            app.switch_page(f"views/{page}.py")
            st.cache_data.clear()
        times = []
        for _ in range(TURNS):
            began, used = time.perf_counter(), time.process_time()
            app.run()
            times.append((round(time.perf_counter() - began, 3), round(time.process_time() - used, 3)))
            assert not app.exception, app.exception[0].message
        found[page] = times
    return found


def main() -> None:
    """Ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="a store that benchmarks/store.py has built")
    parser.add_argument("--window", default="24h")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CLUSTERCTL_HOME": folder, "CLUSTERCTL_TELEMETRY": str(options.folder)}
        machines = make_ledger(Path(folder), options.folder)
        measure(options.window)  # the interpreter's first imports
        pages = measure(options.window)
    print(
        json.dumps(
            {"machines": machines, "window": options.window, "seconds": pages, "load": os.getloadavg()}, indent=1
        )
    )


if __name__ == "__main__":
    main()
