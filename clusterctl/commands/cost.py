"""`clusterctl cost`: what runs have cost, who used it and for what, how it goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer import Argument, Option

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.paths import user_data_dir
from clusterctl.runs.adopting import known_run, refresh_row
from clusterctl.runs.time_options import moment
from clusterctl.store import open_source
from clusterctl.ui.streams import emit, emit_data
from clusterctl.ui.terminal import terminal

if TYPE_CHECKING:
    from clusterctl.costs.page import Page
    from clusterctl.ledger import Ledger
    from planners.plan.value import Plan


def cost(
    run: Annotated[
        str | None, Argument(help="Run: its id, the start of its id, or its name (default: all runs).")
    ] = None,
    *,
    by: Annotated[
        list[str] | None,
        Option(help="Split by use, run, role, team, model, provider, resource, node, namespace, pod or label:NAME."),
    ] = None,
    since: Annotated[str | None, Option(help="Start of the window: 7d, 14:05, 2026-11-23.")] = None,
    until: Annotated[str | None, Option(help="End of the window.")] = None,
    explain: Annotated[bool, Option("--explain", help="Add formulas, prices, their sources and ages.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON; money is a decimal string, null = unknown.")] = False,
    as_csv: Annotated[bool, Option("--csv", help="Print the split as CSV.")] = False,
    focus: Annotated[
        str | None, Option(help="Write a FOCUS data set instead: FILE.csv, FILE.parquet, - for stdout.")
    ] = None,
    focus_version: Annotated[Literal["1.2", "1.0"], Option(help="Version of FOCUS.")] = "1.2",
) -> None:
    """Show what runs have cost, by whom and for what, and the forecast."""
    if as_json and as_csv:
        raise SpecError("--json and --csv exclude each other")
    from clusterctl.costs.page import as_json as json_of
    from clusterctl.costs.page import explanation_lines, page_lines
    from clusterctl.ui.csv_text import csv_text
    from clusterctl.ui.spans import paint

    now, window = datetime.now(tz=UTC), terminal()
    first = moment("--since", since, now) if since else None
    last = moment("--until", until, now) if until else None
    with open_ledger() as ledger:
        store = user_data_dir()
        row = None if run is None else known_run(ledger, store, run)
        for each in ledger.runs(states=LIVE) if row is None else [row]:
            refresh_row(ledger, store, each)
        row = None if row is None else ledger.get_run(row.run_id)
        if focus is not None:
            _write_focus(ledger, row, focus, focus_version, since=first, until=last)
            return
        page = _page(ledger, row, by or ["use" if row else "run"], first, last)
        if as_json:
            typer.echo(json_text(json_of(page), indent=2))
        elif as_csv:
            emit_data(csv_text(page.rows))
        else:
            lines = page_lines(page, window.columns) + (explanation_lines(page, window.columns) if explain else [])
            emit(paint(lines, colour=window.colour))
            if row is not None and page.plan is not None and first is None and last is None:
                typer.echo(_planned_against_actual(ledger, row))


def _write_focus(
    ledger: Ledger, row: Run | None, to: str, version: str, *, since: datetime | None, until: datetime | None
) -> None:
    from clusterctl.costs.focus_file import focus_bytes, focus_rows, write_focus

    chosen = row.run_id if row else None
    rows, unpriced = focus_rows(ledger, open_source(), version, run=chosen, since=since, until=until)
    if to == "-":
        emit_data(focus_bytes(rows, parquet=False))
    else:
        write_focus(rows, Path(to))
        typer.echo(f"{to}: {rows.height:,} rows of FOCUS {version}", err=True)
    if unpriced:
        names = ", ".join(unpriced[:5]) + (" …" if len(unpriced) > 5 else "")
        typer.echo(f"left out, as FOCUS has no unknown price ({len(unpriced)}): {names}", err=True)


def _page(ledger: Ledger, row: Run | None, by: list[str], since: datetime | None, until: datetime | None) -> Page:
    from clusterctl.costs.page import Page
    from clusterctl.costs.queries import account, split
    from clusterctl.runs.run_forecast import run_forecast

    found = account(ledger, open_source(), run=row.run_id if row else None, since=since, until=until)
    columns, rows = split(ledger, found.parts, by)
    plan = _plan(ledger, row) if row is not None else None
    ahead = None
    if row is not None and since is None and until is None:
        ahead = run_forecast(ledger, row, plan, ledger.now())
    return Page(account=found, columns=columns, rows=rows, run=row, plan=plan, forecast=ahead, since=since, until=until)


def _plan(ledger: Ledger, row: Run) -> Plan | None:
    """The run's plan as the ledger keeps it; None for a run without one, or with one of another version."""
    from clusterctl.ledger.stored_plan import stored_plan

    if row.plan_id is None:
        return None
    try:
        return stored_plan(ledger, row.plan_id, name=f"the plan of {row.run_id}")
    except ClusterctlError as error:
        typer.echo(f"warning: without the plan: {error.message}", err=True)
        return None


def _planned_against_actual(ledger: Ledger, row: Run) -> str:
    from clusterctl.runs.planned_actual import planned_against_actual
    from clusterctl.runs.render import bill_text
    from clusterctl.runs.run import open_run

    lines = planned_against_actual(open_run(ledger, user_data_dir(), row.run_id))
    return "\n" + bill_text(lines, ledger.last_step(row.run_id), columns=terminal().columns)
