"""Finds runs among very many: by state, label and text, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import JSON, ColumnElement, Text, cast, func, or_, select

from clusterctl.ledger.ledger_tables import RUNS
from clusterctl.ledger.rows import LIVE, Run, RunState
from clusterctl.ledger.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are meant; all of it must hold."""

    states: tuple[RunState, ...] = ()
    """Empty = any."""
    labels: Mapping[str, str]
    """Name -> value."""
    text: str = ""
    """Part of the id, the name or the note, in any case."""


class RunSearch(Store):
    """Questions about many runs, answered by the database."""

    def find_runs(self, wanted: RunFilter, *, limit: int, offset: int = 0) -> tuple[Run, ...]:
        """The runs that are meant: live ones first, the newest first."""
        order = (RUNS.c.state.not_in(LIVE), RUNS.c.created_at.desc(), RUNS.c.run_id)
        ids = select(RUNS.c.run_id).where(*self._conditions(wanted)).order_by(*order).limit(limit).offset(offset)
        chosen = self.transact(lambda connection: connection.scalars(ids).all())  # sorts ids alone: an index has them
        return self.rows(Run, select(RUNS).where(RUNS.c.run_id.in_(chosen)).order_by(*order))

    def count_runs(self, wanted: RunFilter) -> int:
        """How many runs are meant."""
        query = select(func.count()).select_from(RUNS).where(*self._conditions(wanted))
        return self.transact(lambda connection: int(connection.execute(query).scalar_one()))

    def label_values(self, name: str) -> tuple[str, ...]:
        """All values of a label, in order."""
        label = self._label(name)
        query = select(label).where(label.is_not(None)).distinct()
        return tuple(sorted(map(str, self.transact(lambda connection: connection.scalars(query).all()))))

    def _conditions(self, wanted: RunFilter) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [RUNS.c.state.in_(wanted.states)] if wanted.states else []
        found += [self._label(name) == value for name, value in wanted.labels.items()]
        if text := wanted.text.strip().replace("\0", ""):
            columns = (cast(RUNS.c[name], Text) for name in ("run_id", "name", "note"))
            found.append(or_(*(column.icontains(text, autoescape=True) for column in columns)))
        return found

    def _label(self, name: str) -> ColumnElement[str]:
        """A label's value; null where a run has none."""
        if self.file is not None:
            quoted = name.replace('"', "")
            return cast(func.json_extract(RUNS.c.labels, f'$."{quoted}"'), Text)
        return func.json_extract_path_text(cast(RUNS.c.labels, JSON), name)
