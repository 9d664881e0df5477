"""`clusterctl events`: what happened to a run, in order."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from typer import Argument, Option

from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE
from clusterctl.paths import user_data_dir
from clusterctl.runs.adopting import known_run, refresh_row
from clusterctl.runs.follow import POLL_SECONDS, event_data
from clusterctl.runs.render import event_text
from clusterctl.runs.time_options import moment


def events(
    run: Annotated[str, Argument(help="Run: its id, the start of its id, or its name.")],
    *,
    kind: Annotated[
        str | None, Option(help="Only this kind: wanted, launch, stop, gone, warn, limit, limits, end.")
    ] = None,
    role: Annotated[str | None, Option("--role", "-r", help="Only this role.")] = None,
    since: Annotated[str | None, Option(help="Only events since then: 10m, 2h, 14:05, or an ISO time.")] = None,
    follow: Annotated[bool, Option("--follow", "-f", help="Follow until the run has ended.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON; with --follow one line per event.")] = False,
) -> None:
    """Print what happened to a run: every launch, stop, warning and limit.  Times are in your zone."""
    start = None if since is None else moment("--since", since, datetime.now(tz=UTC))
    with open_ledger() as ledger:
        store = user_data_dir()
        run_id, seen = known_run(ledger, store, run).run_id, 0
        while True:
            refresh_row(ledger, store, ledger.get_run(run_id))
            live = ledger.get_run(run_id).state in LIVE
            rows = ledger.events(run_id, since_seq=seen, kind=kind, role=role)
            seen = rows[-1].seq if rows else seen
            rows = tuple(row for row in rows if start is None or row.at >= start)
            if as_json and not follow:
                typer.echo(json_text([event_data(row) for row in rows], indent=2))
            for row in () if as_json and not follow else rows:
                typer.echo(json_text(event_data(row)) if as_json else event_text(row))
            if not follow or not live:
                return
            time.sleep(POLL_SECONDS)
