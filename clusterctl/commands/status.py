"""`clusterctl status`: what runs, since when, how far, what it costs, what is wrong and what fixes it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clusterctl.ledger import open_ledger
from clusterctl.ledger.locks import LockHeldError, run_lock
from clusterctl.ledger.rows import LIVE
from clusterctl.paths import user_data_dir
from clusterctl.run.end import cost_so_far
from clusterctl.run.runs import open_run
from clusterctl.run.start import ensure_supervisor
from clusterctl.run.view import status_row
from clusterctl.targets.local import SUPERVISOR

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger
    from clusterctl.ledger.rows import Run

WATCH_SECONDS = 1.0


def status(
    run: Annotated[str | None, typer.Argument(help="Only this run.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Ended runs too.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every second until nothing is live.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the live runs.  A run whose supervisor has died gets a new one, which takes its processes over."""
    with open_ledger() as ledger:
        while True:
            rows = _rows(ledger, run, everything=everything)
            typer.echo(json.dumps(rows, indent=2) if as_json else _text(rows))
            if not watch or not any(row["state"] in LIVE for row in rows):
                return
            time.sleep(WATCH_SECONDS)


def _rows(ledger: Ledger, only: str | None, *, everything: bool) -> list[dict[str, Any]]:
    if only is not None:
        return [_row(ledger, ledger.get_run(only))]
    return [_row(ledger, run) for run in ledger.runs() if everything or run.state in LIVE]


def _row(ledger: Ledger, run: Run) -> dict[str, Any]:
    store = user_data_dir()
    opened = open_run(ledger, store, run.run_id)
    adopted = run.state in LIVE and not _watched(ledger, run.run_id)
    if adopted:
        ensure_supervisor(ledger, store, run.run_id)
    live = ", ".join(sorted(i.role for i in opened.target.observe(opened.ref))) or "nothing"
    steps = ledger.steps(run.run_id)
    so_far, at_end = cost_so_far(opened)
    usd = "unknown" if so_far is None else f"${so_far:,.4f}" + (f" of ${at_end:,.4f}" if at_end is not None else "")
    row = status_row(run, steps[-1] if steps else None, usd, live)
    return row | ({"note": "its supervisor had died; a new one has taken over"} if adopted else {})


def _watched(ledger: Ledger, run_id: str) -> bool:
    try:
        with run_lock(ledger, run_id, SUPERVISOR):
            return False
    except LockHeldError:
        return True


def _text(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "nothing runs; `clusterctl up SPEC` starts a run, `clusterctl status --all` lists the ended ones"
    shown = []
    for row in rows:
        shown.append(f"{row['run']:<28} {row['state']:<9} step {row['steps']:<8} {row['usd']:<24} live: {row['live']}")
        if row["note"]:
            shown.append(f"  {row['note']}")
    return "\n".join(shown)
