"""What must hold of every run, worked out anew from `/proc` and the ledger's tables: nothing of the product is used.

Money is recomputed from moments and prices; what lived is what the sampler saw.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from run_names import LIVE_STATES, MACHINE, RUNS_FOLDER, folders, reports
from run_samples import History, Interval, Sampler

Row = Mapping[str, Any]

EXACT_USD = Decimal("0.000001")
"""An interval's dollars are rounded to this."""
LATE_SECONDS = 3.0
"""What is reported so shortly before a run's end may be missed: the last look at the reports comes before the end."""
UNBILLED_SECONDS = 8.0
"""Of what was seen live, one piece may be so long without a bill: looks and writes are a second apart, and each is late
when the machine is busy."""
UNUSED_SECONDS = 15.0
"""And one piece of the bill so long without any process: an interpreter's start on a very busy machine, as in
`OVERLAP_SECONDS` of run_samples.py; 5.7 s were seen between the last process and the next supervisor."""
ENDED_SECONDS = 8.0 + UNUSED_SECONDS
"""After its end a run's supervisor has gone: one that was killed in a place far away is started again after 8 s at most
(supervisor.sh), and needs an interpreter's start to see that there is nothing to do; 14.6 s were seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the checker can't know from ledger and /proc."""

    usd_per_node_hour: Decimal | None = None
    """What every machine must cost; None = don't ask."""
    lost_reports: frozenset[str] = frozenset()
    """Runs whose reports were damaged on purpose."""
    lost_bill: frozenset[str] = frozenset()
    """Runs of whose end the ledger knows nothing on purpose: it was away for good, or goes back to an earlier end."""
    lived: Mapping[str, Sequence[Interval]] = field(default_factory=dict)
    """Machine → when it was there, where its place keeps a record of that; else the sampler's word is taken."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The ledger's rows, read at one moment."""

    runs: Sequence[Row]
    resources: Sequence[Row]
    costs: Sequence[Row]
    steps: Sequence[Row]


def read_tables(ledger: str) -> Tables:
    """The tables of a ledger: a file's path, or a PostgreSQL URL.  Raises the driver's errors."""
    names = ("runs", "resources", "costs", "steps")
    if "://" in ledger:
        import psycopg
        from psycopg.rows import dict_row

        with psycopg.connect(ledger, row_factory=dict_row) as server:
            return Tables(*(server.execute(f"SELECT * FROM {name}").fetchall() for name in names))  # type: ignore[arg-type]
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, timeout=30)) as database:
        database.row_factory = sqlite3.Row
        database.execute("BEGIN")
        return Tables(*([dict(row) for row in database.execute(f"SELECT * FROM {name}")] for name in names))


def _utc(value: Any) -> datetime:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def moment(value: Any) -> float | None:
    """Seconds since 1970 of a moment as the ledger keeps it."""
    return None if value is None else _utc(value).timestamp()


def microseconds(row: Row) -> int:
    """Length of an interval, exactly."""
    return (_utc(row["to_at"]) - _utc(row["from_at"])) // timedelta(microseconds=1)


def check(store: Path, ledger: str, sampler: Sampler, expected: Expected | None = None) -> list[str]:
    """Everything that is wrong with the runs of a store, all of which must have ended; empty when all holds."""
    expected, tables = expected or Expected(), read_tables(ledger)
    wrong = [*(f"left: {what}" for what in sampler.left(store)), *sampler.take_doubles(store)]
    known = {run["run_id"] for run in tables.runs}
    wrong += [f"{folder.name}: a folder of no run" for folder in folders(store) if folder.name not in known]
    for run in tables.runs:
        identity = run["run_id"]
        of_run = Tables(
            runs=[run],
            resources=[row for row in tables.resources if row["run_id"] == identity],
            costs=[row for row in tables.costs if row["run_id"] == identity],
            steps=[row for row in tables.steps if row["run_id"] == identity],
        )
        history = sampler.history(store, identity)
        found = [*_ended(run, of_run), *_money(of_run, expected), *_intervals(run, of_run)]
        if identity not in expected.lost_reports:
            found += _reported(run, of_run, store / RUNS_FOLDER / identity)
        if identity not in expected.lost_bill:
            found += [*_late(run, history), *_coverage(of_run, history, expected.lived)]
        wrong += [f"{identity}: {what}" for what in found]
    return wrong


def _ended(run: Row, tables: Tables) -> Iterable[str]:
    """The run has ended, and so has every resource of it."""
    if run["state"] in LIVE_STATES:
        yield f"is {run['state']} after down"
    for row in tables.resources:
        if row["state"] != "gone":
            yield f"{row['resource_id']} is {row['state']} after down"


def _late(run: Row, history: History) -> Iterable[str]:
    """No process lives long after the run's end."""
    end = moment(run["ended_at"])
    if end is not None and history.all and history.all[-1][1] > end + ENDED_SECONDS:
        yield f"a process lived {history.all[-1][1] - end:.1f} s after the run's end: {', '.join(history.last)}"


