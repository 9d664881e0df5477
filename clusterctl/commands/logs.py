"""`clusterctl logs`: what the roles of a run say, also after it has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from typer import Argument, Option

from clusterctl.errors import SpecError
from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE
from clusterctl.paths import user_data_dir
from clusterctl.runs.adopting import known_run
from clusterctl.runs.run import OpenRun, open_run
from clusterctl.runs.time_options import moment
from clusterctl.runs.watching import refresh
from clusterctl.targets.base import SUPERVISOR, LogLine
from clusterctl.ui.streams import printable

FOLLOW_SECONDS = 0.3


def logs(
    run: Annotated[str, Argument(help="Run: its id, the start of its id, or its name.")],
    *,
    role: Annotated[list[str] | None, Option("--role", "-r", help="Only this role; repeatable.")] = None,
    since: Annotated[str | None, Option(help="Only lines since then: 10m, 2h, 14:05, or an ISO time.")] = None,
    until: Annotated[str | None, Option(help="Only lines until then.")] = None,
    tail: Annotated[int | None, Option("--tail", "-n", min=0, help="Only this many last lines.")] = None,
    follow: Annotated[bool, Option("--follow", "-f", help="Follow until the run has ended.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Print the logs of a run, in the order in which they were written: time, role, line.

    The time is when the line was first seen, a second late at most, in your zone.
    """
    now = datetime.now(tz=UTC)
    start = None if since is None else moment("--since", since, now)
    end = None if until is None else moment("--until", until, now)
    with open_ledger() as ledger:
        store = user_data_dir()
        opened = open_run(ledger, store, known_run(ledger, store, run).run_id)
        known = [*opened.role_names, SUPERVISOR]
        wanted = list(dict.fromkeys(role or known))
        if strange := [name for name in wanted if name not in known]:
            raise SpecError(f"--role: `{strange[0]}` is no role of {opened.run_id}", hint=f"known: {', '.join(known)}")
        positions = dict.fromkeys(wanted, 0)
        first = True
        while True:
            refresh(opened, logs=True)
            live = ledger.get_run(opened.run_id).state in LIVE
            lines = _new_lines(opened, positions, settled=not live or not follow)
            lines = [line for line in lines if _within(line, start, end)]
            for line in lines[max(len(lines) - tail, 0) :] if first and tail is not None else lines:
                typer.echo(_json(line) if as_json else _text(line))
            first = False
            if not follow or not live:
                return
            time.sleep(FOLLOW_SECONDS)


def _new_lines(run: OpenRun, positions: dict[str, int], *, settled: bool) -> Sequence[LogLine]:
    """Lines that no one has seen yet, by time; a role's own lines keep their order.

    Unless all that there is must do, a line waits until its time is known.
    """
    found: list[tuple[datetime, LogLine]] = []
    for name, position in dict(positions).items():
        last = datetime.min.replace(tzinfo=UTC)
        for line in run.target.logs(run.ref, name, after=position):
            if line.at is None and not settled:
                break
            last = max(line.at, last) if line.at is not None else datetime.max.replace(tzinfo=UTC)
            found.append((last, line))
            positions[name] = line.position
    return [line for _, line in sorted(found, key=lambda pair: pair[0])]


def _within(line: LogLine, start: datetime | None, end: datetime | None) -> bool:
    """A line without a time is the newest there is."""
    if line.at is None:
        return end is None
    return (start is None or line.at >= start) and (end is None or line.at <= end)


def _text(line: LogLine) -> str:
    when = f"{line.at.astimezone():%H:%M:%S}" if line.at else "--:--:--"
    return f"{when} {line.role:<10} {printable(line.text)}"


def _json(line: LogLine) -> str:
    return json_text({"at": line.at and line.at.isoformat(), "role": line.role, "line": line.text})
