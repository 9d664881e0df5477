"""What a database's error means to a person: one message and the way on.  Never shows a statement's values."""

from __future__ import annotations

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
BY_CODE = {
    "SQLITE_BUSY": LOCKED, "SQLITE_LOCKED": LOCKED, "SQLITE_FULL": FULL, "SQLITE_IOERR": FULL,
    "SQLITE_NOTADB": DAMAGED, "SQLITE_CORRUPT": DAMAGED, "SQLITE_READONLY": READ_ONLY, "SQLITE_CANTOPEN": READ_ONLY,
    "SQLITE_PERM": READ_ONLY, "SQLITE_AUTH": READ_ONLY, "SQLITE_CONSTRAINT": CONTRADICTION, "SQLITE_ERROR": FOREIGN,
    "08": UNREACHABLE, "23": CONTRADICTION, "25006": READ_ONLY, "28": REFUSED, "3D": ABSENT, "42": FOREIGN,
    "42501": READ_ONLY, "53": FULL, "533": UNREACHABLE, "55P03": LOCKED, "57P": UNREACHABLE, "XX": DAMAGED,
}  # fmt: skip
"""Beginning of SQLite's error name or PostgreSQL's SQLSTATE → message and hint; the longest that fits counts."""
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
    if code is None:
        return next(found for words, found in BY_WORDS.items() if words in str(error.orig))
    fitting = [prefix for prefix in BY_CODE if code.startswith(prefix)]
    return (
        BY_CODE[max(fitting, key=len)] if fitting else (f"failed with {code}", "`--debug` shows what the database says")
    )


def state_error(error: DBAPIError, where: str) -> StateError:
    """The error to raise."""
    message, hint = meaning(error)
    return StateError(f"the ledger {where} {message}", hint=hint)


def may_pass(error: DBAPIError) -> bool:
    """Is it worth trying again: the server has gone or restarts, or two transactions met?"""
    code = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or meaning(error) is UNREACHABLE or code.startswith("40")
