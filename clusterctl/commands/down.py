"""`clusterctl down`: ends a run, looks at what is left, prints the final bill."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer import Argument, Option

from clusterctl.errors import ClusterctlError, Interrupted, SpecError, StateError
from clusterctl.interrupt import Interrupt
from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE
from clusterctl.paths import user_data_dir
from clusterctl.runs.adopting import known_run
from clusterctl.runs.ending import end_tagged, look, tagged_things
from clusterctl.runs.own_cluster import end_with_cluster, remove_cluster, teller
from clusterctl.runs.planned_actual import planned_against_actual
from clusterctl.runs.render import ending_text, final_bill
from clusterctl.runs.run import OpenRun, open_run
from clusterctl.runs.run_forecast import run_forecast
from clusterctl.runs.run_status import live_slots
from clusterctl.runs.standing import what_stays
from clusterctl.runs.watching import ensure_watched, refresh
from clusterctl.ui.terminal import ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clusterctl.ledger.ledger import Ledger
    from clusterctl.targets.base import Leftover


def down(
    run: Annotated[str, Argument(help="Run: its id, the start of its id, or its name.")],
    *,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """End a run: its jobs save their work and end, its machines are released; print planned and actual costs.

    Shows what it will end, and asks. Logs, checkpoint and results are kept; `clusterctl up RUN` resumes from them.
    Of a run in a cloud the cluster goes, with its checkpoints. It may be repeated, in any state of the run.
    """
    store = user_data_dir()
    try:
        ledger = open_ledger()
    except StateError as error:
        _end_by_tags(store, run, tagged_things(store, run), error, yes=yes)
    with ledger, Interrupt() as interrupt:
        opened = _opened(ledger, store, run, yes=yes)
        refresh(opened)
        row = ledger.get_run(opened.run_id)
        if row.state not in LIVE and (stays := what_stays(ledger, row.run_id)):
            typer.echo(f"{row.run_id} has {row.state}; {stays}", err=True)
            if not ask("remove it?", yes=yes):
                raise ClusterctlError("not removed")
        if row.state in LIVE:
            ahead = run_forecast(ledger, row, opened.plan, opened.clock.now())
            typer.echo(ending_text(row, live_slots(ledger, row.run_id), ahead), err=True)
            if opened.target.cluster_maker is not None:
                typer.echo("its cluster is removed, with the checkpoints in it; logs and results come here", err=True)
            if not ask("end it?", yes=yes):
                raise ClusterctlError("not ended")
            if not end_with_cluster(opened, teller(as_json=as_json), go_on=interrupt.wanted):
                ensure_watched(opened)
                raise Interrupted(
                    f"{opened.run_id} is being ended by its supervisor",
                    hint=f"`clusterctl down {opened.run_id}` waits for it and prints the bill",
                )
        refresh(opened, logs=True)
        remove_cluster(opened, teller(as_json=as_json))
        _show_end(ledger, opened, as_json=as_json)


def _opened(ledger: Ledger, store: Path, run: str, *, yes: bool) -> OpenRun:
    """The run; where the ledger is another or was lost, what carries its tags is ended, and the error raised.

    A run is written before it starts: what lives at the first look and is unknown at the second has lost its row.  What
    begins to live between the two belongs to a run that is just being started, and is left alone.
    """
    try:
        return open_run(ledger, store, known_run(ledger, store, run).run_id)
    except StateError as error:
        _end_by_tags(store, run, tagged_things(store, run), error, yes=yes)
    except SpecError:
        things = tagged_things(store, run)
    try:
        return open_run(ledger, store, run)
    except (SpecError, StateError) as error:
        _end_by_tags(store, run, things, error, yes=yes)


def _show_end(ledger: Ledger, opened: OpenRun, *, as_json: bool) -> None:
    """The bill, once nothing of the run is left.  Raises StateError where something is."""
    refresh(opened, logs=True)
    left = look(opened)
    for item in left:
        if item.note:
            typer.echo(f"it stays: {item.kind} {item.address}: {item.note}", err=True)
    if left := [item for item in left if not item.note]:
        names = ", ".join(f"{item.role or item.kind} {item.address}" for item in left)
        hint = "`clusterctl down` again, or `clusterctl sweep`"
        raise StateError(f"{opened.run_id}: still there: {names}", hint=hint)
    ended = ledger.get_run(opened.run_id)
    if as_json:
        shown = {"run": ended.run_id, "state": ended.state, "note": ended.note, "left": []}
        lines = [asdict(line) for line in planned_against_actual(opened)]
        typer.echo(json_text({**shown, "folder": str(opened.folder.path), "lines": lines}, indent=2))
        return
    note = f": {ended.note}" if ended.note else ""
    typer.echo(
        f"{ended.run_id} has {ended.state}{note}; nothing left running; its folder is kept\n\n{final_bill(opened)}"
    )


def _end_by_tags(
    store: Path, run: str, things: Sequence[Leftover], error: SpecError | StateError, *, yes: bool
) -> NoReturn:
    """Ends what carries the run's tags although the ledger does not tell of it.  Raises the error after that."""
    if not things:
        raise error
    names = ", ".join(f"{thing.role or thing.kind} {thing.address}" for thing in things)
    typer.echo(f"{error.message}\nthese carry the tags of {run}: {names}", err=True)
    if not ask("end them?", yes=yes):
        raise ClusterctlError("not ended")
    end_tagged(store, things)
    left = tagged_things(store, run)
    raise StateError(
        f"{error.message}; {len(things) - len(left)} of {len(things)} processes of {run} were ended by their tags, "
        "and its bill is not closed",
        hint=error.hint,
    )
