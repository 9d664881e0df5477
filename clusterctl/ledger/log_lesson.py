"""What the log of a run elsewhere taught, as the ledger keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planners.learn.fit import Observation

ROWS = "observations"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLesson:
    """One log, compared with one plan; it counts at every calibration until it is revoked."""

    lesson_id: str
    source: str
    """The log's file, and the spec or plan that it was compared with."""
    content: Mapping[str, Any]
    """Its observations, under ROWS."""
    learned_at: datetime
    revoked_at: datetime | None = None

    @property
    def observations(self) -> list[Observation]:
        """As they were learned.  Raises ValueError or TypeError for what is no observation."""
        from planners.learn.fit import Observation  # needs numpy: every reader of the ledger would wait for it
        from planners.workload.factors import FactorKey

        rows = self.content.get(ROWS)
        if not isinstance(rows, list):
            raise ValueError("it holds no observations")
        return [Observation(**{**row, "place": FactorKey(*row["place"])}) for row in rows]


def content_of(seen: Sequence[Observation]) -> dict[str, Any]:
    """Observations as a row keeps them."""
    return {ROWS: [{**asdict(one), "place": list(one.place)} for one in seen]}
