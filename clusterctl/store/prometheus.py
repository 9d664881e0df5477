"""A `TelemetrySource` that asks a Prometheus for what agents, or DCGM exporters, told it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.store import promql, series
from clusterctl.store.kubernetes_labels import SourceLabels, label_queries, read_labels
from clusterctl.store.prometheus_api import TIMEOUT_SECONDS, PrometheusApi
from clusterctl.store.promql import QUERIES
from clusterctl.store.source import RECENT, TelemetryQuery, TelemetrySource
from planners.telemetry.roll_up import roll_up, whole_steps
from planners.telemetry.tables import TABLES, schema

if TYPE_CHECKING:
    from collections.abc import Collection

    from clusterctl.store.series import PrometheusSeries

MAX_STEPS = 10_000
"""Of one query; Prometheus refuses more than 11,000."""
FINEST_SECONDS = 60
"""A step that holds a sample of every usual scrape interval: what `step_seconds=0` means here."""
PROBE_SECONDS, MOST_PROBES = 600, 60
"""A scrape interval is looked for in pieces of ten minutes, or in so many."""
CERTAIN_SAMPLES = 10
"""Of a series, from which its interval is remembered."""
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
        self._finest: dict[tuple[str, int, datetime, datetime], int] = {}

    def answer(self, query: TelemetryQuery) -> pl.DataFrame:
        most_seconds = (query.end - query.start).total_seconds()
        finest = self._finest_of(query.table, query.start, query.end) if "seconds" in TABLES[query.table] else 1
        step = max(query.step_seconds or FINEST_SECONDS, -int(-most_seconds // MAX_STEPS), finest)
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

    def finest_seconds(self, start: datetime, end: datetime) -> int:
        """The longest time between two samples there, of any job; where the interval changed, the longer one."""
        return max(self._finest_of(table, start, end) for table in QUERIES["present"])

    def _finest_of(self, table: str, start: datetime, end: datetime) -> int:
        """The same of the jobs of one table; 1 where there is nothing."""
        probe = max(PROBE_SECONDS, round((end - start).total_seconds() / MOST_PROBES / 60) * 60)
        key = (table, probe, *whole_steps(start, end, probe))
        if key not in self._finest:
            query = TelemetryQuery(table=table, start=key[2], end=key[3], step_seconds=probe)
            about = f"scrape interval of {table}"
            form = _form(f"topk by (job) (1, {QUERIES['present'][table]})", query)
            fullest = series.fullest(self._api.ask(about, {table: form})[table])
            found = max(self._scraped(table, fullest, probe).values(), default=0.0)
            certain = any(count >= CERTAIN_SAMPLES for count, _ in fullest.values())
            if self._api.problems(about) or not certain:  # a series that has just begun is asked again
                return max(1, math.ceil(found - 0.05))
            self._finest = dict(list(self._finest.items())[-MOST_PROBES:]) | {key: max(1, math.ceil(found - 0.05))}
        return self._finest[key]

    def newest(self, table: str, *, until: datetime, nodes: Collection[str] | None = None) -> datetime | None:
        (metric,) = promql.metrics(QUERIES["present"][table])
        asked = TelemetryQuery(table=table, start=until - RECENT, end=until, nodes=nodes)
        # of several alternatives, which hold the same nodes by other labels, each has a moment of its own
        forms = {"newest": _form(f"max(timestamp({metric}{{$}}))", asked)}
        answers = self._api.ask(f"newest {table}", forms)["newest"]
        moments = [value for one in answers for value in one.values if value < series.YEAR_3000]
        return datetime.fromtimestamp(max(moments), tz=UTC) if moments else None

    def labels(self, pods: Collection[str], *, start: datetime, end: datetime) -> SourceLabels:
        queries = label_queries(pods, max(1, round((end - start).total_seconds())))
        at = str(end.timestamp())
        return read_labels(self._api.ask("labels", {name: {"query": q, "time": at} for name, q in queries.items()}))

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
            between = f"{self._finest_of(table, query.start, query.end)}s"
            texts |= {"idle": QUERIES["idle"]["gpu"], "still": QUERIES["still"]["gpu"].replace("#", between)}
        answers = self._api.ask(table, {name: _form(text, query) for name, text in texts.items()})
        intervals = self._intervals(query, answers["present"])
        return series.rows(table, answers, intervals=intervals, step_seconds=query.step_seconds)

    def _intervals(self, query: TelemetryQuery, present: list[PrometheusSeries]) -> pl.DataFrame:
        """job, at (ms), interval: seconds between two samples in each step of each job, as it was scraped."""
        longest = self._finest_of(query.table, query.start, query.end)
        fullest, several = series.fullest(present), max(query.step_seconds, 4 * longest)
        return series.intervals(fullest, self._scraped(query.table, fullest, several, longest))

    def _scraped(
        self, table: str, steps: series.Fullest, seconds: int, longest: float | None = None
    ) -> dict[tuple[str, float], float]:
        """Seconds between two samples, by job and number of samples in a step.

        Of each number one step is asked for its raw samples, so many seconds up to its end: so an interval that
        changed is seen, and a step in which a target was there for a part of it is not taken for a slower one.
        """
        (metric,) = promql.metrics(QUERIES["present"][table])
        found: dict[tuple[str, float], float] = {}
        for (job, count), (one, at) in series.kinds_of_steps(steps).items():
            matchers = ",".join(f"{name}={promql.quoted(text)}" for name, text in one.labels.items())
            form = {"query": f"{metric}{{{matchers}}}[{seconds}s]", "time": str(at)}
            samples = self._api.ask(f"interval of {job or None}", {metric: form})[metric]
            found[job, count] = series.interval_seconds(samples, longest)
        return found

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
