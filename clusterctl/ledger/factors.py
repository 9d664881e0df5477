"""Factors that own runs taught: calibrations, applied one after the other, any of them revertible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from clusterctl.errors import SpecError
from clusterctl.ledger.rows import FactorRow
from clusterctl.ledger.store import Store, upsert, values_of
from clusterctl.ledger.tables import FACTORS

if TYPE_CHECKING:
    from sqlalchemy import Connection

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

    def revert_factors(self, calibration_id: str) -> None:
        """Take a calibration out of use; harmless when repeated.  Raises SpecError for one that was never applied."""
        query = update(FACTORS).where(FACTORS.c.calibration_id == calibration_id, FACTORS.c.reverted_at.is_(None))
        self.write(lambda connection: connection.execute(query.values(reverted_at=self.now())))
        known = select(FACTORS).where(FACTORS.c.calibration_id == calibration_id).limit(1)
        if not self.rows(FactorRow, known):
            raise SpecError(f"no calibration is called `{calibration_id[:80]}`", hint="`clusterctl calibrate --list`")
