"""The last lines of a run's logs, by role, as far as they are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clusterctl.targets.base import SUPERVISOR
from clusterctl.targets.role_logs import LogLine, log_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clusterctl.runs.run import OpenRun

TAIL_BYTES = 256 << 10
"""So far before its end a log is read: some thousand lines."""


def roles_with_logs(run: OpenRun) -> list[str]:
    """Roles whose logs `clusterctl logs` shows, its supervisor, and those of which a log lies here all the same."""
    kept = sorted(file.stem for file in run.folder.logs.glob("*.log"))
    return list(dict.fromkeys([*run.role_names, SUPERVISOR, *kept]))


def last_lines(run: OpenRun, role: str, most: int) -> Sequence[LogLine]:
    """The last whole lines that a role has written; none where nothing of it is here."""
    try:
        size = log_file(run.folder.path, role).stat().st_size
    except OSError:
        size = 0
    begin = max(size - TAIL_BYTES, 0)
    lines = list(run.target.logs(run.ref, role, after=begin))
    return lines[1 if begin else 0 :][-most:] if most else []  # the first one is cut off where reading began
