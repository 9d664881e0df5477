"""What the sandbox server counts, in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_PREFIX = "clusterctl_sandbox"

disable_created_metrics()  # type: ignore[no-untyped-call]  # the time of a series' first value: Prometheus asks for none


class Metrics:
    """Counters of one server; any thread may change them."""

    def __init__(self, workers: int) -> None:
        """workers: programs that the server runs at once."""
        self._registry = CollectorRegistry()
        self.requests = Counter(
            f"{_PREFIX}_requests", "Requests by how they ended.", ["language", "result"], registry=self._registry
        )
        self.cpu_seconds = Counter(
            f"{_PREFIX}_cpu_seconds", "CPU time of programs that were not stopped.", registry=self._registry
        )
        self.running = Gauge(f"{_PREFIX}_running", "Programs that run now.", registry=self._registry)
        self.queued = Gauge(f"{_PREFIX}_queued", "Requests that wait.", registry=self._registry)
        Gauge(f"{_PREFIX}_workers", "Programs that may run at once.", registry=self._registry).set(workers)
        self.request_seconds = self._histogram("request", "From a whole request read to its answer, waiting included.")
        self.start_seconds = self._histogram("start", "From asking for a sandbox to its program's start.")

    def page(self) -> str:
        """All of it as it is now."""
        return generate_latest(self._registry).decode()

    def _histogram(self, name: str, words: str) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}_seconds", words, buckets=BUCKETS_SECONDS, registry=self._registry)
