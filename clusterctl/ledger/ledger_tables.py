"""The tables as queries see them.  migrations/ makes them; a test compares the two."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, DateTime, Float, Integer, Numeric, TableClause, Text, TypeDecorator, column, table

from clusterctl.ledger.rows import (
    Cost,
    Event,
    FactorRow,
    ImportedBill,
    ImportedLine,
    PhaseSeconds,
    Resource,
    Run,
    Step,
    StoredPlan,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect
    from sqlalchemy.types import TypeEngine

HEAD = "0005"
"""Newest revision in migrations/versions."""
VERSION_TABLE = "ledger_version"
"""Ours alone: the database may be shared with a program that has an `alembic_version`."""


class Exact(TypeDecorator[Decimal]):
    """A decimal, digit for digit: NUMERIC in PostgreSQL, text in SQLite, whose numbers are binary."""

    impl = Numeric
    cache_ok = True
    signed = False

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is not None and not (value.is_finite() and (value >= 0 or self.signed)):
            raise ValueError(f"{value} is no amount")
        return format(value, "f") if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - the interface
        return None if value is None else Decimal(value)


class SignedExact(Exact):
    """One that may be negative."""

    cache_ok = True
    signed = True


class Utc(TypeDecorator[datetime]):
    """A moment, to the microsecond.  Refuses one without a zone, which nobody can place."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        moment = None if value is None else value.astimezone(UTC)
        return moment.replace(tzinfo=None) if moment is not None and dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        naive = value is not None and dialect.name == "sqlite"
        return value.replace(tzinfo=UTC) if naive and value else value and value.astimezone(UTC)


TYPES: dict[str, TypeEngine[Any]] = {
    "str": Text(),
    "int": Integer(),
    "float": Float(),
    "Decimal": Exact(),
    "Signed": SignedExact(),
    "datetime": Utc(),
    "Mapping": JSON(),
}
"""First word of a field's annotation → the column's type."""


def _table(name: str, row: type[Any]) -> TableClause:
    first = {field.name: str(field.type).replace("[", " ").split()[0] for field in fields(row)}
    return table(name, *(column(field, TYPES.get(word, TYPES["str"])) for field, word in first.items()))


PLANS, RUNS, RESOURCES = _table("plans", StoredPlan), _table("runs", Run), _table("resources", Resource)
EVENTS, PHASES, STEPS, COSTS = (
    _table(name, row) for name, row in {"events": Event, "phases": PhaseSeconds, "steps": Step, "costs": Cost}.items()
)
FACTORS = _table("factors", FactorRow)
BILLS, BILL_LINES = _table("bills", ImportedBill), _table("bill_lines", ImportedLine)
