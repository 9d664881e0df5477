"""`clusterctl sweep`: finds what is ours and belongs to no live run, and removes what the person confirms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from clusterctl.clouds.leftovers import Rules
from clusterctl.clouds.owner import owner_of
from clusterctl.commands.sweep_clouds import CloudSweep, look_in_clouds, write_report
from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE, Resource, Run
from clusterctl.paths import user_data_dir
from clusterctl.runs.time_options import moment
from clusterctl.targets import targets
from clusterctl.targets.base import Leftover, Target, Unreachable
from clusterctl.targets.places import known_places
from clusterctl.ui.formats import charged_usd, elapsed, size
from clusterctl.ui.streams import emit
from clusterctl.ui.table import draw_text, right
from clusterctl.ui.terminal import ask, terminal
from planners.runs.limits import MACHINE, SECONDS_PER_HOUR, owed


def sweep(
    *,
    cloud: Annotated[
        list[str] | None,
        Option(metavar="NAME", help="Ask this cloud alone: aws, gcp, azure, or none.  Repeat for several."),
    ] = None,
    older_than: Annotated[
        str, Option(metavar="AGE", help="Leave what is younger, such as 2h or 30m: it may be just being made.")
    ] = "0s",
    with_data: Annotated[
        bool, Option("--with-data", help="Remove buckets and file systems too, with what they hold.")
    ] = False,
    all_owners: Annotated[
        bool, Option("--all-owners", help="Show what belongs to other ledgers too; it is never removed.")
    ] = False,
    report: Annotated[
        Path | None, Option(metavar="FILE", help="Write there as JSON what was asked, found, removed and is left.")
    ] = None,
    yes: Annotated[bool, Option("--yes", "-y", help="Remove everything that is found without asking.")] = False,
    as_json: Annotated[
        bool, Option("--json", help="Print what is found as JSON; remove nothing without --yes.")
    ] = False,
) -> None:
    """Find what belongs to no live run, here and in your clouds, and remove it after asking.

    Processes, sandboxes and folders of this machine and of your clusters; in each cloud for which this machine has
    credentials, what has the tags of this ledger.  The folders of runs that have ended are kept: they hold logs and
    results.  Exit code 7 if something could not be removed, 8 if a cloud could not be asked.
    """
    now = datetime.now(tz=UTC)
    young = (now - moment("--older-than", older_than, now)).total_seconds()
    with open_ledger() as ledger:
        runs = {run.run_id: run for run in ledger.runs()}
        prices = {name: _usd_per_hour(ledger.resources(name)) for name in runs}
    places = [place for place in targets(user_data_dir()) if place.cluster_maker is None]  # clouds are asked below
    live = frozenset(name for name, run in runs.items() if run.state in LIVE)
    found = [(place, item) for place in places for item in _leftovers(place, live, frozenset(runs))]
    found = [(place, item) for place, item in found if (now - item.since).total_seconds() >= young]
    items = [item for _, item in found]
    rows = [_row(item, runs.get(item.run_id), prices.get(item.run_id), now) for item in items]
    clouds = look_in_clouds(
        cloud,
        lambda: Rules(
            owner=owner_of(user_data_dir()),
            live_runs=live,
            ended_at={name: run.ended_at for name, run in runs.items() if run.ended_at},
            older_than_seconds=young,
            with_data=with_data,
        ),
        known=known_places(user_data_dir()),
        all_owners=all_owners,
        now=now,
    )
    if as_json:
        typer.echo(json_text([*rows, *clouds.rows()], indent=2))
    else:
        emit(f"{_text(rows, clouds)}\n")
    clouds.say_who_was_asked()
    count = len(found) + len(clouds.wanted)
    if count and (yes or not as_json) and ask(f"remove {'it' if count == 1 else f'all {count}'}?", yes=yes):
        for place, item in found:
            place.remove(item)
        left = [item for place in places for item in _leftovers(place, live, frozenset(runs)) if item in items]
        clouds.clear()
        typer.echo(f"removed {count - len(left) - len(clouds.left)} of {count}", err=as_json)
    if report is not None:
        write_report(report, rows, clouds, now)
    clouds.raise_what_is_wrong()


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


def _text(rows: Sequence[dict[str, Any]], clouds: CloudSweep) -> str:
    texts = [text for text in (_table(rows) if rows else "", clouds.text()) if text]
    return "\n\n".join(texts) or "nothing is left over"


def _table(rows: Sequence[dict[str, Any]]) -> str:
    cells = []
    for row in rows:
        what, age = f"{row['kind']} {row['role']}".strip(), elapsed(row["age_seconds"])
        usd = charged_usd(row["usd"] and float(row["usd"]))
        cost = size(row["size_bytes"]) if row["kind"] == "folder" else usd
        cells.append([what, row["run"] or "-", age, cost, row["address"]])
    return draw_text(("what", "run", right("age"), right("cost"), "where"), cells, terminal()).rstrip("\n")
