"""Bills that were imported: one per account and month, replaced as a whole by a newer delivery of the same month.

Factors that own runs taught: calibrations, applied one after the other, any of them revertible; and what logs taught.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from clusterctl.errors import SpecError
from clusterctl.ledger.ledger_tables import BILL_LINES, BILLS, FACTORS, LOG_LESSONS
from clusterctl.ledger.log_lesson import LogLesson
from clusterctl.ledger.rows import FactorRow, ImportedBill, ImportedLine
from clusterctl.ledger.store import Store, upsert, values_of

if TYPE_CHECKING:
    from sqlalchemy import Connection


class BillBook(Store):
    """All bills of an import are kept, or none."""

    def put_bills(self, bills: Mapping[ImportedBill, Sequence[ImportedLine]]) -> tuple[str, ...]:
        """Ids of the bills that changed: the same content again changes nothing, another replaces the old."""

        def act(connection: Connection) -> tuple[str, ...]:
            known = {row.bill_id: row.digest for row in connection.execute(select(BILLS.c.bill_id, BILLS.c.digest))}
            changed = {bill: lines for bill, lines in bills.items() if known.get(bill.bill_id) != bill.digest}
            for bill, lines in changed.items():
                _drop(connection, bill.bill_id)
                connection.execute(insert(BILLS), values_of(bill))
                connection.execute(insert(BILL_LINES), [values_of(line) for line in lines])
            return tuple(bill.bill_id for bill in changed)

        return self.write(act)

    def bills(self) -> tuple[ImportedBill, ...]:
        """All of them, the newest month first."""
        return self.rows(ImportedBill, select(BILLS).order_by(BILLS.c.period_from.desc(), BILLS.c.bill_id))

    def drop_bill(self, bill_id: str) -> None:
        """Forget a bill: its runs are estimates again.  Raises SpecError for an unknown one."""
        if not self.write(lambda connection: _drop(connection, bill_id)):
            known = ", ".join(bill.bill_id for bill in self.bills()[:5]) or "none is imported"
            raise SpecError(f"no bill is called `{bill_id[:80]}`", hint=f"the bills: {known}")


def _drop(connection: Connection, bill_id: str) -> bool:
    connection.execute(delete(BILL_LINES).where(BILL_LINES.c.bill_id == bill_id))
    return connection.execute(delete(BILLS).where(BILLS.c.bill_id == bill_id)).rowcount > 0


KEY = ("calibration_id", "work", "phase", "model_class", "engine", "sandbox_profile", "inputs", "gpu")


class FactorBook(Store):
    """A calibration is its rows.  In use is the one applied last among those that are not reverted."""

    def put_factors(self, rows: Sequence[FactorRow]) -> None:
        """Apply a calibration.  The same one again is in use again, whatever became of it."""

        def act(connection: Connection) -> None:
            for row in rows:
                upsert(connection, FACTORS, values_of(row), *KEY)

        self.write(act)

    def factors(self, *, in_use: bool = False) -> tuple[FactorRow, ...]:
        """All rows, or those in use; the calibration applied last first."""
        query = select(FACTORS).order_by(FACTORS.c.applied_at.desc(), *(FACTORS.c[name] for name in KEY))
        if in_use:
            last = select(FACTORS.c.calibration_id).where(FACTORS.c.reverted_at.is_(None))
            last = last.order_by(FACTORS.c.applied_at.desc(), FACTORS.c.calibration_id).limit(1)
            query = query.where(FACTORS.c.calibration_id == last.scalar_subquery())
        return self.rows(FactorRow, query)

    def put_lessons(self, lessons: Sequence[LogLesson]) -> None:
        """Remember what logs taught.  The same one again counts again, also after it was revoked."""

        def act(connection: Connection) -> None:
            for lesson in lessons:
                upsert(connection, LOG_LESSONS, values_of(lesson), "lesson_id")

        self.write(act)

    def lessons(self) -> tuple[LogLesson, ...]:
        """All of them, the last learned first."""
        query = select(LOG_LESSONS).order_by(LOG_LESSONS.c.learned_at.desc(), LOG_LESSONS.c.lesson_id)
        return self.rows(LogLesson, query)

    def revoke_lesson(self, lesson_id: str) -> bool:
        """Let a log count no more; whether there is one of this id.  Harmless when repeated."""
        of_id = LOG_LESSONS.c.lesson_id == lesson_id
        query = update(LOG_LESSONS).where(of_id, LOG_LESSONS.c.revoked_at.is_(None))
        self.write(lambda connection: connection.execute(query.values(revoked_at=self.now())))
        return bool(self.rows(LogLesson, select(LOG_LESSONS).where(of_id)))

    def revert_factors(self, calibration_id: str) -> None:
        """Take a calibration out of use; harmless when repeated.  Raises SpecError for one that was never applied."""
        query = update(FACTORS).where(FACTORS.c.calibration_id == calibration_id, FACTORS.c.reverted_at.is_(None))
        self.write(lambda connection: connection.execute(query.values(reverted_at=self.now())))
        known = select(FACTORS).where(FACTORS.c.calibration_id == calibration_id).limit(1)
        if not self.rows(FactorRow, known):
            raise SpecError(f"no calibration is called `{calibration_id[:80]}`", hint="`clusterctl calibrate --list`")
