"""A `TelemetrySource` that asks a Prometheus for what agents, or DCGM exporters, told it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.store import promql, series
from clusterctl.store.prometheus_api import TIMEOUT_SECONDS, PrometheusApi
from planners.telemetry.roll_up import roll_up, whole_steps
from planners.telemetry.tables import TABLES, schema

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from clusterctl.store.series import PrometheusSeries

MAX_STEPS = 10_000
"""Of one query; Prometheus refuses more than 11,000."""
FINEST_SECONDS = 60
"""A step that holds a sample of every usual scrape interval: what `step_seconds=0` means here."""
HISTORY = timedelta(days=90)
"""How far back `span` looks."""


class Prometheus:
    """Reads telemetry from a Prometheus.  Threads may share it."""

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Raises SpecError for a URL that is none, or that holds a password; or for a token that can't be read."""
        self._api = PrometheusApi(url, timeout_seconds=timeout_seconds)
        self.where = self._api.where

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
        """See `TelemetrySource.read`.  Without a step, rows are of a minute, or of so many that one query can answer.

        Where a run or a reason changed within a step, each gets its seconds, and its share of what adds up; means and
        maxima are the whole step's.
        """
        unknown = set(columns or ()) - set(TABLES[table])
        if unknown:
            raise ValueError(f"the table {table} has no column {', '.join(sorted(unknown))}")
        step = max(step_seconds or FINEST_SECONDS, -int(-(end - start).total_seconds() // MAX_STEPS), 1)
        start, end = whole_steps(start, end, step)
        if table == "notes":
            rows = self._absent(start, end)
        elif table == "devices":
            forms = {part: _form(query, start, end, nodes=nodes) for part, query in promql.FRAMEBUFFER.items()}
            rows = series.devices(self._api.ask(table, forms), end)
        else:
            queries = {name: query for name, query in promql.QUERIES[table].items() if not columns or name in columns}
            queries |= {"present": promql.PRESENT[table]}
            if "energy_j" in queries:
                queries |= {"power_w": promql.QUERIES["gpu"]["power_w"]}
            if table == "gpu" and (not columns or "reason" in columns):
                queries |= {"idle": promql.IDLE, "gpu_util_pct": promql.QUERIES["gpu"]["gpu_util_pct"]}
            forms = {name: _form(query, start, end, step, nodes=nodes, run=run) for name, query in queries.items()}
            answers = self._api.ask(table, forms)
            rows = series.rows(table, answers, intervals=self._intervals(table, answers, step), step_seconds=step)
        if nodes is not None:
            rows = rows.filter(pl.col("node").is_in(list(nodes)))
        if run is not None and "run" in rows.columns:
            rows = rows.filter(pl.col("run") == run)
        if "seconds" in TABLES[table]:
            keys = columns if step_seconds else None
            rows = roll_up(rows.lazy(), table, step_seconds=step, columns=keys).collect()
        return rows.select(name for name in TABLES[table] if columns is None or name == "at" or name in columns)

    def span(self) -> tuple[datetime, datetime] | None:
        """See `TelemetrySource.span`; to the hour, and no further back than 90 days."""
        now = datetime.now(tz=UTC)
        start, end = whole_steps(now - HISTORY, now, 3600)
        names = [name for query in promql.PRESENT.values() for name in promql.metrics(query)]
        answers = self._api.ask("span", {"any": _form(promql.any_of(names), start, end, 3600)})
        ats = [at for one in answers["any"] for at in one.ats]
        if not ats:
            return None
        first, last = (datetime.fromtimestamp(of(ats), tz=UTC) for of in (min, max))
        return first - timedelta(hours=1), min(last, now)

    def problems(self) -> tuple[str, ...]:
        """See `TelemetrySource.problems`."""
        return self._api.problems()

    def _intervals(
        self, table: str, answers: Mapping[str, list[PrometheusSeries]], step_seconds: int
    ) -> dict[str | None, float]:
        """Seconds between two samples, by job: of its fullest series in its fullest step, as it was scraped."""
        (metric,) = promql.metrics(promql.PRESENT[table])
        found = {}
        for job, (one, at) in series.fullest(answers["present"]).items():
            matchers = ",".join(f"{name}={promql.quoted(text)}" for name, text in one.labels.items())
            form = {"query": f"{metric}{{{matchers}}}[{step_seconds}s]", "time": str(at)}
            found[job] = series.interval_seconds(self._api.ask(f"interval of {job}", {metric: form})[metric])
        return found

    def _absent(self, start: datetime, end: datetime) -> pl.DataFrame:
        """A note for each column of the table gpu that has no series at all."""
        names = {column: promql.metrics(query) for column, query in promql.QUERIES["gpu"].items()}
        forms = {column: _form(promql.any_of(metrics), start, end) for column, metrics in names.items()}
        answers = self._api.ask("notes", forms)
        rows = [
            {
                "at": end,
                "kind": "absent",
                "subject": column,
                "text": f"{self.where} has no series {' or '.join(names[column])}",
            }
            for column, found in answers.items()
            if not found and not self._api.problems("notes")
        ]
        return pl.DataFrame(rows, schema=schema("notes"))


def _form(
    query: str,
    start: datetime,
    end: datetime,
    step_seconds: int = 0,
    *,
    nodes: Collection[str] | None = None,
    run: str | None = None,
) -> dict[str, str]:
    """What the API takes: of a range query, or without a step of one at the end, over the whole time."""
    whole = round((end - start).total_seconds())
    text = promql.filled(query, step_seconds=step_seconds or whole, nodes=nodes, run=run)
    if not step_seconds:
        return {"query": text, "time": str(end.timestamp())}
    first = start + timedelta(seconds=step_seconds)
    return {"query": text, "start": str(first.timestamp()), "end": str(end.timestamp()), "step": str(step_seconds)}
