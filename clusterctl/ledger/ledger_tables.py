"""The tables as queries see them.  migrations/ makes them; a test compares the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any, get_args

from sqlalchemy import TableClause, column, table

from clusterctl.ledger.column_types import Checked, Choice, Exact, Object, Real, SignedExact, Utc, Whole
from clusterctl.ledger.log_lesson import LogLesson
from clusterctl.ledger.rows import (
    Cost,
    Desired,
    Event,
    FactorRow,
    ImportedBill,
    ImportedLine,
    PhaseSeconds,
    Resource,
    ResourceState,
    Run,
    RunState,
    Step,
    StoredPlan,
)

HEAD = "0007"
"""Newest revision in migrations/versions."""
VERSION_TABLE = "ledger_version"
"""Ours alone: the database may be shared with a program that has an `alembic_version`."""


TYPES: dict[str, Callable[[str], Checked]] = {
    "str": Checked,
    "int": Whole,
    "float": Real,
    "Decimal": Exact,
    "Signed": SignedExact,
    "datetime": Utc,
    "Mapping": Object,
    "RunState": partial(Choice, words=get_args(RunState)),
    "Desired": partial(Choice, words=get_args(Desired)),
    "ResourceState": partial(Choice, words=get_args(ResourceState)),
}
"""First word of a field's annotation → the column's type."""


def _table(name: str, row: type[Any]) -> TableClause:
    first = {field.name: str(field.type).replace("[", " ").split()[0] for field in fields(row)}
    return table(name, *(column(field, TYPES[word](f"{name}.{field}")) for field, word in first.items()))


PLANS, RUNS, RESOURCES = _table("plans", StoredPlan), _table("runs", Run), _table("resources", Resource)
EVENTS, PHASES, STEPS, COSTS = (
    _table(name, row) for name, row in {"events": Event, "phases": PhaseSeconds, "steps": Step, "costs": Cost}.items()
)
FACTORS, LOG_LESSONS = _table("factors", FactorRow), _table("log_lessons", LogLesson)
BILLS, BILL_LINES = _table("bills", ImportedBill), _table("bill_lines", ImportedLine)
