"""What a reader of telemetry can ask, whatever keeps it: our store, or a Prometheus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.store.kubernetes_labels import SourceLabels
from planners.telemetry.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Collection

STORED_SECONDS = 10
"""How far apart rows of our own store are once it is compacted."""
RECENT = timedelta(minutes=5)
"""How far back the newest row is looked for: a Prometheus forgets a series after as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryQuery:
    """What `TelemetrySource.read` is asked."""

    table: str
    start: datetime
    end: datetime
    step_seconds: int = 0
    run: str | None = None
    nodes: Collection[str] | None = None
    columns: Collection[str] | None = None

    def selected(self) -> list[str]:
        """The columns of the answer."""
        return [name for name in TABLES[self.table] if self.columns is None or name == "at" or name in self.columns]

    def condition(self) -> pl.Expr:
        """Which rows it asks for."""
        condition = (pl.col("at") > self.start) & (pl.col("at") <= self.end)
        if self.run is not None and "run" in TABLES[self.table]:
            condition &= pl.col("run") == self.run
        return condition if self.nodes is None else condition & pl.col("node").is_in(list(self.nodes))


class TelemetrySource(ABC):
    """Telemetry that can be read."""

    where: str
    """For messages: a path or a URL, without secrets."""

    def read(
        self,
        table: str,
        *,
        start: datetime,
        end: datetime,
        step_seconds: int = 0,
        run: str | None = None,
        nodes: Collection[str] | None = None,
        columns: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """Rows of a table of `planners.telemetry.tables` with start < at <= end, with its columns and types, unsorted.

        step_seconds 0: as stored, which is every 10 s once compacted.  More: one row per bucket of at least that step,
        `at` = its end; start and end are widened to whole buckets.
        columns: only these, and `at`; with a step, keys that are left out are rolled up over (`seconds` becomes
        GPU-seconds), so columns=["reason", "seconds"] asks how long GPUs idled and why.
        Nothing there is an empty frame.  What can't be read is left out, and `problems` says so.  Raises ValueError for
        a column that the table has not.
        """
        refuse_unknown(table, columns or ())
        return self.answer(
            TelemetryQuery(
                table=table, start=start, end=end, step_seconds=step_seconds, run=run, nodes=nodes, columns=columns
            )
        )

    @abstractmethod
    def answer(self, query: TelemetryQuery) -> pl.DataFrame:
        """What `read` returns."""

    def finest_seconds(self, start: datetime, end: datetime) -> int:  # noqa: ARG002 - for those whose steps change
        """The shortest step whose rows cover all of the time between: how far measurements are apart there."""
        return STORED_SECONDS

    def newest(self, table: str, *, until: datetime, nodes: Collection[str] | None = None) -> datetime | None:
        """The moment of the newest measurement of the last RECENT before `until`; None where there is none."""
        at = self.read(table, start=until - RECENT, end=until, nodes=nodes, columns=["seconds"])["at"].max()
        return at if isinstance(at, datetime) else None

    def labels(self, pods: Collection[str], *, start: datetime, end: datetime) -> SourceLabels:  # noqa: ARG002
        """Labels of nodes, and of these pods (`namespace/pod`), between two moments; none where nobody keeps them."""
        return SourceLabels()

    @abstractmethod
    def span(self) -> tuple[datetime, datetime] | None:
        """The first and last `at` of GPUs, hosts and sandboxes; None when there is nothing."""

    @abstractmethod
    def problems(self) -> tuple[str, ...]:
        """What could not be read or written so far: one message each, shown beside the rest."""


def refuse_unknown(table: str, columns: Collection[str]) -> None:
    """Raises ValueError for a column that the table has not."""
    unknown = set(columns) - set(TABLES[table])
    if unknown:
        raise ValueError(f"the table {table} has no column {', '.join(sorted(unknown))}")
