"""`clusterctl down`: ends a run, looks at what is left, prints the final bill."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from clusterctl.errors import StateError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE
from clusterctl.paths import user_data_dir
from clusterctl.run.end import end_run, planned_against_actual
from clusterctl.run.runs import open_run
from clusterctl.run.view import bill_text


def down(
    run: Annotated[str, typer.Argument(help="Run: its id, the start of it, or its name.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """End a run, whatever state it is in, and print planned against actual.  Logs and results stay."""
    with open_ledger() as ledger:
        row = ledger.get_run(run)
        opened = open_run(ledger, user_data_dir(), row.run_id)
        if row.state in LIVE:
            end_run(opened)
        left = opened.target.observe(opened.ref)
        if left:
            names = ", ".join(f"{instance.role} {instance.address}" for instance in left)
            raise StateError(
                f"{row.run_id}: still there: {names}", hint="`clusterctl down` again, or `clusterctl sweep`"
            )
        lines = planned_against_actual(opened)
        ended = ledger.get_run(row.run_id)
        if as_json:
            shown = {"run": row.run_id, "state": ended.state, "left": [], "lines": [asdict(line) for line in lines]}
            typer.echo(json.dumps(shown, indent=2))
            return
        typer.echo(f"{row.run_id} has {ended.state}; nothing of it is left\n{bill_text(lines)}")
        typer.echo(f"logs and results: {opened.folder.path}")
