"""What a database's error means to a person: one message and the way on.  Never shows a statement's values."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from clusterctl.errors import StateError

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

AGAIN = "then run the same command again: nothing that was recorded is lost"
ELSEWHERE = "or name another ledger with CLUSTERCTL_LEDGER"
LOCKED = ("is locked by another process", f"wait until that has ended (`fuser -v FILE` names it), {AGAIN}")
FULL = ("can't be written: the disk is full or failing", f"make room, {AGAIN}")
DAMAGED = (
    "is damaged",
    f"put back a copy, or save what is readable: `sqlite3 OLD .recover | sqlite3 NEW`; {ELSEWHERE}",
)
READ_ONLY = ("may not be written", f"give yourself the right to write there, {ELSEWHERE}")
REFUSED = ("refuses this user or password", "correct them in CLUSTERCTL_LEDGER or in ~/.pgpass")
ABSENT = ("does not exist", f"make the database with `createdb`, {ELSEWHERE}")
UNREACHABLE = ("can't be reached", f"start the server, or correct host and port in CLUSTERCTL_LEDGER; {AGAIN}")
FOREIGN = ("holds tables that aren't ours", "name a database or file of its own with CLUSTERCTL_LEDGER")
CONTRADICTION = ("refuses what contradicts its records", "`clusterctl status` shows them; nothing was changed")
CODES = {
    LOCKED: ("SQLITE_BUSY", "SQLITE_LOCKED", "55P03"),
    FULL: ("SQLITE_FULL", "SQLITE_IOERR", "53"),
    DAMAGED: ("SQLITE_NOTADB", "SQLITE_CORRUPT", "XX"),
    READ_ONLY: ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "25006", "42501"),
    REFUSED: ("28",),
    ABSENT: ("3D",),
    UNREACHABLE: ("08", "533", "57P"),
    FOREIGN: ("SQLITE_ERROR", "42"),
    CONTRADICTION: ("SQLITE_CONSTRAINT", "23"),
}
"""Message and hint → beginnings of SQLite's error names and PostgreSQL's SQLSTATEs; the longest that fits counts."""
BY_WORDS = {
    "authentication failed": REFUSED,
    "password supplied": REFUSED,
    "pg_hba": REFUSED,
    "role ": REFUSED,
    "does not exist": ABSENT,
    "": UNREACHABLE,
}
"""libpq gives no code for a connection that failed; the first that fits counts."""


def meaning(error: DBAPIError) -> tuple[str, str]:
    """Message and hint."""
    code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
    if code is None and isinstance(error.orig, sqlite3.Error):
        return DAMAGED  # text that is no UTF-8
    if code is None:
        return next(found for words, found in BY_WORDS.items() if words in str(error.orig))
    fitting = [(len(start), found) for found, starts in CODES.items() for start in starts if code.startswith(start)]
    return max(fitting)[1] if fitting else (f"failed with {code}", "`--debug` shows what the database says")


def state_error(error: DBAPIError, where: str) -> StateError:
    """The error to raise."""
    message, hint = meaning(error)
    return StateError(f"the ledger {where} {message}", hint=hint)


def may_pass(error: DBAPIError) -> bool:
    """Is it worth trying again: the server has gone or restarts, or two transactions met?"""
    code = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or meaning(error) is UNREACHABLE or code.startswith("40")
