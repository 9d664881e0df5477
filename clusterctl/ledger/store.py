"""One database: its address, its connections, its transactions.  Knows nothing about runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, PendingRollbackError

from clusterctl.errors import SpecError, StateError
from clusterctl.ledger.column_types import DamagedValueError
from clusterctl.ledger.database_errors import DAMAGED, UNREACHABLE, may_pass, state_error
from clusterctl.machine import process_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from sqlalchemy import Connection, Engine, Executable, TableClause

T = TypeVar("T")
PAUSE_SECONDS = 0.1
DRIVERS = {"sqlite": "sqlite", "postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
URL_HINT = "`sqlite:////folder/ledger.db` or `postgresql://user@host/database`; in a password write @ as %40, / as %2F"
WRITE = "BEGIN IMMEDIATE"
"""SQLite: a writer says so at once, because a reader that becomes one may be refused without waiting."""


def parse_url(text: str) -> URL:
    """A SQLite or PostgreSQL URL, or a file's path.  Raises SpecError, which repeats nothing that may be a password."""
    try:
        url = make_url(text) if "://" in text else URL.create("sqlite", database=str(Path(text).expanduser()))
        url = url.set(drivername=DRIVERS[url.drivername.partition("+")[0]])
    except (ArgumentError, ValueError, KeyError):
        raise SpecError("the ledger's URL names neither SQLite nor PostgreSQL", hint=URL_HINT) from None
    if url.drivername != "sqlite":
        return url
    if url.database in {None, "", ":memory:"}:
        raise SpecError("the ledger must be a file: memory would forget what runs", hint=URL_HINT)
    return URL.create("sqlite", database=str(Path(str(url.database)).absolute()))


DAMAGE = (DamagedValueError, UnicodeDecodeError)
"""What reading damaged values raises, beside the database's own errors: SQLite's driver decodes its messages."""


def _required(kind: Any) -> tuple[str, ...]:
    """The fields of a row that are never None."""
    return tuple(field.name for field in fields(kind) if "None" not in str(field.type))


class Store:
    """An open database, a context manager.  Threads may share it; a forked process opens its own."""

    def __init__(self, url: URL, *, wait_seconds: float, now: Callable[[], datetime]) -> None:
        self.file = Path(str(url.database)) if url.drivername == "sqlite" else None
        self.where = str(
            self.file or f"{url.host or url.query.get('host') or 'of this machine'}, database {url.database}"
        )
        self.wait_seconds, self.now = wait_seconds, now
        self.engine = _postgresql(url, wait_seconds) if self.file is None else _sqlite(self.file, url, wait_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go; harmless when repeated."""
        self.engine.dispose()

    def transact(self, act: Callable[[Connection], T], *, begin: str = "BEGIN") -> T:
        """What `act` returns, in one transaction: all of it or nothing.  Raises StateError.

        `act` is repeated when the server went away in the middle, so doing it twice must change no more than once.
        """
        deadline = time.monotonic() + self.wait_seconds
        engine = self.engine.execution_options(begin=begin)
        while True:
            try:
                with engine.begin() as connection:
                    return act(connection)
            except DBAPIError as error:
                if not may_pass(error) or time.monotonic() > deadline:
                    raise state_error(error, self.where) from error
            except DAMAGE as error:
                raise self.damaged(error) from error
            time.sleep(PAUSE_SECONDS)

    def write(self, act: Callable[[Connection], T]) -> T:
        """As `transact`, for an `act` that changes something."""
        return self.transact(act, begin=WRITE)

    def rows(self, kind: type[T], query: Executable) -> tuple[T, ...]:
        """The rows of a query as values of `kind`, whose fields are its columns."""
        needed = _required(kind)

        def act(connection: Connection) -> tuple[T, ...]:
            found = connection.execute(query).mappings().all()
            for row in found:
                if missing := [name for name in needed if row[name] is None]:
                    raise DamagedValueError(f"a row of {kind.__name__} holds no {missing[0]}")
            return tuple(kind(**row) for row in found)

        return self.transact(act)

    def damaged(self, error: Exception) -> StateError:
        """The error to raise for a value that no column may hold."""
        why = "" if isinstance(error, UnicodeError) else f": {error}"
        return StateError(f"the ledger {self.where} {DAMAGED[0]}{why}", hint=DAMAGED[1])

    @contextlib.contextmanager
    def session(self) -> Iterator[Connection]:
        """A connection of its own, outside of transactions."""
        with self.explained():
            connection = self.engine.execution_options(isolation_level="AUTOCOMMIT").connect()
        with connection:
            yield connection

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn the database's errors into StateErrors."""
        try:
            yield
        except DBAPIError as error:
            raise state_error(error, self.where) from error
        except DAMAGE as error:
            raise self.damaged(error) from error
        except PendingRollbackError as error:
            raise StateError(f"the ledger {self.where} {UNREACHABLE[0]}", hint=UNREACHABLE[1]) from error


def _sqlite(file: Path, url: URL, wait_seconds: float) -> Engine:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StateError(
            f"{file.parent} can't be made: {error.strerror}", hint="name another CLUSTERCTL_LEDGER"
        ) from error
    if file.exists() and not file.is_file():
        raise StateError(f"the ledger {file} is no regular file", hint="name another CLUSTERCTL_LEDGER")
    # isolation_level None: we begin the transactions, not the driver
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": wait_seconds, "isolation_level": None})

    @event.listens_for(engine, "connect")
    def connected(raw: Any, _record: object) -> None:
        raw.executescript("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def _postgresql(url: URL, wait_seconds: float) -> Engine:
    arguments = {"application_name": process_name()[:63], "connect_timeout": max(2, round(wait_seconds))}
    try:
        engine = create_engine(url, hide_parameters=True, connect_args=arguments)
    except ModuleNotFoundError as error:
        raise StateError("PostgreSQL needs the package psycopg", hint="pip install 'clusterctl[postgresql]'") from error

    @event.listens_for(engine, "connect")
    def connected(raw: Any, _record: object) -> None:
        # keepalives: a lock must not outlive a machine that was switched off
        for setting in (
            f"lock_timeout = {round(wait_seconds * 1000)}",
            "tcp_keepalives_idle = 20",
            "tcp_keepalives_interval = 5",
            "tcp_keepalives_count = 4",
        ):
            raw.execute(f"SET {setting}")
        raw.commit()

    return engine


def insert_once(connection: Connection, table: TableClause, values: dict[str, Any]) -> None:
    """Insert unless a row with the same key, or another unique value, is there."""
    connection.execute(_insert(connection)(table).values(values).on_conflict_do_nothing())


def upsert(connection: Connection, table: TableClause, values: dict[str, Any], *keys: str) -> None:
    """Insert, or replace the row with the same values of `keys`."""
    insert = _insert(connection)(table).values(values)
    rest = {name: insert.excluded[name] for name in values if name not in keys}
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=rest))


def values_of(row: DataclassInstance) -> dict[str, Any]:
    """A row's columns; mappings become plain dicts, as JSON needs them."""
    found = {field.name: getattr(row, field.name) for field in fields(row)}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in found.items()}


def _insert(connection: Connection) -> Any:  # the two dialects' inserts share these methods, and no type
    from sqlalchemy.dialects import postgresql, sqlite

    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
