"""`clusterctl events`: what happened to a run, in order."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from clusterctl.ledger import open_ledger
from clusterctl.run.view import event_text


def events(
    run: Annotated[str, typer.Argument(help="Run: its id, the start of it, or its name.")],
    *,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only this kind: launch, stop, gone, warn, limit, end …")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what happened to a run: every launch, stop, warning and limit."""
    with open_ledger() as ledger:
        rows = ledger.events(ledger.get_run(run).run_id, kind=kind)
    if as_json:
        typer.echo(json.dumps([asdict(row) | {"at": row.at.isoformat()} for row in rows], indent=2))
    else:
        typer.echo("\n".join(event_text(row) for row in rows))
