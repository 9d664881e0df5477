"""Scrapes a sandbox server's /metrics: rows of what it did, and its samples to pass on."""

from __future__ import annotations

import http.client
import time
import urllib.parse
from typing import TYPE_CHECKING

from clusterctl.telemetry.exposition import MAX_PAGE_BYTES, Families, parse, samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event

TIMEOUT_SECONDS = 2.0
SCRAPE_SECONDS = 5.0
FIRST_SECONDS = 1.0
PATIENCE_SECONDS = 15.0
"""A server that starts beside the agent is asked every second, and not missed for so long."""
PREFIX = "clusterctl_sandbox_"
ENDED = {
    "finished": "finished",
    "compile failed": "finished",
    "output limit": "finished",
    "time limit": "time_limits",
    "memory limit": "memory_limits",
    "sandbox error": "errors",
}
"""`result` of the server's requests by column; the others were refused before a program ran."""


class SandboxScraper:
    """One server, scraped; `row` is what it did since it was last asked."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url, self._token = url, token
        self.families: Families = {}
        self._before: tuple[float, dict[str, float], dict[str, dict[float, float]]] | None = None

    def follow(self, stopping: Event, add: Callable[..., None], went: Callable[[str, str | None], None]) -> None:
        """Ask until `stopping`, and once more.  `add` takes rows; `went` hears why asking failed, or None."""
        began, last, answered = time.monotonic(), False, False
        while not last:
            last = stopping.wait(SCRAPE_SECONDS if answered else FIRST_SECONDS)
            try:
                row = self.row(time.monotonic())
            except (OSError, ValueError) as error:
                if answered or time.monotonic() - began > PATIENCE_SECONDS:
                    went(f"sandbox {self.url}", str(error))
                continue
            answered = True
            went(f"sandbox {self.url}", None)
            if row is not None:
                add(**row)

    def row(self, at: float) -> dict[str, float] | None:
        """A row of the table `sandbox` without time, node and run; None at first and after a restart.

        Raises OSError or ValueError where the server doesn't answer as one.
        """
        self.families = {}
        try:
            self.families = parse(_get(self.url, self._token))
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        counts, buckets = self._counts(), {name: self._buckets(name) for name in ("start", "request")}
        before, self._before = self._before, (at, counts, buckets)
        if before is None or any(counts[name] < before[1].get(name, 0) for name in counts):
            return None
        row = {name: value - before[1].get(name, 0) for name, value in counts.items()} | {"seconds": at - before[0]}
        for name in ("running", "queued", "workers"):
            row |= {name: value for _, value in samples(self.families, PREFIX + name)}  # noqa: B035 - there is one
        for name, now in buckets.items():
            risen = {bound: count - before[2][name].get(bound, 0.0) for bound, count in now.items()}
            for share in (50, 95):
                seconds = quantile(risen, share / 100)
                if seconds is not None:
                    row[f"{name}_p{share}_ms"] = seconds * 1000
        return row

    def _counts(self) -> dict[str, float]:
        counts = dict.fromkeys(ENDED.values(), 0.0)
        for labels, value in samples(self.families, f"{PREFIX}requests_total"):
            if (column := ENDED.get(labels.get("result", ""))) is not None:
                counts[column] += value
        return counts

    def _buckets(self, name: str) -> dict[float, float]:
        buckets = samples(self.families, f"{PREFIX}{name}_seconds_bucket")
        return {float(labels.get("le", "nan")): value for labels, value in buckets}


def quantile(cumulative: Mapping[float, float], share: float) -> float | None:
    """Of a histogram's buckets (upper bound to count up to it): linear within a bucket, as Prometheus'
    `histogram_quantile`; its last finite bound where it lies beyond; None without a sample."""
    total = cumulative.get(float("inf"), 0.0)
    if total <= 0:
        return None
    lower, below = 0.0, 0.0
    for bound, count in sorted(cumulative.items()):
        if count >= share * total:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (share * total - below) / (count - below) if count > below else bound
        lower, below = bound, count
    return lower


def _get(url: str, token: str | None) -> str:
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", f"{parts.path.rstrip('/')}/metrics", headers=headers)
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise OSError(f"HTTP status {answer.status}")
        return answer.read(MAX_PAGE_BYTES).decode("utf-8", "replace")
    finally:
        connection.close()
