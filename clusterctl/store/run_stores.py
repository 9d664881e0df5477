"""This machine's telemetry together with that of runs far away, which was brought here, each in its run's folder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.store import RUN_STORE
from clusterctl.store.object_store import Folder
from clusterctl.store.parquet_store import TableSize, TelemetryStore
from clusterctl.store.read import stepped
from clusterctl.store.source import TelemetryQuery, TelemetrySource
from planners.telemetry.roll_up import roll_up
from planners.telemetry.tables import TABLES, schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime
    from pathlib import Path

    from clusterctl.store.kubernetes_labels import SourceLabels


class RunStores(TelemetrySource):
    """What `main` answers, and the stores in the folders of runs; those that come later count, too."""

    def __init__(self, main: TelemetrySource, runs: Path) -> None:
        self.where = main.where
        self._main, self._runs, self._stores = main, runs, dict[str, TelemetryStore]()

    def answer(self, query: TelemetryQuery) -> pl.DataFrame:
        """Rows of all of them, rolled up once more where several have some: two runs may share a node."""
        _, step = stepped(query)
        columns = query.columns
        asked = replace(query, columns={*columns, "seconds"}) if step and columns is not None else query
        found = [rows for source in self.sources() if not (rows := source.answer(asked)).is_empty()]
        rows = pl.concat(found) if found else pl.DataFrame(schema=schema(query.table))
        if step and len(found) > 1:
            rows = roll_up(rows.lazy(), query.table, step_seconds=step, columns=asked.columns).collect()
        return rows.select(query.selected())

    def finest_seconds(self, start: datetime, end: datetime) -> int:
        return max(source.finest_seconds(start, end) for source in self.sources())

    def newest(self, table: str, *, until: datetime, nodes: Collection[str] | None = None) -> datetime | None:
        found = (source.newest(table, until=until, nodes=nodes) for source in self.sources())
        return max((moment for moment in found if moment is not None), default=None)

    def labels(self, pods: Collection[str], *, start: datetime, end: datetime) -> SourceLabels:
        return self._main.labels(pods, start=start, end=end)

    def span(self) -> tuple[datetime, datetime] | None:
        spans = [span for source in self.sources() if (span := source.span()) is not None]
        return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None

    def problems(self) -> tuple[str, ...]:
        return tuple(problem for source in self.sources() for problem in source.problems())

    def inventory(self) -> list[TableSize]:
        """What the tables of all stores take together."""
        sizes = [size for each in self.sources() if isinstance(each, TelemetryStore) for size in each.inventory()]
        found = []
        for table in TABLES:
            if mine := [size for size in sizes if size.table == table]:
                first, last = min(size.first for size in mine), max(size.last for size in mine)
                counts = (sum(size[at] for size in mine) for at in range(3, len(TableSize._fields)))  # type: ignore[misc]
                found.append(TableSize(table, first, last, *counts))
        return found

    def sources(self) -> Iterator[TelemetrySource]:
        """The main one first."""
        yield self._main
        for folder in sorted(self._runs.glob(f"*/{RUN_STORE}")):
            if str(folder) not in self._stores:
                self._stores[str(folder)] = TelemetryStore(Folder(folder))
            yield self._stores[str(folder)]
