"""Asking a Prometheus query API, or what answers as one: Mimir, Thanos, VictoriaMetrics.

A `Source` that asks a Prometheus for what agents, or DCGM exporters, told it.

`prometheus+https://USER@HOST/PREFIX?tenant=NAME`: the token, or that user's password, is in the environment variable
CLUSTERCTL_PROMETHEUS_TOKEN, or in the file that CLUSTERCTL_PROMETHEUS_TOKEN_FILE names, and in no message.
"""

from __future__ import annotations

import base64
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import polars as pl

from clusterctl.errors import SpecError
from clusterctl.store import series
from planners.telemetry.roll_up import roll_up, whole_steps
from planners.telemetry.tables import TABLES, schema

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from clusterctl.store.series import Series

TOKEN, TOKEN_FILE = "CLUSTERCTL_PROMETHEUS_TOKEN", "CLUSTERCTL_PROMETHEUS_TOKEN_FILE"
URL_HINT = f"`prometheus+http://host:9090`; a token goes into {TOKEN} or the file that {TOKEN_FILE} names"
TIMEOUT_SECONDS = 20.0
MAX_ANSWER_BYTES = 512 * 2**20
AT_ONCE = 4
"""Queries; Prometheus itself runs 20 at once by default (`--query.max-concurrency`)."""


class _NoAnswerError(Exception):
    """What went wrong with a query, as a person is told."""


class Api:
    """A server.  Threads may share it."""

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """url: see `clusterctl.store.prometheus`.  Raises SpecError for one that is none or holds a password, and for
        a token that can't be read."""
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        scheme = parts.scheme.removeprefix("prometheus+")
        if scheme not in {"http", "https"} or not parts.hostname or parts.password is not None:
            what = "holds a password" if parts.password is not None else "is none"
            raise SpecError(f"the URL of the Prometheus {what}", hint=URL_HINT)
        self.where = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._timeout_seconds, self._headers = timeout_seconds, {"User-Agent": "clusterctl"}
        token = _token()
        if parts.username is not None:
            pair = base64.b64encode(f"{unquote(parts.username)}:{token or ''}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"
        elif token:
            self._headers["Authorization"] = f"Bearer {token}"
        for tenant in parse_qs(parts.query).get("tenant", []):
            self._headers["X-Scope-OrgID"] = tenant
        self._problems: dict[str, tuple[str, ...]] = {}

    def problems(self, about: str | None = None) -> tuple[str, ...]:
        """What could not be answered when `ask` was last called, about this or everything."""
        found = self._problems.values() if about is None else [self._problems.get(about, ())]
        return tuple(dict.fromkeys(text for texts in found for text in texts))

    def ask(self, about: str, forms: Mapping[str, Mapping[str, str]]) -> dict[str, list[Series]]:
        """The answers, by name; none for what could not be answered, which becomes a problem about this.

        forms: what the API takes, of a range query if it has a step.
        """
        said: dict[str, None] = {}

        def answer(form: Mapping[str, str]) -> list[Series]:
            try:
                return self._one(client, form, said)
            except _NoAnswerError as error:
                said.setdefault(f"{self.where} {error}")
                return []

        with (
            httpx.Client(headers=self._headers, timeout=self._timeout_seconds, trust_env=False) as client,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            answers = dict(zip(forms, pool.map(answer, forms.values()), strict=True))
        self._problems[about] = tuple(said)
        return answers

    def _one(self, client: httpx.Client, form: Mapping[str, str], said: dict[str, None]) -> list[Series]:
        url = f"{self.where}/api/v1/{'query_range' if 'step' in form else 'query'}"
        content = bytearray()
        try:
            with client.stream("POST", url, data=dict(form)) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise _NoAnswerError("answers with too much: ask for a shorter time or a longer step")
        except httpx.TimeoutException as error:
            raise _NoAnswerError("does not answer in time") from error
        except httpx.HTTPError as error:
            reason = re.sub(r"\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
            raise _NoAnswerError(f"does not answer: {reason}") from error
        try:
            answer = json.loads(content)
            if answer["status"] == "success":
                said |= dict.fromkeys(f"{self.where} warns: {text}" for text in answer.get("warnings") or ())
                return series.parse(answer["data"])
            why = f" {answer.get('errorType')}: {answer['error']}"[:200]
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            if response.is_success:
                raise _NoAnswerError("answers, but not as a Prometheus does") from error
            why = ""
        raise _NoAnswerError(f"refuses: {response.status_code} {response.reason_phrase}{why}")


def _token() -> str | None:
    file = os.environ.get(TOKEN_FILE)
    if not file:
        return os.environ.get(TOKEN) or None
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", error)
        raise SpecError(f"{file}: the token can't be read: {reason}", hint=URL_HINT) from error


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
        self._api = Api(url, timeout_seconds=timeout_seconds)
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
        """See `Source.read`.  Without a step, rows are of a minute, or of so many that one query can answer.

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
            forms = {part: _form(query, start, end, nodes=nodes) for part, query in series.FRAMEBUFFER.items()}
            rows = series.devices(self._api.ask(table, forms), end)
        else:
            queries = {name: query for name, query in series.QUERIES[table].items() if not columns or name in columns}
            queries |= {"present": series.PRESENT[table]}
            if "energy_j" in queries:
                queries |= {"power_w": series.QUERIES["gpu"]["power_w"]}
            if table == "gpu" and (not columns or "reason" in columns):
                queries |= {"idle": series.IDLE, "gpu_util_pct": series.QUERIES["gpu"]["gpu_util_pct"]}
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
        """See `Source.span`; to the hour, and no further back than 90 days."""
        now = datetime.now(tz=UTC)
        start, end = whole_steps(now - HISTORY, now, 3600)
        names = [name for query in series.PRESENT.values() for name in series.metrics(query)]
        answers = self._api.ask("span", {"any": _form(series.any_of(names), start, end, 3600)})
        ats = [at for one in answers["any"] for at in one.ats]
        if not ats:
            return None
        first, last = (datetime.fromtimestamp(of(ats), tz=UTC) for of in (min, max))
        return first - timedelta(hours=1), min(last, now)

    def problems(self) -> tuple[str, ...]:
        """See `Source.problems`."""
        return self._api.problems()

    def _intervals(self, table: str, answers: Mapping[str, list[Series]], step_seconds: int) -> dict[str | None, float]:
        """Seconds between two samples, by job: of its fullest series in its fullest step, as it was scraped."""
        (metric,) = series.metrics(series.PRESENT[table])
        found = {}
        for job, (one, at) in series.fullest(answers["present"]).items():
            matchers = ",".join(f"{name}={series.quoted(text)}" for name, text in one.labels.items())
            form = {"query": f"{metric}{{{matchers}}}[{step_seconds}s]", "time": str(at)}
            found[job] = series.interval_seconds(self._api.ask(f"interval of {job}", {metric: form})[metric])
        return found

    def _absent(self, start: datetime, end: datetime) -> pl.DataFrame:
        """A note for each column of the table gpu that has no series at all."""
        names = {column: series.metrics(query) for column, query in series.QUERIES["gpu"].items()}
        forms = {column: _form(series.any_of(metrics), start, end) for column, metrics in names.items()}
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
    text = series.filled(query, step_seconds=step_seconds or whole, nodes=nodes, run=run)
    if not step_seconds:
        return {"query": text, "time": str(end.timestamp())}
    first = start + timedelta(seconds=step_seconds)
    return {"query": text, "start": str(first.timestamp()), "end": str(end.timestamp()), "step": str(step_seconds)}
