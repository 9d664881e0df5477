"""The simulated day that ships as data (app/sample/), put into a ledger and a telemetry store of its own on first use.

tools/simulated_day/ makes the data.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.paths import bundle_root
from clusterctl.specfile.write import write_atomic
from clusterctl.store import open_store

START = datetime(2026, 8, 4, tzinfo=UTC)
"""The day after the newest price of the price book that ships, so that no price is from the future."""
END = START + timedelta(days=1)
LEDGER = "ledger.sql"
TABLES = ("gpu", "host", "sandbox", "devices", "notes")
STAMP = "sample.json"


def sample_data() -> Path:
    """Folder of the data that ships: `ledger.sql` and a Parquet file for each of TABLES."""
    return bundle_root() / "app" / "sample"


def ensure_sample(home: Path) -> Path:
    """Folder of the day below `home` (`ledger.db`, `telemetry/`); made when absent or from other data."""
    folder = home / "sample"
    content = hashlib.sha256()
    for name in (LEDGER, *(f"{table}.parquet" for table in TABLES)):
        content.update((sample_data() / name).read_bytes())
    stamp = json_text({"simulated": True, "sha256": content.hexdigest()}) + "\n"
    if _stamped(folder, stamp):
        return folder
    home.mkdir(parents=True, exist_ok=True)
    new = home / f"sample.new-{os.getpid()}"
    shutil.rmtree(new, ignore_errors=True)
    load_sample(new)
    write_atomic(new / STAMP, stamp)
    if not _stamped(folder, stamp):
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            new.rename(folder)
    shutil.rmtree(new, ignore_errors=True)  # where another process was faster, with the same day
    return folder


def _stamped(folder: Path, stamp: str) -> bool:
    try:
        return (folder / STAMP).read_text("utf-8") == stamp
    except (OSError, ValueError):
        return False


def load_sample(folder: Path) -> None:
    """Write the day's ledger and telemetry into an empty folder."""
    with open_store(str(folder / "telemetry")) as store:
        for table in TABLES:
            store.append(table, pl.read_parquet(sample_data() / f"{table}.parquet"))
    open_ledger(str(folder / "ledger.db")).close()
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as database:
        database.executescript((sample_data() / LEDGER).read_text("utf-8"))
