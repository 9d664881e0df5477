"""`clusterctl logs`: what the roles of a run say, also after it has ended."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from clusterctl.errors import SpecError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE
from clusterctl.paths import user_data_dir
from clusterctl.run.runs import open_run
from clusterctl.targets.local import SUPERVISOR

FOLLOW_SECONDS = 0.3


def logs(
    run: Annotated[str, typer.Argument(help="Run: its id, the start of it, or its name.")],
    *,
    role: Annotated[list[str] | None, typer.Option("--role", help="Only this role; repeat it.")] = None,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only the last lines of each role.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
) -> None:
    """Print the logs of a run, each line after its role."""
    with open_ledger() as ledger:
        row = ledger.get_run(run)
        opened = open_run(ledger, user_data_dir(), row.run_id)
        known = [*(r.name for r in opened.target.roles()), SUPERVISOR]
        wanted = role or known
        if strange := [name for name in wanted if name not in known]:
            raise SpecError(f"--role: `{strange[0]}` is no role of {row.run_id}", hint=f"known: {', '.join(known)}")
        shown = dict.fromkeys(wanted, 0)
        first = True
        while True:
            live = ledger.get_run(row.run_id).state in LIVE
            for name in wanted:
                lines = list(opened.target.logs(opened.ref, name))
                begin = max(shown[name], len(lines) - tail) if first and tail is not None else shown[name]
                shown[name] = len(lines)
                for line in lines[begin:]:
                    typer.echo(f"{name:<10} {line.rstrip()}")
            first = False
            if not follow or not live:
                return
            time.sleep(FOLLOW_SECONDS)
