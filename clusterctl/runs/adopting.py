"""A run that this ledger does not know, and the place where it lives does: another ledger's, or one that was lost."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.ledger.rows import LIVE
from clusterctl.runs.run import open_run
from clusterctl.runs.watching import refresh
from clusterctl.targets import targets
from clusterctl.targets.base import Unreachable

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger
    from clusterctl.ledger.rows import Run

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}-[0-9a-f]{6}")


def known_run(ledger: Ledger, store: Path, text: str) -> Run:
    """The run that is meant; one that only its place knows is taken up, if its whole id is given.

    Raises SpecError for one that nobody knows, and Unreachable where a place that may know it can't be asked.
    """
    try:
        return ledger.get_run(text)
    except SpecError as error:
        if not RUN_ID.fullmatch(text):
            raise
        away: Unreachable | None = None
        for target in targets(store):
            try:
                if target.home.adopt(ledger, text):
                    return ledger.get_run(text)
            except Unreachable as unreachable:
                away = unreachable
        if away is not None:
            raise Unreachable(f"{error.message}, and {away.message}", hint=away.hint) from error
        raise


def refresh_row(ledger: Ledger, store: Path, row: Run) -> None:
    """Bring here what is new of a run that is live elsewhere, if its place can be asked and its plan be read."""
    if row.state in LIVE:
        with contextlib.suppress(ClusterctlError):
            refresh(open_run(ledger, store, row.run_id))
