"""`clusterctl status`: what runs, since when, how far, what it costs, what is wrong and what fixes it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from clusterctl.errors import ClusterctlError
from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.paths import user_data_dir
from clusterctl.runs.adopting import known_run
from clusterctl.runs.render import page, table
from clusterctl.runs.run import open_run
from clusterctl.runs.run_status import RunStatus, as_data, state_of
from clusterctl.runs.standing import pay_on, standing_runs
from clusterctl.runs.watching import Watched, ensure_watched
from clusterctl.targets.base import Unreachable
from clusterctl.ui.formats import when
from clusterctl.ui.streams import emit, printable
from clusterctl.ui.terminal import Redrawn, terminal

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

WATCH_SECONDS = 1.0


def status(
    run: Annotated[
        str | None, Argument(help="Show this run in full: its id, the start of its id, or its name.")
    ] = None,
    *,
    everything: Annotated[bool, Option("--all", help="Include ended runs.")] = False,
    watch: Annotated[bool, Option("--watch", "-w", help="Refresh every second until no run is live.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON; with --watch one line per refresh.")] = False,
) -> None:
    """Show the live runs: progress, cost so far and forecast, problems and their fixes.

    A run whose supervisor has died gets a new one, which takes its processes over.
    """
    with open_ledger() as ledger:
        if run is not None:
            run = known_run(ledger, user_data_dir(), run).run_id
        drawn = Redrawn()
        while True:
            shown = [ledger.get_run(run)] if run is not None else list(ledger.runs(None if everything else LIVE))
            if run is None and not everything:
                shown += [ledger.get_run(name) for name in standing_runs(ledger)]
            states, broken = _states(ledger, shown, closely=run is not None)
            if as_json:
                rows = [as_data(state) for state in states] + broken
                typer.echo(json_text(rows, indent=None if watch else 2))
            else:
                text = _text(states, broken, one=run is not None, last=next(iter(ledger.runs(limit=1)), None))
                drawn.show(text) if watch else emit(f"{text}\n")
            if not watch or not any(row.state in LIVE for row in shown):
                return
            time.sleep(WATCH_SECONDS)


def _states(ledger: Ledger, runs: list[Run], *, closely: bool) -> tuple[list[RunStatus], list[dict[str, Any]]]:
    """The runs as they are, and those of which too little can be read, each with the reason."""
    store, states, broken = user_data_dir(), [], []
    for row in runs:
        try:
            opened = open_run(ledger, store, row.run_id)
            watched = Watched.YES
            with suppress(Unreachable):  # what is known is shown, and how old it is
                watched = ensure_watched(opened) if row.state in LIVE else watched
            pay_on(opened)
            states.append(state_of(opened, watched=watched, closely=closely))
        except ClusterctlError as error:
            problem = {"what": error.message, "fix": error.hint or ""}
            broken.append({"run": row.run_id, "name": row.name, "state": row.state, "problems": [problem]})
    return states, broken


def _text(states: list[RunStatus], broken: list[dict[str, Any]], *, one: bool, last: Run | None) -> str:
    at = terminal()
    shown = [page(states[0], at) if one else table(states, at)] if states else []
    for row in broken:
        problem = row["problems"][0]
        shown += [
            f"{row['run']}  {row['state']}",
            f"  ! {printable(problem['what'])}",
            f"    {printable(problem['fix'])}",
        ]
    if not shown:
        before = ""
        if last is not None and last.ended_at is not None:
            before = f"\nthe last was {last.run_id}: {last.state} at {when(last.ended_at, last.ended_at)}"
        return f"nothing runs; `clusterctl up SPEC` starts a run, `status --all` lists the ended ones{before}"
    return "\n".join(shown)
