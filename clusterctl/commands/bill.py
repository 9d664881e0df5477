"""`clusterctl bill`: what the provider really billed, next to what was estimated."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.ui.streams import emit
from clusterctl.ui.terminal import terminal

if TYPE_CHECKING:
    from clusterctl.costs.imported_bills import Reconciled

app = typer.Typer(help="Import what a provider billed, and compare it with the estimates.", no_args_is_help=True)

Json = Annotated[bool, Option("--json", help="Print JSON; money is a decimal string.")]


@app.command("import")
def import_(
    files: Annotated[list[str], Argument(help="AWS CUR or FOCUS files (.csv, .csv.gz, .parquet) of whole months.")],
    *,
    as_json: Json = False,
) -> None:
    """Import bills; the runs that they cover then show billed amounts instead of estimates."""
    from clusterctl.costs.imported_bills import import_bills, reconciled

    with open_ledger() as ledger:
        changed = import_bills(ledger, [Path(file) for file in files], datetime.now(tz=UTC))
        if not changed:
            typer.echo("nothing changed: these bills are already imported", err=True)
        _print([one for one in reconciled(ledger) if one.bill.bill_id in changed], as_json=as_json)


@app.command()
def show(*, as_json: Json = False) -> None:
    """Show every imported bill: estimated and billed amounts by run."""
    from clusterctl.costs.imported_bills import reconciled

    with open_ledger() as ledger:
        found = reconciled(ledger)
        if not found:
            typer.echo("no bill is imported; `clusterctl bill import FILE` imports one", err=True)
        _print(list(found), as_json=as_json)


@app.command()
def remove(bill: Annotated[str, Argument(help="Id of the bill, as `clusterctl bill show` prints it.")]) -> None:
    """Remove an imported bill; its runs show estimates again."""
    with open_ledger() as ledger:
        ledger.drop_bill(bill)


def _print(found: list[Reconciled], *, as_json: bool) -> None:
    from clusterctl.costs.imported_bills import as_data, bill_lines
    from clusterctl.ui.spans import paint

    if as_json:
        typer.echo(json_text([as_data(one) for one in found], indent=2))
        return
    window = terminal()
    for one in found:
        emit(paint(bill_lines(one, window.columns), colour=window.colour))
