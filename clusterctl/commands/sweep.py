"""`clusterctl sweep`: finds what is ours and belongs to no live run, and removes what the person confirms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer
from typer import Option

from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE, Resource, Run
from clusterctl.paths import user_data_dir
from clusterctl.targets import targets
from clusterctl.targets.base import Leftover, Target, Unreachable
from clusterctl.ui.formats import charged_usd, elapsed, size
from clusterctl.ui.streams import emit
from clusterctl.ui.table import draw_text, right
from clusterctl.ui.terminal import ask, terminal
from planners.runs.limits import MACHINE, SECONDS_PER_HOUR, owed


def sweep(
    *,
    yes: Annotated[bool, Option("--yes", "-y", help="Remove everything that is found without asking.")] = False,
    as_json: Annotated[
        bool, Option("--json", help="Print what is found as JSON; remove nothing without --yes.")
    ] = False,
) -> None:
    """Find processes, sandboxes and folders that belong to no live run, and remove them after asking.

    The folders of runs that have ended are kept: they hold logs and results.
    """
    with open_ledger() as ledger:
        runs = {run.run_id: run for run in ledger.runs()}
        prices = {name: _usd_per_hour(ledger.resources(name)) for name in runs}
    places = targets(user_data_dir())
    live = frozenset(name for name, run in runs.items() if run.state in LIVE)
    found = [(place, item) for place in places for item in _leftovers(place, live, frozenset(runs))]
    now = datetime.now(tz=UTC)
    items = [item for _, item in found]
    rows = [_row(item, runs.get(item.run_id), prices.get(item.run_id), now) for item in items]
    if as_json:
        typer.echo(json_text(rows, indent=2))
    else:
        emit(f"{_text(rows)}\n")
    if not found or (as_json and not yes):
        return
    if ask(f"remove {'it' if len(found) == 1 else f'all {len(found)}'}?", yes=yes):
        for place, item in found:
            place.remove(item)
        left = [item for place in places for item in _leftovers(place, live, frozenset(runs)) if item in items]
        typer.echo(f"removed {len(found) - len(left)} of {len(found)}", err=as_json)


def _leftovers(place: Target, live: frozenset[str], known: frozenset[str]) -> Sequence[Leftover]:
    """What is left in a place; of one that can't be asked nobody knows, and that is said."""
    try:
        return place.leftovers(live, known)
    except Unreachable as error:
        typer.echo(f"warning: {error.message}; what is left there is not known", err=True)
        return ()


def _usd_per_hour(resources: Sequence[Resource]) -> Decimal | None:
    """Of the machines that a run had last; None while a price is unknown, or where it had none."""
    last = {r.resource_id.rpartition("/")[0]: r.usd_per_hour for r in resources if r.kind == MACHINE}
    known = [price for price in last.values() if price is not None]
    return sum(known, Decimal(0)) if last and len(known) == len(last) else None


def _row(item: Leftover, run: Run | None, usd_per_hour: Decimal | None, now: datetime) -> dict[str, Any]:
    """One leftover as data.  Its cost is that of the machine since the run's bill ended, or since it began; null =
    unknown."""
    since = max(item.since, run.ended_at) if run is not None and run.ended_at else item.since
    seconds = max((now - since).total_seconds(), 0.0)
    usd = None
    if item.kind in {"process", "machine"} and run is not None:
        usd = owed(Decimal(str(seconds)) / SECONDS_PER_HOUR, usd_per_hour)
    return {
        "kind": item.kind,
        "role": item.role,
        "address": item.address,
        "run": item.run_id or None,
        "age_seconds": round((now - item.since).total_seconds(), 1),
        "usd": None if usd is None else str(usd),
        "size_bytes": item.size_bytes,
    }


def _text(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "nothing is left over"
    cells = []
    for row in rows:
        what, age = f"{row['kind']} {row['role']}".strip(), elapsed(row["age_seconds"])
        usd = charged_usd(row["usd"] and float(row["usd"]))
        cost = size(row["size_bytes"]) if row["kind"] == "folder" else usd
        cells.append([what, row["run"] or "-", age, cost, row["address"]])
    return draw_text(("what", "run", right("age"), right("cost"), "where"), cells, terminal()).rstrip("\n")
