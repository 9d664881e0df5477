"""Locks that only a live owner holds: the kernel, or the database server, frees them when the owner dies."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import quote

from clusterctl.errors import StateError
from clusterctl.machine import process_name

if TYPE_CHECKING:
    from clusterctl.ledger.store import Store

    Check = Callable[[], None]
    """Raises StateError when the lock was lost, as a database server that restarts loses it."""

PAUSE_SECONDS = 0.05


class LockHeldError(StateError):
    """Another live process holds the lock."""


class LockLostError(StateError):
    """The lock went with the server that had it; another may have it now."""


@contextlib.contextmanager
def run_lock(ledger: Store, run_id: str, purpose: str, *, wait_seconds: float = 0.0) -> Iterator[Check]:
    """Hold the run's lock for one purpose, alone among all processes that use this ledger; gives its check.

    Not re-entrant.  A child made by fork alone shares it; one that executes a program does not.
    Raises LockHeldError, naming the owner, when it isn't free within `wait_seconds`; StateError when it can't be tried.
    """
    name = f"{run_id}.{purpose}"
    if ledger.file is None:
        held = _server_lock(ledger, name, wait_seconds)
    else:
        held = _file_lock(ledger.file.parent / "locks" / f"{quote(name, safe='')}.lock", name, wait_seconds)
    with held as check:
        yield check


@contextlib.contextmanager
def _file_lock(path: Path, name: str, wait_seconds: float) -> Iterator[Check]:
    """flock on a file, which stays: whoever removed it would let two processes lock two files of one name."""
    try:
        path.parent.mkdir(exist_ok=True, mode=0o700)
        file = _open_lock_file(path)
    except OSError as error:
        raise StateError(
            f"{path} can't be locked: {error.strerror}", hint="see to it that you may write there"
        ) from error

    def acquire() -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    with file:
        _wait(acquire, lambda: os.pread(file.fileno(), 200, 0).decode("utf-8", "replace"), name, wait_seconds)
        with contextlib.suppress(OSError):  # on a full disk the lock holds without a name
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), process_name().encode())
        yield lambda: None


def _open_lock_file(path: Path) -> TextIO:
    """The file; where a folder, a pipe or the like lies in its place, all processes take the same next name."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    names = (path, *itertools.islice(numbered, 9))
    free = next((each for each in names if each.is_file() or not os.path.lexists(each)), path)
    try:
        return free.open("a+", encoding="utf-8")
    except PermissionError:
        if not free.is_file():
            raise
        return free.open(encoding="utf-8")  # immutable: it can be locked, if not written


@contextlib.contextmanager
def _server_lock(store: Store, name: str, wait_seconds: float) -> Iterator[Check]:
    """A PostgreSQL advisory lock, held by a session of its own."""
    from sqlalchemy import text

    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    owner = (
        "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory'"
        " AND granted AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = :key"
    )
    with store.session() as session:

        def ask(query: str) -> object:
            with store.explained():
                return session.scalar(text(query), {"key": key})

        def check() -> None:
            try:
                ask("SELECT :key")  # this very session: it is never opened anew
            except StateError as error:
                raise LockLostError(error.message, hint=error.hint) from error

        _wait(lambda: bool(ask("SELECT pg_try_advisory_lock(:key)")), lambda: str(ask(owner) or ""), name, wait_seconds)
        try:
            yield check
        finally:
            with contextlib.suppress(StateError):  # the server has gone, and the lock with it
                ask("SELECT pg_advisory_unlock(:key)")


def _wait(acquire: Callable[[], bool], owner: Callable[[], str], name: str, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while not acquire():
        if time.monotonic() >= deadline:
            who = owner() or "another process"
            raise LockHeldError(f"{name} is locked by {who}", hint="wait until that has ended, then repeat")
        time.sleep(PAUSE_SECONDS)
