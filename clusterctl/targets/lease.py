"""The lease of a run's roles on this machine: until when they may live, and that somebody watches.

`holder.py` reads it; it is by the machine's uptime, so that no clock that jumps shortens or prolongs it.
"""

from __future__ import annotations

import json
from pathlib import Path

from clusterctl.clock import uptime
from clusterctl.foreign_files import replace_whole


def write_lease(path: Path, seconds_left: float | None) -> None:
    """Renew it.  seconds_left: until the run's limit is reached; None = it has none.  Raises OSError."""
    now = uptime()
    row = {
        "expires_uptime_seconds": None if seconds_left is None else now + seconds_left,
        "watched_uptime_seconds": now,
    }
    replace_whole(path, json.dumps(row).encode("ascii"))
