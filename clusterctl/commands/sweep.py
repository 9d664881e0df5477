"""`clusterctl sweep`: finds what is ours and belongs to no live run, and removes what the person confirms."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from clusterctl.errors import SpecError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE
from clusterctl.paths import user_data_dir
from clusterctl.targets.local import LocalTarget


def sweep(
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove everything that is found, without asking.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what is found as JSON; remove nothing without --yes.")
    ] = False,
) -> None:
    """Look for processes and folders that no live run owns, and remove them once you say so."""
    store = user_data_dir()
    with open_ledger() as ledger:
        live = frozenset(run.run_id for run in ledger.runs(states=LIVE))
    target = LocalTarget(store)
    found = target.leftovers(live)
    now = datetime.now(tz=UTC)
    rows = [
        {"kind": item.kind, "address": item.address, "run": item.run_id, "size_bytes": item.size_bytes,
         "age_hours": round((now - item.since).total_seconds() / 3600, 3)}
        for item in found
    ]  # fmt: skip
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif not rows:
        typer.echo("nothing is left over")
    else:
        for row in rows:
            size = f"{row['size_bytes']:,} bytes"
            typer.echo(f"{row['kind']:<8} {row['address']}  of {row['run']}, {row['age_hours']} h old, {size}")
    if not found or (as_json and not yes):
        return
    if not yes and not sys.stdin.isatty():
        raise SpecError(f"{len(found)} left over, and nobody is there to ask", hint="pass --yes to remove them")
    if yes or typer.confirm(f"remove {'it' if len(found) == 1 else f'all {len(found)}'}?", default=False):
        for item in found:
            target.remove(item)
        typer.echo(f"removed {len(found)}", err=as_json)
