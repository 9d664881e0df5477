"""The run ledger, in SQLite or PostgreSQL; see docs/ledger.md.  Cheap to import: `open_ledger` loads what it needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clusterctl.paths import user_data_dir

if TYPE_CHECKING:
    from clusterctl.ledger.ledger import Ledger as Ledger
    from clusterctl.ledger.store import Store


def _utc_now() -> datetime:
    return datetime.now(tz=UTC)


def ledger_url() -> str:
    """CLUSTERCTL_LEDGER, else `ledger.db` in the user's data folder."""
    return os.environ.get("CLUSTERCTL_LEDGER") or str(user_data_dir() / "ledger.db")


def lock_store(url: str | None = None) -> Store:
    """The ledger's database for its locks alone: it need not be readable yet.  Raises SpecError."""
    from clusterctl.ledger.store import Store, parse_url

    return Store(parse_url(url or ledger_url()), wait_seconds=5.0, now=_utc_now)


def open_ledger(url: str | None = None, *, wait_seconds: float = 5.0, now: Callable[[], datetime] = _utc_now) -> Ledger:
    """The ledger at `url`, else at CLUSTERCTL_LEDGER, else `ledger.db` in the user's data folder; made if need be.

    url: a file's path, `sqlite:////path` or `postgresql://user@host/database`; a password in it is shown nowhere.
    wait_seconds: how long to wait for another writer, and for a server that has gone to come back.
    Raises SpecError for a URL that is none; StateError when the ledger can't be reached, read or written.
    """
    from clusterctl.ledger.ledger import Ledger
    from clusterctl.ledger.migrate import ensure_current
    from clusterctl.ledger.store import parse_url

    ledger = Ledger(parse_url(url or ledger_url()), wait_seconds=wait_seconds, now=now)
    try:
        ensure_current(ledger)
    except BaseException:
        ledger.close()
        raise
    return ledger
