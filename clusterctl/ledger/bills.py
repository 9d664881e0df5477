"""Bills that were imported: one per account and month, replaced as a whole by a newer delivery of the same month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from clusterctl.errors import SpecError
from clusterctl.ledger.rows import ImportedBill, ImportedLine
from clusterctl.ledger.store import Store, values_of
from clusterctl.ledger.tables import BILL_LINES, BILLS

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
