"""What was learned and applied, as `calibrate --list` shows it: calibrations, and logs that are remembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clusterctl.ledger.log_lesson import LogLesson
from clusterctl.ledger.rows import FactorRow
from clusterctl.ui.spans import Line, line, paint
from clusterctl.ui.table import Column, draw, right
from clusterctl.ui.terminal import terminal


def list_json(rows: Sequence[FactorRow], logs: Sequence[LogLesson]) -> list[dict[str, Any]]:
    """Calibrations first, the last applied first, then logs, the last learned first."""
    calibrations: list[dict[str, Any]] = [
        {"calibration": row.calibration_id, "applied_at": row.applied_at.isoformat(), "runs": runs, "state": state}
        for row, runs, state in _calibrations(rows)
    ]
    return calibrations + [
        {"log": log.lesson_id, "learned_at": log.learned_at.isoformat(), "source": log.source, "state": _state(log)}
        for log in logs
    ]


def list_text(rows: Sequence[FactorRow], logs: Sequence[LogLesson]) -> str:
    """The same for people."""
    screen = terminal()
    table = [
        [row.calibration_id, f"{row.applied_at:%Y-%m-%d %H:%M} UTC", str(runs), state]
        for row, runs, state in _calibrations(rows)
    ]
    columns = ("calibration", "applied", right("runs"), "")
    lines: list[Line] = draw(columns, table, screen.columns) or [line("nothing was applied yet")]
    if logs:
        known = [[log.lesson_id, f"{log.learned_at:%Y-%m-%d %H:%M} UTC", log.source, _state(log)] for log in logs]
        lines += [[], *draw(("log", "learned", Column("from", prose=True), ""), known, screen.columns)]
    return paint(lines, colour=screen.colour)


def _state(log: LogLesson) -> str:
    return "counts" if log.revoked_at is None else "revoked"


def _calibrations(rows: Sequence[FactorRow]) -> list[tuple[FactorRow, int, str]]:
    """(a row, runs, state) of each calibration, the last applied first."""
    found: dict[str, list[FactorRow]] = {}
    for row in rows:
        found.setdefault(row.calibration_id, []).append(row)
    kept = next((identity for identity, some in found.items() if some[0].reverted_at is None), None)
    states = {
        identity: "in use" if identity == kept else "reverted" if some[0].reverted_at else "replaced"
        for identity, some in found.items()
    }
    return [(some[0], len({run for row in some for run in row.ratios}), states[i]) for i, some in found.items()]