def _money(tables: Tables, expected: Expected) -> Iterable[str]:
    """Dollars of every interval are its time at its price, and every machine has the price that was stated."""
    machines = {row["resource_id"] for row in tables.resources if row["kind"] == MACHINE}
    for cost in tables.costs:
        if cost["quantity"] is not None:
            continue
        price = None if cost["usd_per_hour"] is None else Decimal(cost["usd_per_hour"])
        stated = expected.usd_per_node_hour
        if cost["resource_id"] in machines and stated is not None and price != stated:
            yield f"{cost['resource_id']} is billed at {price} an hour, not at {stated}"
        owed = None if price is None else microseconds(cost) * price / 3_600_000_000
        billed = None if cost["usd"] is None else Decimal(cost["usd"])
        if (owed is None) != (billed is None) or (owed is not None and abs(owed - (billed or 0)) > EXACT_USD):
            yield f"{cost['resource_id']}: {billed} dollars for {microseconds(cost) / 1e6} s at {price} an hour"


def machine_usd(ledger: str, run_id: str) -> Decimal:
    """Sum over the machines of a run of seconds x price."""
    tables = read_tables(ledger)
    machines = {row["resource_id"] for row in tables.resources if row["kind"] == MACHINE and row["run_id"] == run_id}
    costs = [cost for cost in tables.costs if cost["resource_id"] in machines]
    return sum((microseconds(cost) * Decimal(cost["usd_per_hour"] or 0) / 3_600_000_000 for cost in costs), Decimal(0))


def reported_usd(ledger: str, run_id: str) -> Decimal:
    """Sum of what a run's job reported and the ledger has booked."""
    costs = [row for row in read_tables(ledger).costs if row["run_id"] == run_id and row["quantity"] is not None]
    return sum((Decimal(cost["usd"] or 0) for cost in costs), Decimal(0))


def _intervals(run: Row, tables: Tables) -> Iterable[str]:
    """No second of a resource is billed twice, or outside its life, or after the run's end."""
    resources, end = {row["resource_id"]: row for row in tables.resources}, moment(run["ended_at"])
    last: dict[str, float] = {}
    for cost in sorted(tables.costs, key=lambda row: (row["resource_id"], str(row["from_at"]))):
        identity, begin, until = cost["resource_id"], moment(cost["from_at"]) or 0.0, moment(cost["to_at"]) or 0.0
        if begin < last.get(identity, 0.0):
            yield f"{identity} is billed twice before {cost['from_at']}"
        last[identity] = until
        if end is not None and until > end + 0.001 and cost["quantity"] is None:
            yield f"{identity} is billed {until - end:.3f} s beyond the run's end"
        resource = resources.get(identity)
        if resource is None:
            yield f"{identity} is billed and was never recorded"
        elif cost["quantity"] is None:
            live, gone = moment(resource["live_at"]), moment(resource["gone_at"])
            if live is None or begin < live - 1e-6 or (gone is not None and until > gone + 1e-6):
                yield f"{identity} is billed outside of its life"


def _reported(run: Row, tables: Tables, folder: Path) -> Iterable[str]:
    """Every step that was reported is recorded once; every cost is billed once."""
    rows = []
    path = reports(folder)
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    said = sorted((row["stage"], row["step"]) for row in rows if "step" in row)
    recorded = sorted((row["stage"], row["step"]) for row in tables.steps)
    if said != recorded:
        lost, more = (sorted(set(a) - set(b)) for a, b in ((said, recorded), (recorded, said)))
        yield f"{len(said)} steps reported, {len(recorded)} recorded; lost {lost[:5]}, never reported {more[:5]}"
    costs = [(moment(row["at"]) or 0.0, Decimal(str(row["usd"]))) for row in rows if "cost" in row and "usd" in row]
    end = moment(run["ended_at"]) or float("inf")
    least = sum((usd for at, usd in costs if at < end - LATE_SECONDS), Decimal(0))
    most = sum((usd for _, usd in costs), Decimal(0))
    billed = sum((Decimal(row["usd"] or 0) for row in tables.costs if row["quantity"] is not None), Decimal(0))
    if not least <= billed <= most:
        yield f"{billed} dollars billed of {least} to {most} that were reported"


def _coverage(tables: Tables, history: History, lived: Mapping[str, Sequence[Interval]]) -> Iterable[str]:
    """Machines are billed while they are there, or while anything of the run lives on them, and not much longer."""
    machines = [row["resource_id"] for row in tables.resources if row["kind"] == MACHINE]
    billed = {
        identity: [
            (moment(cost["from_at"]) or 0.0, moment(cost["to_at"]) or 0.0)
            for cost in tables.costs
            if cost["resource_id"] == identity
        ]
        for identity in machines
    }
    here = [interval for identity in machines if identity not in lived for interval in billed[identity]]
    checks = [
        (identity, lived[identity], lived[identity], billed[identity]) for identity in machines if identity in lived
    ]
    for what, used, watched, paid in [*checks, ("this machine", history.jobs, history.all, here)]:
        for begin, end in minus(used, paid):
            if end - begin > UNBILLED_SECONDS:
                yield f"{what}: {end - begin:.1f} s of use from {_clock(begin)} on are not billed"
        for begin, end in minus(paid, watched):
            if end - begin > UNUSED_SECONDS:
                yield f"{what}: {end - begin:.1f} s from {_clock(begin)} on are billed, and nothing lived"


def minus(these: Sequence[Interval], those: Sequence[Interval]) -> list[Interval]:
    """What of these intervals lies in none of those."""
    left = sorted(these)
    for begin, end in sorted(those):
        left = [
            piece
            for low, high in left
            for piece in ((low, min(high, begin)), (max(low, end), high))
            if piece[0] < piece[1]
        ]
    return left


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"
