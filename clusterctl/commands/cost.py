"""`clusterctl cost`: what a run has cost so far, by resource, and planned against actual."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from clusterctl.ledger import open_ledger
from clusterctl.paths import user_data_dir
from clusterctl.run.end import cost_so_far, planned_against_actual
from clusterctl.run.runs import NODE, open_run
from clusterctl.run.view import bill_text


def cost(
    run: Annotated[str, typer.Argument(help="Run: its id, the start of it, or its name.")],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; money is a decimal string, null = unknown.")
    ] = False,
) -> None:
    """Show what a run has cost and will cost."""
    with open_ledger() as ledger:
        row = ledger.get_run(run)
        opened = open_run(ledger, user_data_dir(), row.run_id)
        bill = ledger.bill(row.run_id)
        _, at_end = cost_so_far(opened)
        lines = [line for line in bill.lines if line.role == NODE]
        if as_json:
            shown = {
                "run": row.run_id, "state": row.state, "usd": None if bill.usd is None else str(bill.usd),
                "known_usd": str(bill.known_usd), "usd_at_end": None if at_end is None else str(at_end),
                "lines": [
                    {
                        "resource": line.resource_id, "seconds": line.seconds,
                        "usd": None if line.usd is None else str(line.usd),
                    }
                    for line in lines
                ],
            }  # fmt: skip
            typer.echo(json.dumps(shown, indent=2))
            return
        for line in lines:
            dollars = "price unknown" if line.usd is None else f"${line.usd:,.6f}"
            typer.echo(f"{line.resource_id}  {line.seconds / 3600:.4f} h  {dollars}")
        if at_end is not None and row.ended_at is None:
            typer.echo(f"at this pace ${at_end:,.4f} at the end")
        typer.echo(bill_text(planned_against_actual(opened)))
