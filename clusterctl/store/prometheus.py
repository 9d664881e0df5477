"""A `TelemetrySource` that asks a Prometheus for what agents, or DCGM exporters, told it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.store import promql, series
from clusterctl.store.prometheus_api import TIMEOUT_SECONDS, PrometheusApi
from clusterctl.store.promql import QUERIES
from clusterctl.store.source import TelemetryQuery, TelemetrySource
from planners.telemetry.roll_up import roll_up, whole_steps
from planners.telemetry.tables import TABLES, schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clusterctl.store.series import PrometheusSeries

MAX_STEPS = 10_000
"""Of one query; Prometheus refuses more than 11,000."""
FINEST_SECONDS = 60
"""A step that holds a sample of every usual scrape interval: what `step_seconds=0` means here."""
HISTORY = timedelta(days=90)
"""How far back `span` looks."""


class Prometheus(TelemetrySource):
    """Reads telemetry from a Prometheus.  Threads may share it.

    Without a step, rows are of a minute, or of so many that one query can answer.  Where a run or a reason changed
    within a step, each gets its seconds, and its share of what adds up; means and maxima are the whole step's.
    """

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Raises SpecError for a URL that is none, or that holds a password; or for a token that can't be read."""
        self._api = PrometheusApi(url, timeout_seconds=timeout_seconds)
        self.where = self._api.where

    def answer(self, query: TelemetryQuery) -> pl.DataFrame:
        most_seconds = (query.end - query.start).total_seconds()
        step = max(query.step_seconds or FINEST_SECONDS, -int(-most_seconds // MAX_STEPS), 1)
        start, end = whole_steps(query.start, query.end, step)
        keys = query.columns if query.step_seconds else None
        query = replace(query, start=start, end=end, step_seconds=step)
        if query.table == "notes":
            rows = self._absent(query)
        elif query.table == "devices":
            whole = replace(query, step_seconds=0, run=None)
            forms = {part: _form(text, whole) for part, text in QUERIES["devices"].items()}
            rows = series.devices(self._api.ask("devices", forms), end)
        else:
            rows = self._measured(query)
        rows = rows.filter(query.condition())
        if "seconds" in TABLES[query.table]:
            rows = roll_up(rows.lazy(), query.table, step_seconds=step, columns=keys).collect()
        return rows.select(query.selected())

    def span(self) -> tuple[datetime, datetime] | None:
        """To the hour, and no further back than 90 days."""
        now = datetime.now(tz=UTC)
        start, end = whole_steps(now - HISTORY, now, 3600)
        names = [name for text in QUERIES["present"].values() for name in promql.metrics(text)]
        every_hour = TelemetryQuery(table="gpu", start=start, end=end, step_seconds=3600)
        answers = self._api.ask("span", {"any": _form(promql.any_of(names), every_hour)})
        ats = [at for one in answers["any"] for at in one.ats]
        if not ats:
            return None
        first, last = (datetime.fromtimestamp(of(ats), tz=UTC) for of in (min, max))
        return first - timedelta(hours=1), min(last, now)

    def problems(self) -> tuple[str, ...]:
        return self._api.problems()

    def _measured(self, query: TelemetryQuery) -> pl.DataFrame:
        """Rows of a table with `seconds`."""
        table, columns = query.table, query.columns
        texts = {name: text for name, text in QUERIES[table].items() if not columns or name in columns}
        texts["present"] = QUERIES["present"][table]
        if "energy_j" in texts:
            texts["power_w"] = QUERIES["gpu"]["power_w"]
        if table == "gpu" and (not columns or "reason" in columns):
            texts |= {"idle": QUERIES["idle"]["gpu"], "gpu_util_pct": QUERIES["gpu"]["gpu_util_pct"]}
        answers = self._api.ask(table, {name: _form(text, query) for name, text in texts.items()})
        intervals = self._intervals(table, answers["present"], query.step_seconds)
        return series.rows(table, answers, intervals=intervals, step_seconds=query.step_seconds)

    def _intervals(self, table: str, present: list[PrometheusSeries], step_seconds: int) -> Mapping[str, float]:
        """Seconds between two samples, by job: of its fullest series in its fullest step, as it was scraped."""
        (metric,) = promql.metrics(QUERIES["present"][table])
        intervals = {}
        for job, (one, at) in series.fullest(present).items():
            matchers = ",".join(f"{name}={promql.quoted(text)}" for name, text in one.labels.items())
            form = {"query": f"{metric}{{{matchers}}}[{step_seconds}s]", "time": str(at)}
            samples = self._api.ask(f"interval of {job or None}", {metric: form})[metric]
            intervals[job] = series.interval_seconds(samples)
        return intervals

    def _absent(self, query: TelemetryQuery) -> pl.DataFrame:
        """A note for each column of the table gpu that has no series at all."""
        names = {column: promql.metrics(text) for column, text in QUERIES["gpu"].items()}
        whole = replace(query, step_seconds=0, nodes=None, run=None)
        answers = self._api.ask("notes", {column: _form(promql.any_of(some), whole) for column, some in names.items()})
        absent = [column for column, answer in answers.items() if not answer and not self._api.problems("notes")]
        rows = [
            {"at": query.end, "kind": "absent", "subject": column, "text": f"{self.where} has no series {some}"}
            for column in absent
            for some in [" or ".join(names[column])]
        ]
        return pl.DataFrame(rows, schema=schema("notes"))


def _form(text: str, query: TelemetryQuery) -> dict[str, str]:
    """What the API takes: of a range query, or without a step of one at the end, over the whole time."""
    step_seconds, end = query.step_seconds, str(query.end.timestamp())
    whole = round((query.end - query.start).total_seconds())
    text = promql.filled(text, step_seconds=step_seconds or whole, nodes=query.nodes, run=query.run)
    if not step_seconds:
        return {"query": text, "time": end}
    first = query.start + timedelta(seconds=step_seconds)
    return {"query": text, "start": str(first.timestamp()), "end": end, "step": str(step_seconds)}
