"""`clusterctl down`: ends a run, looks at what is left, prints the final bill."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from typer import Argument, Option

from clusterctl.errors import Interrupted, StateError
from clusterctl.interrupt import Interrupt
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE
from clusterctl.paths import user_data_dir
from clusterctl.runs.bill import planned_against_actual
from clusterctl.runs.down import end_run, look
from clusterctl.runs.render import bill_text, saved_text
from clusterctl.runs.run import open_run
from clusterctl.runs.up import ensure_supervisor
from clusterctl.ui.terminal import terminal


def down(
    run: Annotated[str, Argument(help="Run: its id, the start of it, or its name.")],
    *,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """End a run, whatever state it is in, and print planned against actual.

    Its jobs are asked to save their work and end; logs and results stay, and `clusterctl up RUN` goes on. It does not
    ask, and may be repeated.
    """
    store = user_data_dir()
    with open_ledger() as ledger, Interrupt() as interrupt:
        row = ledger.get_run(run)
        opened = open_run(ledger, store, row.run_id)
        if row.state in LIVE:
            typer.echo(f"{row.run_id}: its jobs are asked to save their work and end", err=True)
            if not end_run(opened, go_on=interrupt.wanted):
                ensure_supervisor(ledger, store, row.run_id)
                raise Interrupted(
                    f"{row.run_id} is being ended by its supervisor",
                    hint=f"`clusterctl down {row.run_id}` waits for it and prints the bill",
                )
        left = look(opened)
        if left:
            names = ", ".join(f"{item.role or item.kind} {item.address}" for item in left)
            raise StateError(
                f"{row.run_id}: still there: {names}", hint="`clusterctl down` again, or `clusterctl sweep`"
            )
        lines, ended = planned_against_actual(opened), ledger.get_run(row.run_id)
        if as_json:
            shown = {
                "run": row.run_id,
                "state": ended.state,
                "note": ended.note,
                "left": [],
                "folder": str(opened.folder.path),
                "lines": [asdict(line) for line in lines],
            }
            typer.echo(json.dumps(shown, indent=2))
            return
        done = next(iter(ledger.steps(row.run_id, last=1)), None)
        note = f": {ended.note}" if ended.note else ""
        typer.echo(
            f"{row.run_id} has {ended.state}{note}; nothing left running; its folder is kept\n\n"
            f"{bill_text(lines, done, columns=terminal().columns)}\n\n{saved_text(opened.folder)}"
        )
