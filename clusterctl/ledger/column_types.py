"""The types of the ledger's columns.  What is read is checked: SQLite keeps any value anywhere, and files decay."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import JSON, BigInteger, DateTime, Float, Numeric, Text, TypeDecorator

from clusterctl.json_text import json_text

if TYPE_CHECKING:
    from sqlalchemy import Dialect
    from sqlalchemy.types import TypeEngine

YEARS = range(1970, 2200)
"""Of moments; others are damage, and arithmetic on those of years 1 and 9999 fails."""
MOST_DIGITS = 40
"""Before and behind the point: Decimal("1e999999") is a short text and a long number."""


class DamagedValueError(ValueError):
    """A column holds what it can't hold."""


class Checked(TypeDecorator[Any]):
    """A column that holds None or a value which `read` accepts.

    where: `table.column`, for messages.
    """

    impl: type[TypeEngine[Any]] | TypeEngine[Any] = Text
    cache_ok = True
    in_sqlite: ClassVar[type[TypeEngine[Any]] | None] = None
    """What SQLite stores; None: the same."""

    def __init__(self, where: str = "") -> None:
        super().__init__()
        self.where = where

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        is_sqlite = dialect.name == "sqlite" and self.in_sqlite is not None
        return dialect.type_descriptor(self.in_sqlite() if is_sqlite and self.in_sqlite else self.impl_instance)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - the interface
        """The value.  Raises DamagedValueError."""
        if value is None:
            return None
        try:
            return self.read(value)
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            shown = str(value)[:40]
            raise DamagedValueError(f"{self.where or 'a column'} holds `{shown}`") from error

    def read(self, value: Any) -> Any:
        """The value as Python has it.  Raises ValueError, TypeError, ArithmeticError or RecursionError."""
        if not isinstance(value, str):
            raise TypeError
        return value


class Choice(Checked):
    """One of some words."""

    cache_ok = True

    def __init__(self, where: str = "", *, words: tuple[str, ...] = ()) -> None:
        super().__init__(where)
        self.words = words

    def read(self, value: Any) -> Any:
        if value not in self.words:
            raise ValueError
        return value


class Whole(Checked):
    """A whole number."""

    impl = BigInteger
    cache_ok = True

    def read(self, value: Any) -> Any:
        if not isinstance(value, int):
            raise TypeError
        return value


class Real(Checked):
    """A finite number."""

    impl = Float
    cache_ok = True

    def read(self, value: Any) -> Any:
        if not isinstance(value, float | int) or not math.isfinite(value):
            raise ValueError
        return float(value)


class Exact(Checked):
    """A decimal, digit for digit: NUMERIC in PostgreSQL, text in SQLite, whose numbers are binary."""

    impl = Numeric
    cache_ok = True
    in_sqlite = Text
    signed = False

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Refuse, by ValueError, what is no amount."""
        if value is not None and not self._is_amount(value):
            raise ValueError(f"{value} is no amount")
        return format(value, "f") if value is not None and dialect.name == "sqlite" else value

    def read(self, value: Any) -> Any:
        amount = Decimal(value)
        if not self._is_amount(amount) or abs(amount.adjusted()) > MOST_DIGITS or len(str(value)) > 2 * MOST_DIGITS:
            raise ValueError
        return amount

    def _is_amount(self, value: Decimal) -> bool:
        return value.is_finite() and (value >= 0 or self.signed)


class SignedExact(Exact):
    """One that may be negative."""

    cache_ok = True
    signed = True


class Utc(Checked):
    """A moment, to the microsecond.  Refuses one without a zone, which nobody can place."""

    impl = DateTime
    cache_ok = True
    in_sqlite = Text

    def __init__(self, where: str = "") -> None:
        super().__init__(where)
        self.impl_instance.timezone = True  # type: ignore[attr-defined]  # of DateTime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        """In UTC; text without a zone for SQLite."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None).isoformat(" ", "microseconds") if dialect.name == "sqlite" else moment

    def read(self, value: Any) -> Any:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)
        if moment.year not in YEARS:
            raise ValueError
        return moment.astimezone(UTC)


class Object(Checked):
    """A JSON object."""

    impl = JSON
    cache_ok = True
    in_sqlite = Text

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> Any:
        """Text for SQLite."""
        return json_text(value) if value is not None and dialect.name == "sqlite" else value

    def read(self, value: Any) -> Any:
        held = json.loads(value, parse_constant=_no_number) if isinstance(value, str | bytes) else value
        if not isinstance(held, dict):
            raise TypeError
        return held


def _no_number(text: str) -> None:
    raise ValueError(text)
