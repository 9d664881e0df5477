"""What own runs taught, from the ledger into a plan: without loading a database toolkit, and only if there is a ledger.

`plan` is short, and reading two rows must not cost it a quarter of a second: SQLite is read with Python's own driver.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

from clusterctl.errors import StateError
from clusterctl.ledger import ledger_url, open_ledger
from clusterctl.ledger.rows import FactorRow
from planners.workload.factors import NO_FACTORS, Factor, Factors, Place

COLUMNS = ("calibration_id", *Place._fields, "gpu", "log_factor", "log_sd", "ratios")
IN_USE = """SELECT * FROM factors WHERE calibration_id = (SELECT calibration_id FROM factors
 WHERE reverted_at IS NULL ORDER BY applied_at DESC, calibration_id LIMIT 1)"""
WAIT_SECONDS = 2.0


def load_factors() -> Factors:
    """The factors in use; none without a ledger.  A ledger that can't be read is warned of: the plan is then made
    without them."""
    where = ledger_url()
    try:
        if where.startswith("postgres"):
            with open_ledger(wait_seconds=WAIT_SECONDS) as ledger:
                return factors_of(ledger.factors(in_use=True))
        file = Path(where.partition(":///")[2] if "://" in where else where).expanduser()
        return _from_sqlite(file) if file.exists() else NO_FACTORS
    except StateError as error:
        logging.getLogger(__name__).warning("planned without what your runs taught: %s", error.message)
        return NO_FACTORS


def factors_of(rows: tuple[FactorRow, ...]) -> Factors:
    """The rows of one calibration as a value."""
    return _factors({name: getattr(row, name) for name in COLUMNS} for row in rows)


def _from_sqlite(file: Path) -> Factors:
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=WAIT_SECONDS)) as connection:
            connection.row_factory = sqlite3.Row
            found = [dict(row) for row in connection.execute(IN_USE)]
    except sqlite3.Error as error:
        if "no such table" in str(error):  # a ledger from before plans could learn
            return NO_FACTORS
        raise StateError(f"the ledger {file} can't be read: {error}") from error
    try:
        return _factors(row | {"ratios": json.loads(row["ratios"])} for row in found)
    except (KeyError, ValueError, TypeError) as error:
        raise StateError(f"the factors in the ledger {file} can't be read: {error!r}") from error


def _factors(rows: Any) -> Factors:
    """Any: rows as the two drivers give them."""
    by_place: dict[Place, dict[str, Factor]] = {}
    identity = ""
    for row in rows:
        identity, place = row["calibration_id"], Place(*(row[name] for name in Place._fields))
        by_place.setdefault(place, {})[row["gpu"]] = Factor(
            place=place, gpu=row["gpu"], log_factor=row["log_factor"], log_sd=row["log_sd"], ratios=row["ratios"]
        )
    return Factors(identity=identity, by_place=by_place)
