"""A run from one ledger into another: how the ledger of a run that is watched elsewhere reaches those who read here.

A mirror is the whole SQLite ledger of one run as a file's content, taken while it is written to.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select

from clusterctl.errors import SpecError, StateError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger_tables import COSTS, EVENTS, PHASES, PLANS, RESOURCES, RUNS, STEPS
from clusterctl.ledger.rows import LIVE
from clusterctl.ledger.store import insert_once, upsert
from planners.tags import TAG_PREFIX

if TYPE_CHECKING:
    from sqlalchemy import Connection, TableClause

    from clusterctl.ledger.ledger import Ledger

Rows = dict[str, Sequence[dict[str, Any]]]
PLAN_TAG = f"{TAG_PREFIX}/plan-id"
KEYS = {"runs": ("run_id",), "steps": ("run_id", "stage", "step"), "phases": ("run_id", "stage", "phase", "step")}


def copy_run(source: Ledger, target: Ledger, run_id: str) -> None:
    """All that `source` holds of a run into `target`, in one transaction.  It may be repeated: `source` is right.

    Raises SpecError where another live run of `target` has its name, or where `source` has no such run.
    """
    newest = {table.name: _newest(target, table, run_id) for table in (STEPS, PHASES)}
    rows = source.transact(lambda connection: _rows(connection, run_id, newest))
    if not rows["runs"]:
        raise SpecError(f"the ledger {source.where} holds no run `{run_id[:80]}`")
    target.write(lambda connection: _put(connection, run_id, rows))


def _newest(target: Ledger, table: TableClause, run_id: str) -> Any:
    """The moment of the last row: what is done again is newer, so that older rows need not be copied again."""
    query = select(func.max(table.c.at)).where(table.c.run_id == run_id)
    return target.transact(lambda connection: connection.scalar(query))


def _rows(connection: Connection, run_id: str, newest: dict[str, Any]) -> Rows:
    found: Rows = {}
    for table in (RUNS, RESOURCES, COSTS, EVENTS, STEPS, PHASES):
        query = select(table).where(table.c.run_id == run_id)
        if (since := newest.get(table.name)) is not None:
            query = query.where(table.c.at >= since)
        if table is EVENTS:
            query = query.order_by(EVENTS.c.seq)
        found[table.name] = [dict(row) for row in connection.execute(query).mappings()]
    plans = {row["plan_id"] for row in found["runs"]}
    plans |= {row["tags"].get(PLAN_TAG) for row in found["resources"]}  # those that the run had before
    query = select(PLANS).where(PLANS.c.plan_id.in_(plans))
    found["plans"] = [dict(row) for row in connection.execute(query).mappings()]
    return found


def _put(connection: Connection, run_id: str, rows: Rows) -> None:
    run = rows["runs"][0]
    others = select(RUNS.c.run_id).where(RUNS.c.name == run["name"], RUNS.c.state.in_(LIVE), RUNS.c.run_id != run_id)
    if run["state"] in LIVE and (other := connection.scalar(others)) is not None:
        hint = f"`clusterctl down {other}` first, or use another ledger for it (CLUSTERCTL_LEDGER)"
        raise SpecError(
            f"{run_id} can't be taken up: this ledger has another live run named `{run['name']}`", hint=hint
        )
    for plan in rows["plans"]:
        insert_once(connection, PLANS, plan)
    upsert(connection, RUNS, run, "run_id")
    for table in (COSTS, RESOURCES):
        connection.execute(delete(table).where(table.c.run_id == run_id))
    for table in (RESOURCES, COSTS):
        if rows[table.name]:
            connection.execute(insert(table), rows[table.name])
    known = set(connection.scalars(select(EVENTS.c.event_id).where(EVENTS.c.run_id == run_id)))
    for event in rows["events"]:
        if event.pop("seq") and event["event_id"] not in known:
            insert_once(connection, EVENTS, event)
    for table in (STEPS, PHASES):
        for row in rows[table.name]:
            upsert(connection, table, row, *KEYS[table.name])


def mirror_of(file: Path) -> bytes:
    """The content of a SQLite ledger that others write to, as of one moment.  Raises StateError."""
    try:
        with contextlib.closing(_connect(file)) as ledger, contextlib.closing(sqlite3.connect(":memory:")) as copy:
            ledger.backup(copy)
            return copy.serialize()
    except sqlite3.Error as error:
        raise StateError(f"the ledger {file} can't be copied: {error}") from error


def mirror_of_run(ledger: Ledger, run_id: str) -> bytes:
    """A mirror that holds one run of a ledger alone."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.db"
        with open_ledger(str(file)) as copy:
            copy_run(ledger, copy, run_id)
        return mirror_of(file)


@contextlib.contextmanager
def opened_mirror(content: bytes) -> Iterator[Ledger]:
    """A mirror as a ledger to read.  Raises StateError where it is damaged, or of another version."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.db"
        file.write_bytes(content)
        try:
            life_of(file)
        except StateError as error:
            raise StateError("the copy of its ledger that its supervisor has written is damaged") from error
        with open_ledger(str(file)) as ledger:
            yield ledger


def life_of(file: Path) -> tuple[str, str]:
    """When the run of a mirror began, and when it was last watched, as text that sorts by time; empty = never.

    Raises StateError where it is damaged.
    """
    try:
        with contextlib.closing(_connect(file)) as ledger:
            if ledger.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise StateError(f"the ledger {file} is damaged")
            row = ledger.execute("SELECT created_at, beat_at FROM runs ORDER BY created_at DESC").fetchone()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StateError(f"the ledger {file} is damaged: {error}") from error
    if row is None:
        raise StateError(f"the ledger {file} holds no run")
    return str(row[0]), str(row[1] or "")


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file.absolute().as_uri() + "?mode=rw", uri=True, timeout=5.0)
