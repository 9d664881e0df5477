"""`clusterctl drift`: what the cloud has otherwise than a run's state says, and what that costs."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Argument, Option

from clusterctl.errors import Drifted
from clusterctl.fleet.render import drift_text
from clusterctl.fleet.stack import FleetStack
from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.paths import user_data_dir
from clusterctl.runs.adopting import known_run
from clusterctl.ui.formats import count
from clusterctl.ui.streams import emit
from clusterctl.ui.terminal import terminal


def drift(
    run: Annotated[str, Argument(help="The run in a cloud: its id, the start of its id, or its name.")],
    *,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a run's machines in a cloud with the state that Pulumi keeps of them; change nothing.

    Exit code 9 if something differs.  `clusterctl up` with the run's file makes the fleet again as planned.
    """
    with open_ledger() as ledger:
        run_id = known_run(ledger, user_data_dir(), run).run_id
    found = FleetStack(user_data_dir(), run_id).drift()
    if as_json:
        typer.echo(json_text({"run": run_id, **found.as_data()}, indent=2))
    else:
        emit(f"{drift_text(found, terminal())}\n")
    if found.changes:
        raise Drifted(
            f"{count(len(found.changes), 'resource')} of {run_id}",
            hint="`clusterctl up` with the run's file makes the fleet again as planned",
        )
