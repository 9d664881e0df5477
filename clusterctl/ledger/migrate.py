"""Brings a ledger's tables to this version's.  Many processes may try at once: one does it, the others wait."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import StateError
from clusterctl.ledger.ledger_tables import HEAD, VERSION_TABLE
from clusterctl.ledger.locks import run_lock
from clusterctl.ledger.store import WRITE, Store

if TYPE_CHECKING:
    from sqlalchemy import Connection


MIGRATIONS = Path(__file__).parent / "migrations"
UNRELEASED = frozenset({"0001", "0002", "0003", "0004", "0005"})
"""Revisions of development versions, whose runs held one machine or one stage each: no later version reads them."""


def ensure_current(store: Store) -> None:
    """Make or upgrade the tables.  Raises StateError when a newer clusterctl made them."""
    if store.transact(version) == HEAD:
        return  # without importing Alembic, which takes longer than all the rest
    with run_lock(store, "ledger", "migrate", wait_seconds=store.wait_seconds):
        if store.file is not None:  # the file remembers: readers and one writer work side by side
            if store.transact(version) in UNRELEASED:
                set_aside(store, store.file)
            store.transact(lambda _: None, begin="PRAGMA journal_mode = WAL")
        store.transact(lambda connection: upgrade(connection, store.where), begin=WRITE)


def set_aside(store: Store, file: Path) -> None:
    """Rename the file of a development version, so that a new ledger takes its place; the caller holds the lock."""
    store.close()
    kept = file.with_name(f"{file.name}.before-{store.now():%Y%m%dT%H%M%S}")
    try:
        for suffix in ("-wal", "-shm", ""):  # the database last: a kill in the middle leaves it to the next command
            if (part := file.with_name(file.name + suffix)).exists():
                part.rename(kept.with_name(kept.name + suffix))
    except OSError as error:
        raise StateError(
            f"the ledger {file} of a development version can't be renamed: {error.strerror}",
            hint="move it away, or name another ledger with CLUSTERCTL_LEDGER",
        ) from error
    logging.getLogger(__name__).warning(
        "the ledger of a development version is kept as %s; a new one begins without its runs", kept
    )


def upgrade(connection: Connection, where: str, revision: str = "head") -> None:
    """Run the revisions that are missing, in the caller's transaction: all of them or none."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    found = version(connection)
    if found in UNRELEASED:
        raise StateError(
            f"the ledger {where} is of a development version, which this one doesn't read",
            hint="name another database with CLUSTERCTL_LEDGER; nothing was changed",
        )
    if found not in {None, *(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())}:
        raise StateError(
            f"the ledger {where} was written by a newer clusterctl: it has version {found}, this one knows {HEAD}",
            hint="upgrade clusterctl, or name another ledger with CLUSTERCTL_LEDGER; nothing was changed",
        )
    command.upgrade(config, revision)


def version(connection: Connection) -> str | None:
    """Revision of the tables; None where there are none."""
    from sqlalchemy import column, inspect, select, table

    known = inspect(connection).has_table(VERSION_TABLE)
    return connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE))) if known else None
