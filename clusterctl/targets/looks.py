"""What this machine last saw of runs that are watched elsewhere: a small file in the run's folder here."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from clusterctl.foreign_files import read_tail, replace_whole
from clusterctl.json_text import json_text
from clusterctl.targets.supervisor_home import Looked

MOST_BYTES = 1 << 16


def read_looked(store: Path, run_id: str) -> Looked:
    """The last look; one that can't be read was never."""
    with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError, RecursionError):
        row = json.loads(read_tail(_file(store, run_id), MOST_BYTES))
        moments = {name: row[name] and datetime.fromisoformat(row[name]) for name in ("at", "unreachable_since")}
        return Looked(**moments, why=str(row["why"]), supervisor=str(row["supervisor"]), heeded=bool(row["heeded"]))
    return Looked()


def write_looked(store: Path, run_id: str, looked: Looked) -> None:
    """Note it, if that can be."""
    file = _file(store, run_id)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(file, json_text(asdict(looked)).encode())


def _file(store: Path, run_id: str) -> Path:
    return store / "runs" / run_id / "looked.json"
