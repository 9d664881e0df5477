"""How long the server takes for each page of the dashboard, on the day of a large fleet that store.py builds.

A ledger is made in which every run of that day pays for its nodes, with the plan and the steps of the simulated day.
Each page is run as Streamlit runs it, in a fresh process on two cores: as the first page after the server's start, then
ten seconds later, as a live page asks, then again with nothing new.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))
RUN = "run-7"
PAGES = {
    "runs": "all",
    "run": RUN,
    "overview": "all",
    "plan": RUN,
    "gpus": "all",
    "where": "all",
    "pipeline": RUN,
    "sandboxes": "all",
    "allocation": "all",
    "what_if": RUN,
    "orphans": "all",
    "outcomes": "all",
    "quality": "all",
}
"""Page and what is looked at: the whole fleet, or one run where the page is about one."""
START = datetime(2026, 5, 4, tzinfo=UTC)
END = START + timedelta(hours=23, minutes=51)
TURNS = 2


def measure(folder: Path, window: str = "24h") -> dict[str, Any]:
    """Machines in the ledger, and by page the seconds of the server: first, refresh and again."""
    with tempfile.TemporaryDirectory() as home:
        environ = os.environ | {"CLUSTERCTL_HOME": home, "CLUSTERCTL_TELEMETRY": str(folder), "POLARS_MAX_THREADS": "2"}
        os.environ |= environ
        found: dict[str, Any] = {"machines": make_ledger(Path(home), folder), "window": window, "pages": {}}
        for page in PAGES:
            child = [sys.executable, __file__, "--page", page, "--window", window]
            out = subprocess.run(child, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout
            found["pages"][page] = json.loads(out.splitlines()[-1])
            print(page, found["pages"][page], file=sys.stderr)
    return found


def make_ledger(home: Path, folder: Path) -> int:
    """The runs of the day with a machine per node at one price; how many machines there are."""
    from sqlalchemy import insert

    from clusterctl.dashboard import sample as simulated
    from clusterctl.ledger import open_ledger
    from clusterctl.ledger.ledger_tables import COSTS, PHASES, RESOURCES, RUNS, STEPS
    from clusterctl.ledger.rows import Cost, Resource, Run
    from clusterctl.ledger.store import values_of
    from clusterctl.store import open_store

    payer = []
    with open_store(str(folder)) as store:
        for table in ("gpu", "sandbox"):
            held = store.read(table, start=START, end=END, step_seconds=86_400, columns=["node", "run", "seconds"])
            held = held.sort("seconds").group_by("node").last().fill_null("spare").sort("node")
            payer += held.select("node", "run").rows()
    with open_ledger(f"{simulated.ensure_sample(home)}/ledger.db") as sample:
        like = [sample.get_run(run) for run in ("simulated-triples", "simulated-swebench", "simulated-rlcef-32b")]
        plans = [sample.get_plan(run.plan_id) for run in like if run.plan_id]
        steps = [sample.steps(run.run_id) for run in like]
        phases = [sample.phases(run.run_id) for run in like]
    names = sorted({run for _, run in payer} - {"spare"}, key=lambda run: int(run.rpartition("-")[2]))
    started = {"state": "running", "created_at": START, "started_at": START, "limit_usd": Decimal(10**6)}
    rows: dict[Any, list[Any]] = {
        RUNS: [Run(run_id="spare", name="spare", target="aws", **started)],  # type: ignore[arg-type]
        STEPS: [],
        PHASES: [],
        RESOURCES: [],
        COSTS: [],
    }
    for number, name in enumerate(names):
        kind, late = min(number, 2), START - simulated.START
        labels = {"team": f"team-{number % 5}"}
        run = Run(run_id=name, name=name, target="aws", plan_id=plans[kind].plan_id, labels=labels, **started)  # type: ignore[arg-type]
        rows[RUNS].append(run)
        rows[STEPS] += [replace(step, run_id=name, at=step.at + late) for step in steps[kind]]
        rows[PHASES] += [replace(phase, run_id=name) for phase in phases[kind]]
    for node, run in payer:
        sandbox = node.startswith("sandbox")
        price, key = Decimal("5.44" if sandbox else "55.04"), f"{run}/{node}"
        tags = {"clusterctl.dev/node": node, "clusterctl.dev/gpus": "0" if sandbox else "8"}
        rows[RESOURCES].append(
            Resource(
                resource_id=key,
                run_id=run,
                role="sandbox" if sandbox else "node",
                kind="machine",
                provider="aws",
                address=node,
                tags=tags,
                usd_per_hour=price,
                price_source="list",
                state="live",
                intended_at=START,
                live_at=START,
            )
        )
        hours = Decimal((END - START).total_seconds()) / 3600
        rows[COSTS].append(
            Cost(
                run_id=run,
                resource_id=key,
                from_at=START,
                to_at=END,
                usd_per_hour=price,
                usd=price * hours,
                source="list",
            )
        )
    with open_ledger(str(home / "ledger.db")) as ledger:
        for plan in plans:
            ledger.put_plan(plan.plan_id, schema=plan.schema, content=plan.content, at=START)
        for table, some in rows.items():
            values: list[dict[str, Any]] = [values_of(row) for row in some]
            ledger.write(lambda connection, t=table, v=values: connection.execute(insert(t), v) and None)
    return len(payer)


def page_seconds(page: str, window: str) -> dict[str, Any]:
    """(wall, processor) seconds of one page; `first`: what the server has read at its start is no longer fresh."""
    from streamlit import config
    from streamlit.testing.v1 import AppTest

    from app import data, serve, view

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    config.set_option("server.address", "127.0.0.1")
    moment = [END]
    data.now_of = lambda _: moment[0]
    began = time.perf_counter()
    serve.warm()
    start = round(time.perf_counter() - began, 3)

    def asked() -> tuple[float, float]:
        app = AppTest.from_file(str(REPO / "app" / "main.py"), default_timeout=120)
        app.query_params["run"], app.query_params["window"] = PAGES[page], window
        if page != "runs":
            app.switch_page(f"views/{page}.py")
        began, used = time.perf_counter(), time.process_time()
        app.run()
        took = round(time.perf_counter() - began, 3), round(time.process_time() - used, 3)
        assert not app.exception, app.exception[0].message
        assert len(app.main) > 1, "an empty page"
        return took

    time.sleep(view.FRESH_SECONDS)
    moment[0] += timedelta(seconds=10)
    found: dict[str, Any] = {"view": PAGES[page], "start": start, "first": asked(), "refresh": [], "again": []}
    for name in ("refresh", "again"):
        for _ in range(TURNS):
            if name == "refresh":
                time.sleep(view.FRESH_SECONDS)
                moment[0] += timedelta(seconds=10)
            found[name].append(asked())
    return found


def main() -> None:
    """Ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="a store that tools/benchmarks/store.py has built")
    parser.add_argument("--window", default="24h")
    parser.add_argument("--page", help=argparse.SUPPRESS)
    options = parser.parse_args()
    found = page_seconds(options.page, options.window) if options.page else measure(options.folder, options.window)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
